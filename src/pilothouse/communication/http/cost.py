"""The route of costs: what model calls have cost by agent, session, model or day, and what the month will come to.

Days are those of UTC, since that is what providers bill by.
"""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.call import Call, tenant_of
from pilothouse.engine import cost as verbs
from pilothouse.errors import InvalidInput
from pilothouse.wire.cost import CostsView, Group, cost_view, forecast_view, group_view


class CostQuery(Struct, forbid_unknown_fields=True):
    group: Group = "agent"
    first_day: date | None = None
    last_day: date | None = None
    agent: Annotated[str, Meta(max_length=256)] | None = None
    limit: Annotated[int, Meta(ge=1, le=verbs.GROUPS_LIMIT)] = 100


async def get_costs(call: Call, query: CostQuery) -> None:
    """The days from `first_day` to `last_day`, both included; without them the month up to today."""
    if query.first_day and query.last_day and query.first_day > query.last_day:
        raise InvalidInput(
            "The query does not fit.", faults=[{"path": "query.first_day", "message": "is after last_day"}]
        )
    found = await verbs.read_costs(
        call.front.world, tenant_of(call), query.group, query.first_day, query.last_day, query.agent, query.limit
    )
    await call.show(
        CostsView(
            first_day=found.first.isoformat(),
            last_day=found.last.isoformat(),
            group=query.group,
            items=[group_view(one) for one in found.items],
            is_whole=found.is_whole,
            total=cost_view(found.total),
            forecast=forecast_view(found.forecast),
        )
    )
