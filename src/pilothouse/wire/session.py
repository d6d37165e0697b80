"""The session as JSON: what is remembered for one key of a caller, and its past turns.

The state travels on its own, as the document it is; its version is the ETag of the answer, so that a client that writes
what it read can say so with If-Match.
"""

from typing import Annotated

from msgspec import Meta, Raw, Struct

from pilothouse.domain.run import Status
from pilothouse.domain.session import Session, Turn
from pilothouse.wire.instant import stamp, stamp_if
from pilothouse.wire.payload import AnyJson, Instant, JsonObject, raw_if
from pilothouse.wire.run import RUN_ID_PATTERN


class SessionFork(Struct, kw_only=True, forbid_unknown_fields=True):
    """A new session `key` with the turns up to the run `after` (null: all of them)."""

    key: Annotated[str, Meta(min_length=1, max_length=256)]
    after: Annotated[str, Meta(pattern=RUN_ID_PATTERN)] | None = None


class SessionView(Struct, kw_only=True):
    """`version` counts the changes of the state, `turns` the turns of the history."""

    key: str
    agent: str
    tenant: str
    turns: int
    version: int
    state: JsonObject
    created_at: Instant
    updated_at: Instant
    expires_at: Instant | None


class SessionSummary(Struct, kw_only=True):
    """A session without its state."""

    key: str
    agent: str
    turns: int
    version: int
    created_at: Instant
    updated_at: Instant
    expires_at: Instant | None


class SessionPage(Struct):
    """By key."""

    items: list[SessionSummary]
    next_cursor: str | None


class TurnView(Struct, kw_only=True):
    number: int
    run: str
    status: Status
    input: AnyJson
    output: AnyJson | None
    finished_at: Instant


class HistoryPage(Struct):
    """The newest turns, oldest first; `next_cursor` leads to the ones before."""

    items: list[TurnView]
    next_cursor: str | None


def session_view(session: Session) -> SessionView:
    return SessionView(
        key=session.key,
        agent=session.agent,
        tenant=session.tenant,
        turns=session.turns,
        version=session.version,
        state=Raw(session.state),
        created_at=stamp(session.created_at),
        updated_at=stamp(session.updated_at),
        expires_at=stamp_if(session.expires_at),
    )


def session_summary(session: Session) -> SessionSummary:
    return SessionSummary(
        key=session.key,
        agent=session.agent,
        turns=session.turns,
        version=session.version,
        created_at=stamp(session.created_at),
        updated_at=stamp(session.updated_at),
        expires_at=stamp_if(session.expires_at),
    )


def turn_view(turn: Turn) -> TurnView:
    return TurnView(
        number=turn.number,
        run=turn.run,
        status=turn.status,  # type: ignore[arg-type]  # the records keep what the table of states allows
        input=Raw(turn.input),
        output=raw_if(turn.output),
        finished_at=stamp(turn.finished_at),
    )
