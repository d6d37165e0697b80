"""The overview as JSON: spans in seconds, and one object of figures for the whole, each slice and each agent.

`begin` and `end` are the instants of the span; slices are in order and of equal width, empty ones included, so that a
plot needs no arithmetic.
"""

from typing import Any

from msgspec import Struct

from pilothouse.domain.overview import Fault, Figures, Overview, Spread
from pilothouse.wire.instant import stamp, stamp_if
from pilothouse.wire.payload import Instant


class FiguresView(Struct, kw_only=True):
    """`lasted` and `waited` are percentiles in seconds; null: nothing was measured."""

    created: int
    live: int
    succeeded: int
    failed: int
    cancelled: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    lasted: Spread
    waited: Spread


class SliceView(FiguresView, kw_only=True):
    """`at` is where the slice begins."""

    at: Instant


class AgentFiguresView(FiguresView, kw_only=True):
    agent: str


class FaultView(Struct, kw_only=True):
    """Runs of an agent that failed with the same code, and the last one of them."""

    code: str
    agent: str
    runs: int
    last_run: str
    last_at: Instant


class RolloverView(Struct, kw_only=True):
    """The first run of a release of an agent that had run another one before."""

    agent: str
    release: str
    at: Instant


class QueueView(Struct, kw_only=True):
    """`ready` runs wait for a place, `held` ones for their time or for another turn."""

    ready: int
    held: int
    running: int
    waiting: int


class OpenReviewsView(Struct, kw_only=True):
    count: int
    oldest_at: Instant | None
    expires_at: Instant | None


class OverviewView(Struct, kw_only=True):
    """`covers_from` is later than `from` when the span holds more runs than are looked at. `queue` and `reviews` say
    how things stand now."""

    begin: Instant
    end: Instant
    covers_from: Instant
    slice_seconds: float
    total: FiguresView
    slices: list[SliceView]
    agents: list[AgentFiguresView]
    faults: list[FaultView]
    releases: list[RolloverView]
    queue: QueueView
    reviews: OpenReviewsView


def overview_view(
    found: Overview, queue: tuple[int, int, int, int], reviews: tuple[int, int | None, int | None]
) -> OverviewView:
    width = (found.end - found.begin) / len(found.slices)
    return OverviewView(
        begin=stamp(found.begin),
        end=stamp(found.end),
        covers_from=stamp(found.covers_from),
        slice_seconds=width / 1e6,
        total=FiguresView(**_fields(found.total)),
        slices=[
            SliceView(at=stamp(round(found.begin + number * width)), **_fields(one))
            for number, one in enumerate(found.slices)
        ],
        agents=[AgentFiguresView(agent=name, **_fields(one)) for name, one in found.agents.items()],
        faults=[_fault(one) for one in found.faults],
        releases=[RolloverView(agent=one.agent, release=one.release, at=stamp(one.at)) for one in found.releases],
        queue=QueueView(ready=queue[0], held=queue[1], running=queue[2], waiting=queue[3]),
        reviews=OpenReviewsView(count=reviews[0], oldest_at=stamp_if(reviews[1]), expires_at=stamp_if(reviews[2])),
    )


def _fields(figures: Figures) -> dict[str, Any]:
    return {name: getattr(figures, name) for name in Figures.__struct_fields__}


def _fault(fault: Fault) -> FaultView:
    return FaultView(
        code=fault.code, agent=fault.agent, runs=fault.runs, last_run=fault.last_run, last_at=stamp(fault.last_at)
    )
