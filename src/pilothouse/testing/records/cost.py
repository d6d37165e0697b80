"""Clauses about costs: summed by day whatever the order and company of the Changes, and kept when runs and steps go.

The sums of a session go with the session; those of its agent stay.
"""

import asyncio

from pilothouse.domain.cost import Cost
from pilothouse.domain.retention import Retention
from pilothouse.ports.change import AddCost, Conflict, DropSession
from pilothouse.testing.records.build import (
    AGENT,
    AT,
    SECOND,
    TENANT,
    OpenRecords,
    born,
    ended,
    fence,
    finish,
    put,
    step,
    takes,
    turn,
)

LATER = AT + 100 * SECOND


def costs(
    agent: str = "support", session: str = "", day: str = "2026-11-28", model: str = "m", tenant: str = TENANT,
    calls: int = 1,
) -> AddCost:  # fmt: skip
    return AddCost(tenant, agent, session, day, "openai", model, calls, 0, 1, 10, 20, 5, 250_000_000, AT)


def sums(name: str, calls: int) -> Cost:
    """What so many of these rows come to."""
    return Cost(name, calls, 0, calls, 10 * calls, 20 * calls, 5 * calls, 0.25 * calls)


class CostClauses:
    async def test_costs_add_up_by_what_is_asked_for(self, records: OpenRecords) -> None:
        await asyncio.gather(*(put(records, costs(), costs("other", model="n")) for _ in range(40)))
        await put(records, costs(day="2026-11-27"), costs(day="2026-10-31"), costs(tenant="other"))
        first, last = "2026-11-01", "2026-11-30"

        async def listed(grouping: str, agent: str | None = None, limit: int = 9) -> list[Cost]:
            return await records.list_costs(TENANT, grouping, first, last, agent, limit)

        assert await listed("agent") == [sums("support", 41), sums("other", 40)]
        assert await listed("agent", limit=1) == [sums("support", 41)]
        assert await listed("model") == [sums("openai: m", 41), sums("openai: n", 40)]
        assert await listed("day") == [sums("2026-11-28", 80), sums("2026-11-27", 1)]
        assert await listed("provider", "other") == [sums("openai", 40)]
        assert await listed("all") == [sums("", 81)]
        assert await listed("session") == []
        assert await records.list_costs("other", "all", first, last, None, 9) == [sums("", 1)]

    async def test_a_cost_stands_exactly_when_its_step_does(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        stale = put(records, fence("run_a", 7), step("run_a", ended("s")), costs())
        live = put(records, fence("run_a"), step("run_a", ended("s")), costs())
        outcomes = await asyncio.gather(stale, live, return_exceptions=True)
        assert [isinstance(outcome, Conflict) for outcome in outcomes] == [True, False]
        assert await records.list_costs(TENANT, "agent", "", "9", None, 9) == [sums("support", 1)]

    async def test_costs_outlive_the_runs_they_are_of(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, finish("run_a"), costs())
        assert (await records.prune(Retention(LATER, LATER), 100)).runs == 1
        assert await records.list_costs(TENANT, "agent", "", "9", None, 9) == [sums("support", 1)]

    async def test_the_costs_of_a_session_go_with_it_and_those_of_its_agent_stay(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"))
        await put(records, finish("run_0"), takes("run_0"), costs(AGENT), costs(AGENT, "chat"), costs(AGENT, "other"))
        found = await records.list_costs(TENANT, "session", "", "9", None, 9)
        assert found == [sums(f"{AGENT}/chat", 1), sums(f"{AGENT}/other", 1)]
        await put(records, DropSession(TENANT, "chat", AGENT))
        assert await records.list_costs(TENANT, "session", "", "9", None, 9) == [sums(f"{AGENT}/other", 1)]
        assert await records.list_costs(TENANT, "agent", "", "9", None, 9) == [sums(AGENT, 1)]
