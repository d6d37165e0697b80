"""Bias audits as JSON: groups that go in, figures that come out, findings with who dealt with them.

Groups go in and are never shown again for a single run: what comes out is counts, rates and ratios.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from pilothouse.domain.bias import AttributeFigures
from pilothouse.domain.finding import Finding, FindingState
from pilothouse.wire.instant import stamp
from pilothouse.wire.override import Reason
from pilothouse.wire.payload import Instant

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Outcomes = Literal["original", "in_force"]


class GroupsRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Attributes of the person that the run is about, such as `{"sex": "female"}`; only those that the agent declares.
    `label`: whether the outcome should have been favourable, once that is known."""

    groups: dict[Name, Name] = {}
    label: bool | None = None


class GroupsNoted(Struct, kw_only=True):
    """Which attributes are recorded of the run, not what they are."""

    run: str
    attributes: list[str]
    has_label: bool


class AuditRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """`since` and `until`: when the runs were made (RFC 3339). `minimum`: cases of a group from which on it is judged;
    null: as the agent declares. `outcomes`: what the agent decided, or what is in force after overrides."""

    since: Annotated[str, Meta(max_length=64)] | None = None
    until: Annotated[str, Meta(max_length=64)] | None = None
    minimum: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    confidence: Annotated[float, Meta(ge=0.5, le=0.9999)] = 0.95
    outcomes: Outcomes = "original"


class DeclaredView(Struct, kw_only=True):
    outcome: str
    favourable: list[bool | int | str]
    groups: list[str]


class BiasAuditView(Struct, kw_only=True):
    """Figures of one audit. `not_ended` and `undecided`: cases with groups that could not be counted."""

    id: str
    agent: str
    at: Instant
    by: str
    since: Instant
    until: Instant
    outcomes: Outcomes
    decision: DeclaredView
    releases: list[str]
    cases: int
    selected: int
    minimum: int
    confidence: float
    not_ended: int
    undecided: int
    overridden: int
    attributes: list[AttributeFigures]
    findings: list[str]


class BiasAuditPage(Struct):
    """Newest first."""

    items: list[BiasAuditView]
    next_cursor: str | None


class MoveRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    state: FindingState
    reason: Reason


class MoveView(Struct, kw_only=True):
    state: FindingState
    by: str
    at: Instant
    reason: str


class FindingView(Struct, kw_only=True):
    """That `group` is favoured less than four fifths as often as `reference`. `audit` found it last."""

    id: str
    agent: str
    audit: str
    attribute: str
    group: str
    reference: str
    ratio: float
    low: float | None
    high: float | None
    count: int
    state: FindingState
    history: list[MoveView]


class FindingPage(Struct):
    """Newest first."""

    items: list[FindingView]
    next_cursor: str | None


def finding_view(one: Finding) -> FindingView:
    return FindingView(
        id=one.id,
        agent=one.agent,
        audit=one.audit,
        attribute=one.attribute,
        group=one.group,
        reference=one.reference,
        ratio=one.ratio,
        low=one.low,
        high=one.high,
        count=one.count,
        state=one.state,
        history=[MoveView(state=move.state, by=move.by, at=stamp(move.at), reason=move.reason) for move in one.history],
    )
