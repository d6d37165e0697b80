"""Sources and dead letters as JSON: what brings messages, how it goes, and what could not become a run.

The body of a dead letter is shown, since whoever mends the agent or the mapping has to see it.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from pilothouse.domain.source import DeadLetter
from pilothouse.wire.instant import stamp
from pilothouse.wire.payload import Instant


class SourceView(Struct, kw_only=True):
    """Counts since this node started. `problem`: what is wrong with the connection now."""

    name: str
    kind: str
    agent: str
    taken: int
    repeated: int
    dead: int
    given_back: int
    problem: str | None


class SourcePage(Struct):
    """All sources of this deployment."""

    items: list[SourceView]


class DeadLetterView(Struct, kw_only=True):
    """A message that could not become a run. `text` is its body as text, or as Base64, null when it was too large."""

    id: str
    source: str
    key: str
    reason: str
    at: Instant
    text: str | None
    encoding: Literal["utf-8", "base64"]
    attributes: dict[str, str]


class DeadLetterPage(Struct):
    """Oldest first."""

    items: list[DeadLetterView]
    next_cursor: str | None


class ReplayRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters of the source; all of them when left out, as far as one answer goes."""

    ids: Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=100)] | None = None


class TakenView(Struct, kw_only=True):
    """What became of a message. `again`: nothing yet; send it again."""

    outcome: Literal["run", "repeat", "dead", "again"]
    run: str | None
    reason: str | None


class TakenPage(Struct):
    """In the order of the messages."""

    items: list[TakenView]


def letter_view(id: str, letter: DeadLetter) -> DeadLetterView:
    return DeadLetterView(
        id=id,
        source=letter.source,
        key=letter.key,
        reason=letter.reason,
        at=stamp(letter.at),
        text=letter.text,
        encoding=letter.encoding,
        attributes=letter.attributes,
    )
