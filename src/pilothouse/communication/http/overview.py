"""The route of the overview: figures of a span of time for whoever wants to know whether all is well.

The span ends now, so that a caller needs no clock of its own; how fine it is divided is bounded by what a plot can
show.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.call import Call, tenant_of
from pilothouse.engine import overview as verbs
from pilothouse.wire.overview import overview_view

DAYS_LIMIT = 31


class OverviewQuery(Struct, forbid_unknown_fields=True):
    agent: Annotated[str, Meta(max_length=256)] | None = None
    seconds: Annotated[float, Meta(ge=60, le=DAYS_LIMIT * 86_400)] = 3600.0
    slices: Annotated[int, Meta(ge=1, le=200)] = 60


async def get_overview(call: Call, query: OverviewQuery) -> None:
    """The last `seconds` in `slices` parts: traffic, ends, percentiles, tokens and cost, by agent, and the faults."""
    found = await verbs.read_overview(call.front.world, tenant_of(call), query.agent, query.seconds, query.slices)
    queue, reviews = found.queue, found.reviews
    await call.show(
        overview_view(
            found.overview,
            (queue.ready, queue.held, queue.running, queue.waiting),
            (reviews.count, reviews.oldest_at, reviews.expires_at),
        )
    )
