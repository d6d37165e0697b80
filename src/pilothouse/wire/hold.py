"""Holds as JSON: what they cover, since when, and how long it took until nothing of it ran any more.

A hold over a whole tenant shows who has asked to lift it so far.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.domain.hold import Hold, HoldEffect, HoldStatus, Selector
from pilothouse.wire.instant import stamp, stamp_if
from pilothouse.wire.payload import Instant

Name = Annotated[str, Meta(min_length=1, max_length=256)]


class HoldRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """All that is named has to match; nothing named: everything of the tenant. `pause` keeps runs in the queue, `stop`
    ends them, `quarantine` is a pause that takes no new ones in."""

    effect: HoldEffect = "pause"
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]
    region: Name | None = None
    agent: Name | None = None
    release: Name | None = None
    tool: Name | None = None
    run: Name | None = None
    session: Name | None = None
    incident: bool | None = None
    """Whether it opens an incident; null: as the settings of its agent say."""

    @property
    def selector(self) -> Selector:
        return Selector(self.region, self.agent, self.release, self.tool, self.run, self.session)


class SelectorView(Struct):
    region: str | None
    agent: str | None
    release: str | None
    tool: str | None
    run: str | None
    session: str | None


class HoldView(Struct, kw_only=True):
    """`lifts`: who has asked to lift it; over a tenant or region it takes two people."""

    id: str
    status: HoldStatus
    effect: HoldEffect
    selector: SelectorView
    reason: str
    placed_at: Instant
    placed_by: str
    effective_at: Instant | None
    effective_after_seconds: float | None
    lifted_at: Instant | None
    lifts: list[str]
    takes_two: bool


class HoldPage(Struct):
    """Newest first."""

    items: list[HoldView]
    next_cursor: str | None


def hold_view(hold: Hold) -> HoldView:
    after = None if hold.effective_at is None else (hold.effective_at - hold.placed_at) / 1e6
    one = hold.selector
    return HoldView(
        id=hold.id,
        status=hold.status,
        effect=hold.effect,
        selector=SelectorView(one.region, one.agent, one.release, one.tool, one.run, one.session),
        reason=hold.reason,
        placed_at=stamp(hold.placed_at),
        placed_by=hold.placed_by,
        effective_at=stamp_if(hold.effective_at),
        effective_after_seconds=after,
        lifted_at=stamp_if(hold.lifted_at),
        lifts=list(hold.lifts),
        takes_two=one.is_wide,
    )
