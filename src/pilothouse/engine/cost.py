"""Reading what model calls cost: sums by day, which need no look at a single run, and what the month will come to.

The sums outlive the runs and their steps; those of a session go with the session.
"""

from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from pilothouse.domain.cost import LOOKS_BACK, Cost, Forecast, Grouping, forecast, total_of
from pilothouse.engine.world import World

GROUPS_LIMIT = 1000


class Costs(Struct):
    """`is_whole` False: there are more groups than are shown, and `total` holds them all."""

    first: date
    last: date
    items: list[Cost]
    total: Cost
    is_whole: bool
    forecast: Forecast | None


async def read_costs(
    world: World, tenant: str, grouping: Grouping, first: date | None, last: date | None, agent: str | None, limit: int
) -> Costs:
    """The days from `first` to `last`, both included (the month up to today when not told), the dearest group first;
    days in order."""
    now = datetime.fromtimestamp(world.clock.now() / 1e6, UTC)
    today = now.date()
    last = last or today
    first = first or last.replace(day=1)
    limit = min(limit, GROUPS_LIMIT)
    records = world.records
    items = await records.list_costs(tenant, grouping, first.isoformat(), last.isoformat(), agent, limit + 1)
    whole = await records.list_costs(tenant, "all", first.isoformat(), last.isoformat(), agent, 1)
    since = min(today.replace(day=1), today - timedelta(LOOKS_BACK))
    by_day = await records.list_costs(tenant, "day", since.isoformat(), today.isoformat(), agent, GROUPS_LIMIT)
    if grouping == "day":
        items.sort(key=lambda one: one.name)
    passed = (now - datetime(now.year, now.month, now.day, tzinfo=UTC)) / timedelta(days=1)
    spent = {date.fromisoformat(one.name): one.cost_usd for one in by_day}
    return Costs(first, last, items[:limit], total_of(whole), len(items) <= limit, forecast(spent, today, passed))
