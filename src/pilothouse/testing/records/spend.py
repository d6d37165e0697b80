"""Clauses about what was spent.

It is added up by tenant, scope, name and period, stands exactly when the Change it is part of does, and is the same in
whatever order and company the Changes come.
"""

import asyncio

from pilothouse.domain.budget import Amounts
from pilothouse.ports.change import AddSpend, Conflict
from pilothouse.testing.records.build import AT, TENANT, OpenRecords, born, ended, fence, put, step


def spends(name: str, tokens: int = 1, scope: str = "agent", period: str = "2026-11", tenant: str = TENANT) -> AddSpend:
    return AddSpend(tenant, name, scope, period, tokens, 500_000_000, 1, 2, 3, 250_000, AT)


class SpendClauses:
    async def test_what_is_spent_adds_up_by_scope_and_period(self, records: OpenRecords) -> None:
        await asyncio.gather(*(put(records, spends("support", number)) for number in range(1, 101)))
        await put(records, spends("support", 7), spends("support", 8), spends("other", 9))
        others = (spends("support", scope="session"), spends("support", period=""), spends("support", tenant="other"))
        await put(records, *others)
        found = await records.get_spend(TENANT, "agent", "support", "2026-11")
        assert found == Amounts(5065, 51.0, 102, 204, 306, 25.5)
        assert await records.get_spend(TENANT, "session", "support", "2026-11") == Amounts(1, 0.5, 1, 2, 3, 0.25)
        assert await records.get_spend("other", "agent", "support", "2026-11") == Amounts(1, 0.5, 1, 2, 3, 0.25)
        assert await records.get_spend(TENANT, "agent", "support", "2026-12") == Amounts()

    async def test_it_stands_exactly_when_its_step_does(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        stale = put(records, fence("run_a", 7), step("run_a", ended("s")), spends("run_a", 100, "run", ""))
        live = put(records, fence("run_a"), step("run_a", ended("s")), spends("run_a", 1, "run", ""))
        outcomes = await asyncio.gather(stale, live, return_exceptions=True)
        assert [isinstance(outcome, Conflict) for outcome in outcomes] == [True, False]
        assert (await records.get_spend(TENANT, "run", "run_a", "")).tokens == 1
