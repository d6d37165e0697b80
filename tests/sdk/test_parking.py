"""Parking: an attempt that only waits gives its place back, and the run goes on in a later one."""

import asyncio
import contextlib

from pilothouse import Context
from pilothouse.wire import frames
from tests.sdk.node import SLOT, Node, now

SOON = 0.01


async def test_a_run_that_waits_for_a_person_parks_without_a_due_time():
    starts = []

    async def agent(ctx: Context):
        starts.append(ctx.run.attempt)
        answer = await ctx.review("May I?")
        return answer.verdict

    node = Node(agent, park_after=SOON, late={"review": {"verdict": "approve"}})
    assert await node.output() == "approve"
    assert starts == [1, 2]
    assert [park.due_at for park in node.parks] == [None]
    assert len(node.asked) == 1, "the second attempt does not ask again"


async def test_a_long_sleep_parks_until_it_is_due():
    async def agent(ctx: Context):
        await ctx.sleep(0.06)
        return "awake"

    node = Node(agent, park_after=SOON)
    assert await node.output() == "awake"
    assert [park.due_at for park in node.parks] == [node.rows[0].due_at]
    assert now() >= node.rows[0].due_at


async def test_of_several_waits_the_earliest_due_counts():
    async def agent(ctx: Context):
        await asyncio.gather(ctx.sleep(60), ctx.signal("go", timeout=40), ctx.signal("never"))

    node = Node(agent, park_after=SOON)
    word = await node.attempt()
    assert isinstance(word, frames.Parked)
    assert word.due_at == next(row.due_at for row in node.rows if row.name == "go")


async def test_a_wait_that_is_shorter_than_the_patience_does_not_park():
    async def agent(ctx: Context):
        await ctx.sleep(0.02)

    node = Node(agent, park_after=0.2)
    await node.output()
    assert [node.attempts, node.parks] == [1, []]


async def test_nothing_parks_while_a_function_runs():
    goes_on = asyncio.Event()

    async def works():
        await goes_on.wait()

    async def agent(ctx: Context):
        await asyncio.gather(ctx.signal("go"), ctx.step(works))

    node = Node(agent, park_after=SOON)
    with node.begin():
        await node.until(frames.StepStarted, 2)
        await asyncio.sleep(SOON * 5)
        assert not node._word.done()
        goes_on.set()
        assert isinstance(await node.word(), frames.Parked)
    assert [row.name for row in node.ended()] == ["works"]


async def test_nothing_parks_while_an_ack_is_missing():
    async def agent(ctx: Context):
        await ctx.signal("go")

    node = Node(agent, park_after=SOON, acks=False)
    with node.begin():
        await node.until(frames.StepStarted)
        await asyncio.sleep(SOON * 5)
        assert not node._word.done()
        node.send(frames.Acks(SLOT, [1]))
        assert isinstance(await node.word(), frames.Parked)


async def test_nothing_parks_while_the_node_takes_no_more():
    async def agent(ctx: Context):
        await ctx.signal("go")

    node = Node(agent, park_after=SOON)
    with node.begin() as runtime:
        runtime.set_writable(False)
        await node.until(frames.StepStarted)
        await asyncio.sleep(SOON * 5)
        assert not node._word.done()
        runtime.set_writable(True)
        assert isinstance(await node.word(), frames.Parked)


async def test_a_function_that_swallows_the_park_can_do_nothing_more():
    did = []

    async def effect():
        did.append(1)

    async def agent(ctx: Context):
        with contextlib.suppress(asyncio.CancelledError):
            await ctx.signal("go")
        try:
            await ctx.step(effect)
        except asyncio.CancelledError:
            return "swallowed"

    node = Node(agent, park_after=SOON)
    assert isinstance(await node.attempt(), frames.Parked)
    assert did == []


async def test_a_cancel_wins_over_a_park():
    parked = asyncio.Event()

    async def agent(ctx: Context):
        try:
            await ctx.signal("go")
        except asyncio.CancelledError:
            parked.set()
            await asyncio.sleep(0.05)
            raise

    node = Node(agent, park_after=SOON)
    with node.begin():
        await parked.wait()
        node.send(frames.Cancel(SLOT, "no longer wanted"))
        assert isinstance(await node.word(), frames.Stopped)


async def test_deltas_of_the_time_before_the_park_are_not_sent_again():
    async def step():
        return 1

    async def agent(ctx: Context):
        await ctx.emit("one")
        await ctx.step(step)
        await ctx.emit("two")
        await ctx.signal("go")
        await ctx.emit("three")

    node = Node(agent, park_after=SOON, late={"go": 1})
    await node.output()
    assert node.attempts == 2
    assert node.deltas == ["one", "two", "three"]
