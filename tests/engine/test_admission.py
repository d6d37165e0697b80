"""What is taken in when there is too much: each tenant is measured by its own backlog, and a refusal says when to come.

Excluded: requests at once (`tests/server/test_overload`), places (`tests/compute`).
"""

import asyncio
from functools import partial

import pytest

from pilothouse.domain.ids import DEFAULT_TENANT
from pilothouse.engine.admission import count_backlogs
from pilothouse.engine.backlog import Backlogs
from pilothouse.engine.run import StartRun, start_run
from pilothouse.engine.world import Limits
from pilothouse.errors import Overloaded, TenantOverloaded
from pilothouse.ports.records import Backlog, Queue
from pilothouse.testing import LocalNode
from tests.engine.agents import held, until


async def start(node: LocalNode, tenant: str, agent: str = "hold") -> str:
    started = await start_run(node.world, StartRun(tenant=tenant, agent=agent, input=b'"x"', wants="later"))
    return started.run.id


async def test_a_tenant_with_a_full_queue_is_refused_and_another_is_not():
    gate, hold = held()
    async with LocalNode({"hold": hold}, slots=1, limits=Limits(queue=3)) as node:
        taken = [await start(node, "flood") for _ in range(4)]
        with pytest.raises(TenantOverloaded) as refused:
            await start(node, "flood")
        assert refused.value.retry_after == 1
        quiet = [await start(node, "quiet") for _ in range(3)]
        with pytest.raises(TenantOverloaded):
            await start(node, "quiet")
        await count_backlogs(node.world)  # the records say the same
        with pytest.raises(TenantOverloaded):
            await start(node, "flood")
        gate.set()
        for tenant, runs in (("flood", taken), ("quiet", quiet)):
            for run in runs:
                await until(node, partial(has_ended, node, tenant, run))


async def has_ended(node: LocalNode, tenant: str, run: str) -> bool:
    found = await node.kept.get_run(tenant, run)
    return found is not None and found.status == "succeeded"


async def test_work_that_waits_too_long_is_refused_with_the_time_in_which_the_wait_is_short_again():
    gate, hold = held()
    async with LocalNode({"hold": hold}, slots=1, limits=Limits(queue_wait=30.0)) as node:
        for _ in range(3):
            await start(node, DEFAULT_TENANT)
        await node.advance(42)
        await count_backlogs(node.world)
        with pytest.raises(Overloaded, match=r"has waited 42 s, over 30 s") as refused:
            await start(node, DEFAULT_TENANT)
        assert (refused.value.code, refused.value.retry_after) == ("overloaded", 12)
        await start(node, "quiet")  # whose work does not wait
        gate.set()
        await node.settle()
        await count_backlogs(node.world)
        await start(node, DEFAULT_TENANT)


def test_what_was_taken_in_while_it_was_counted_is_not_forgotten():
    backlogs = Backlogs()
    for _ in range(3):
        backlogs.take_in("acme")
    before = dict(backlogs.taken_in)
    backlogs.take_in("acme")
    backlogs.take_in("late")
    desk, other = Backlog("acme", "desk", Queue(2, 1, 5, 5), None), Backlog("acme", "b", Queue(1, 0, 0, 0), 7)
    backlogs.learn([desk, other], before)
    assert (backlogs.of_tenant("acme"), backlogs.of_tenant("late"), backlogs.of_tenant("other")) == (5, 1, 0)
    assert backlogs.total() == Queue(3, 1, 5, 5)
    assert (backlogs.waited("acme", "b", 2_000_007), backlogs.waited("acme", "desk", 99)) == (2.0, 0.0)


async def test_a_called_run_is_part_of_work_that_was_taken_in_and_is_not_refused():
    gate, hold = held()

    async def caller(ctx, text):
        return await ctx.call("hold", text)

    async with LocalNode({"hold": hold, "caller": caller}, slots=2, limits=Limits(queue=1)) as node:
        run = await node.start("caller", "x")
        await asyncio.sleep(0)
        gate.set()
        assert (await node.wait(run)).status == "succeeded"
