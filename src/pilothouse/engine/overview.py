"""Reading the overview: the figures of a span of time, with how much work waits now and how many people are asked.

The cost is bounded: at most `RUNS_LOOKED_AT` runs are read, the newest ones, on the thread for long reads. What a span
holds beyond them is said (`covers_from`) and not guessed.
"""

from msgspec import Struct

from pilothouse.domain.overview import Overview, summarise
from pilothouse.engine.world import World
from pilothouse.ports.records import OpenReviews, Queue

RUNS_LOOKED_AT = 20_000


class Standing(Struct):
    """How things stand: the past in `overview`, the present beside it."""

    overview: Overview
    queue: Queue
    reviews: OpenReviews


async def read_overview(world: World, tenant: str, agent: str | None, seconds: float, slices: int) -> Standing:
    """The last `seconds` in `slices` parts, of all agents or one."""
    end = world.clock.now()
    begin = end - round(seconds * 1e6)
    facts, is_whole = await world.records.list_facts(tenant, agent, begin, RUNS_LOOKED_AT)
    covers_from = begin if is_whole or not facts else min(fact.created_at for fact in facts)
    overview = summarise(facts, begin, end, slices, covers_from)
    return Standing(
        overview, await world.records.count_queue(tenant, agent), await world.records.count_open_reviews(tenant)
    )
