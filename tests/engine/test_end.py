"""Every way in which a run may end is told to those who count, once, with the end and the trace that it has.

Excluded: the machine of `test_run_states`, which walks through them in any order and crashes on the way.
"""

import asyncio

import pytest

from pilothouse import Context, Retry, agent
from pilothouse.engine import lease
from pilothouse.engine.cancel import cancel_run
from pilothouse.engine.run import start_run
from pilothouse.testing import LocalNode
from tests.engine.agents import command, held, note

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@agent(mode="event")
async def asks(ctx: Context, text: str) -> str:
    return (await ctx.review("may I?")).verdict


@agent(mode="event")
async def calls(ctx: Context, text: str) -> str:
    return await ctx.call("asks", text)


@agent(mode="event")
async def fails(text: str) -> str:
    raise ValueError(text)


@agent(retry=Retry(attempts=5, delay=60.0, jitter=0.0))
async def stumbles(text: str) -> str:
    raise OSError(text)


async def told(node):
    await node.settle()
    return [(run.agent, run.status, run.error is not None and b"deadline" in run.error) for run, _ in node.told]


@pytest.fixture
async def node():
    async with LocalNode({"note": note, "asks": asks, "calls": calls, "fails": fails}, patience=0.05) as node:
        node.world.is_traced = True
        yield node


async def test_one_that_succeeds_and_one_that_fails(node):
    await node.run("note", "x")
    await node.wait(await node.start("fails", "x"))
    assert await told(node) == [("note", "succeeded", False), ("fails", "failed", False)]


@pytest.mark.parametrize("times", [1, 2])
async def test_one_that_is_cancelled_in_the_queue_however_often(node, times):
    run = await node.start("note", "x", delay=60)
    for _ in range(times):
        await node.cancel(run)
    assert await told(node) == [("note", "cancelled", False)]
    (ended, _) = node.told[0]
    assert (ended.id, ended.finished_at) == (run.id, (await node.get(run)).run.finished_at)


async def test_one_that_expires_in_the_queue(node):
    await node.start("note", "x", delay=3600, deadline=60)
    await node.advance(minutes=2)
    assert await told(node) == [("note", "failed", True)]


async def test_one_that_is_cancelled_while_it_waits_and_those_that_it_called(node):
    run = await node.start("calls", "x")
    await node.wait(run, "waiting")
    await node.cancel(run)
    assert sorted(await told(node)) == [("asks", "cancelled", False), ("calls", "cancelled", False)]


async def test_one_that_expires_while_it_waits(node):
    run = await node.start("asks", "x", deadline=60)
    await node.wait(run, "waiting")
    await node.advance(minutes=2)
    assert await told(node) == [("asks", "failed", True)]


async def test_one_that_was_cancelled_before_it_was_known(node):
    assert await cancel_run(node.world, "default", "run_early") is None
    await node.start("note", "x", run_id="run_early")
    assert await told(node) == [("note", "cancelled", False)]


async def test_one_whose_code_was_replaced_while_it_waited(node):
    run = await node.start("asks", "x")
    await node.wait(run, "waiting")

    @agent(mode="event")
    async def other(ctx: Context, text: str) -> str:
        return text

    await node.restart({"asks": other})
    (asked,) = await node.reviews(run)
    await node.decide(asked, "approve")
    assert (await node.wait(run)).error["code"] == "release_changed"
    assert await told(node) == [("asks", "failed", False)]


async def test_one_whose_worker_is_gone_and_never_obeyed_a_cancel():
    gate, hold = held()
    async with LocalNode({"hold": hold}, restarts=False) as node:
        run = await node.start("hold", "x")
        await node.wait(run, "running")
        node.world.attempts.clear()  # as a worker elsewhere that is gone
        await node.cancel(run)
        assert await told(node) == []
        node.clock.advance(seconds=11)
        assert await lease.take_over_expired(node.world) == 1
        assert await told(node) == [("hold", "cancelled", False)]
        gate.set()


async def test_one_that_is_not_kept_and_is_cancelled_between_two_tries():
    async with LocalNode({"stumbles": stumbles}, patience=0.05) as node:
        asking = asyncio.get_running_loop().create_task(node.ask("stumbles", "x"))
        while not any(live.run.attempt > 1 for live in node.world.attempts.values()):
            await asyncio.sleep(0)
        (live,) = node.world.attempts.values()
        live.cancel("enough")
        await asking
        assert await told(node) == [("stumbles", "cancelled", False)]


async def test_the_trace_of_its_caller_is_known_wherever_it_ended(node):
    started = await start_run(node.world, command("note", traceparent=CALLER, delay_seconds=60.0, wants="later"))
    await node.cancel(started.run.id)
    started = await start_run(node.world, command("asks", traceparent=CALLER, wants="later"))
    await node.wait(started.run.id, "waiting")
    await node.cancel(started.run.id)
    assert [traceparent for _, traceparent in node.told] == [CALLER, CALLER]
