"""Signals: early, late, many at once, and the one that comes as the time of its wait runs out."""

import asyncio

import pytest

from pilothouse import Context, SignalTimeout, agent
from pilothouse.engine.run import start_run
from pilothouse.engine.signal import send_signal
from pilothouse.engine.world import Limits
from pilothouse.errors import LimitReached, NotKept, RunEnded, RunNotFound
from pilothouse.testing import LocalNode
from pilothouse.testing.invariants import check_gapless, check_one_end
from tests.engine.agents import command, held, note


@agent(mode="event")
async def listener(ctx: Context, count: int) -> list[object]:
    return [await ctx.signal("go") for _ in range(count)]


@agent(mode="event")
async def patient(ctx: Context) -> str:
    try:
        return str(await ctx.signal("go", timeout=60))
    except SignalTimeout:
        return "nobody came"


async def test_a_signal_reaches_a_run_that_waits():
    async with LocalNode({"listener": listener}) as node:
        run = await node.start("listener", 1)
        await node.wait(run, "waiting")
        await node.signal(run, "go", {"answer": 42})
        assert (await node.wait(run)).output == [{"answer": 42}]


async def test_a_signal_that_comes_before_the_run_asks_is_there_when_it_does():
    async with LocalNode({"listener": listener}) as node:
        run = await node.start("listener", 2, delay=60)
        await node.signal(run, "go", 1)
        await node.signal(run, "go", 2)
        await node.advance(minutes=2)
        ended = await node.wait(run)
        assert ended.output == [1, 2]
        kinds = [event.type for event in ended.events]
        assert "step.started" not in kinds, "the first attempt knows what came before it"
        assert "run.waiting" not in kinds


async def test_a_signal_reaches_a_run_whose_attempt_is_still_there():
    gate = asyncio.Event()

    @agent(mode="event")
    async def both(ctx: Context) -> object:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step(gate.wait, name="hold"))
            heard = await ctx.signal("go")
            gate.set()  # until then the open step keeps the attempt
        return heard

    async with LocalNode({"both": both}) as node:
        run = await node.start("both")
        await node.wait(run, "running")
        await node.signal(run, "go", "now")
        ended = await node.wait(run)
        assert ended.output == "now"
        assert node.executions["hold"] == 1


async def test_signals_survive_a_crash_in_order():
    async with LocalNode({"listener": listener}) as node:
        run = await node.start("listener", 3)
        await node.wait(run, "waiting")
        await node.signal(run, "go", 1)
        node.crash()
        await node.restart()
        await node.signal(run, "go", 2)
        node.crash()
        await node.restart()
        await node.signal(run, "go", 3)
        assert (await node.wait(run)).output == [1, 2, 3]


@pytest.mark.slow
async def test_many_signals_at_once_are_all_counted():
    async with LocalNode({"listener": listener}) as node:
        run = await node.start("listener", 150)
        sent = [send_signal(node.world, "default", run.id, "go", str(number).encode()) for number in range(150)]
        await asyncio.gather(*sent)
        ended = await node.wait(run)
        assert sorted(ended.output) == list(range(150))
        assert dict(node.world.signalling) == {}


async def test_the_time_of_a_wait_runs_out():
    async with LocalNode({"patient": patient}) as node:
        run = await node.start("patient")
        await node.advance(seconds=59)
        assert (await node.get(run)).status == "waiting"
        await node.advance(seconds=2)
        assert (await node.wait(run)).output == "nobody came"


async def test_a_signal_in_time_wins_over_the_end_of_the_wait():
    async with LocalNode({"patient": patient}) as node:
        run = await node.start("patient")
        await node.wait(run, "waiting")
        await node.signal(run, "go", "here")
        await node.advance(hours=1)
        assert (await node.wait(run)).output == "here"


@pytest.mark.parametrize("ticks", range(0, 30, 2))
async def test_of_a_signal_and_the_end_of_its_wait_one_wins_and_the_run_goes_on(ticks):
    """Both write the end of the same step: whoever comes second gives way, in the journal and in the events."""
    async with LocalNode({"patient": patient}) as node:
        run = await node.start("patient")
        await node.wait(run, "waiting")
        node.clock.advance(minutes=2)
        due = asyncio.create_task(node.run_due())
        for _ in range(ticks):
            await asyncio.sleep(0)
        sent = asyncio.create_task(send_signal(node.world, "default", run.id, "go", b'"here"'))
        await asyncio.wait((due, sent))
        sent.exception()  # it may have come too late
        ended = await node.wait(run)
        assert ended.output in ("here", "nobody came")
        assert check_one_end(ended) == []
        assert check_gapless(await node.kept.read_events("default", run.id, 0, 100)) == []
        told = [event.body for event in ended.events if event.type == "step.finished"]
        first = [step for step in told if step["key"] == "signal.go-1"]
        assert len(first) == 1
        assert first[0]["status"] == ("succeeded" if ended.output == "here" else "failed")


async def test_a_run_that_ended_takes_no_signal():
    async with LocalNode({"note": note}) as node:
        run = await node.run("note", "x")
        with pytest.raises(RunEnded):
            await node.signal(run, "go")
        with pytest.raises(RunNotFound):
            await node.signal("run_unknown", "go")


async def test_a_run_that_is_not_kept_takes_no_signal():
    gate, hold = held("stateless")
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold"))
        with pytest.raises(NotKept):
            await send_signal(node.world, "default", started.run.id, "go", b"1")
        gate.set()


async def test_a_run_takes_a_bounded_number_of_signals_of_a_name():
    async with LocalNode({"listener": listener}, limits=Limits(signals=3)) as node:
        run = await node.start("listener", 5)
        for number in range(3):
            await node.signal(run, "go", number)
        with pytest.raises(LimitReached):
            await node.signal(run, "go", 3)
        await node.signal(run, "other", 1)
