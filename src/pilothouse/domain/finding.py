"""The finding: what an audit found, until somebody has dealt with it.

`open`, then `accepted` (known and borne, with a reason) or `mitigated` (something was changed), then `closed`. Every
move has who, when and why; a closed one stays closed, and the next audit that finds the same opens another.
"""

from typing import Literal

from msgspec import Struct

FindingState = Literal["open", "accepted", "mitigated", "closed"]

MOVES: dict[str, frozenset[str]] = {
    "open": frozenset({"accepted", "mitigated", "closed"}),
    "accepted": frozenset({"mitigated", "closed"}),
    "mitigated": frozenset({"accepted", "closed", "open"}),
    "closed": frozenset(),
}


class Move(Struct, frozen=True):
    state: FindingState
    by: str
    at: int
    reason: str


class Finding(Struct, frozen=True, kw_only=True):
    """That a group is favoured less than four fifths as often as another. `audit`: the audit that found it last."""

    id: str
    agent: str
    audit: str
    attribute: str
    group: str
    reference: str
    ratio: float
    low: float | None = None
    high: float | None = None
    count: int
    state: FindingState = "open"
    history: tuple[Move, ...] = ()
