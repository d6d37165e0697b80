"""The routes of sessions. The state is a document of its own: its version is the ETag, and a write may be conditional.

A write whose If-Match does not hold is 412 and changes nothing; one without If-Match takes whatever version is there
(the verb still reads, patches and writes as one). 428 is never asked for.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.call import Call, check_cursor, principal_of, tenant_of
from pilothouse.communication.http.header import read_tags
from pilothouse.domain import ids
from pilothouse.domain.session import Session
from pilothouse.engine import session as verbs
from pilothouse.errors import AgentNotFound, BadCursor, InvalidInput, SessionNotFound, StateConflict
from pilothouse.wire.override import Reason
from pilothouse.wire.session import HistoryPage, SessionFork, SessionPage, session_summary, session_view, turn_view


class HistoryQuery(Struct, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class SessionsQuery(Struct, forbid_unknown_fields=True):
    prefix: Annotated[str, Meta(max_length=256)] = ""
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class StateQuery(Struct, forbid_unknown_fields=True):
    reason: Annotated[Reason, Meta(description="Why, for the audit log.")] | None = None


async def list_sessions(call: Call, agent: str, query: SessionsQuery) -> None:
    """Sessions whose key begins with `prefix`, by key. A session that was never begun is in no list."""
    check_cursor(query.cursor)
    if not ids.AGENT_NAME.match(agent):
        raise AgentNotFound(agent=agent[:80])
    found, cursor = await verbs.list_sessions(
        call.front.world, tenant_of(call), agent, query.prefix, query.cursor, query.limit
    )
    await call.show(SessionPage([session_summary(one) for one in found], cursor))


def check_key(agent: str, key: str) -> None:
    if not ids.valid_session_key(key):
        raise SessionNotFound(agent=agent, session=key[:80])


async def get_session(call: Call, agent: str, key: str) -> None:
    check_key(agent, key)
    found = await verbs.get_session(call.front.world, tenant_of(call), agent, key)
    await call.show(session_view(found))


async def list_history(call: Call, agent: str, key: str, query: HistoryQuery) -> None:
    """The newest turns; the cursor leads backwards."""
    check_key(agent, key)
    before = _read_cursor(query.cursor)
    turns = await verbs.list_history(call.front.world, tenant_of(call), agent, key, before, query.limit)
    has_more = len(turns) == query.limit and turns[0].number > 1
    cursor = str(turns[0].number) if has_more else None
    await call.show(HistoryPage([turn_view(turn) for turn in turns], cursor))


def _read_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadCursor()
    return int(cursor)


async def read_state(call: Call, agent: str, key: str) -> None:
    check_key(agent, key)
    found = await verbs.get_session(call.front.world, tenant_of(call), agent, key)
    tags = read_tags(call.headers.get(b"if-none-match"))
    if b"if-none-match" in call.headers and (tags is None or str(found.version) in tags):
        await call.answer_empty(304, [_tag(found)])
    else:
        await call.answer(200, found.state, [_tag(found)])


async def write_state(call: Call, agent: str, key: str, document: bytes, query: StateQuery) -> None:
    check_key(agent, key)
    world, tenant = call.front.world, tenant_of(call)
    if_match = None
    if b"if-match" in call.headers:
        found = await verbs.get_session(world, tenant, agent, key)
        tags = read_tags(call.headers[b"if-match"])
        if tags is not None:
            if str(found.version) not in tags:
                raise StateConflict(session=key, version=found.version)
            if_match = found.version
    written = await verbs.write_state(world, tenant, agent, key, document, if_match, principal_of(call), query.reason)
    await call.answer(200, written.state, [_tag(written)])


def _tag(session: Session) -> tuple[bytes, bytes]:
    return b"etag", b'"%d"' % session.version


async def fork_session(call: Call, agent: str, key: str, body: SessionFork) -> None:
    check_key(agent, key)
    if not ids.valid_session_key(body.key):
        raise InvalidInput(faults=[{"path": "$.key", "message": "expected 1 to 256 printable characters"}])
    made = await verbs.fork_session(
        call.front.world, tenant_of(call), agent, key, body.key, body.after, principal_of(call)
    )
    await call.show(session_view(made), 201)


async def delete_session(call: Call, agent: str, key: str) -> None:
    check_key(agent, key)
    await verbs.delete_session(call.front.world, tenant_of(call), agent, key, principal_of(call))
    await call.answer_empty(204)
