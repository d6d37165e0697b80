"""Cancel always wins: before the run is known, before it starts, while it runs, while it waits, and twice.

Excluded: cancels and restarts at every seam (`test_crash_at_every_seam`).
"""

import asyncio

import pytest

from pilothouse import Context, Retry, agent
from pilothouse.engine.cancel import cancel_run
from pilothouse.engine.run import start_run, wait_started
from pilothouse.errors import RunNotFound
from pilothouse.testing import LocalNode
from pilothouse.testing.invariants import check_one_end
from tests.engine.agents import command, held, note


async def test_a_run_that_is_delayed_ends_at_once():
    async with LocalNode({"note": note}) as node:
        run = await node.start("note", "x", delay=60)
        cancelled = await node.cancel(run, "changed my mind")
        assert cancelled.status == "cancelled"
        assert cancelled.error["message"] == "The run was cancelled: changed my mind."
        await node.advance(minutes=2)
        assert (await node.get(run)).status == "cancelled"


async def test_a_run_in_the_queue_ends_at_once():
    gate, hold = held()
    async with LocalNode({"hold": hold}, slots=1) as node:
        await node.start("hold", "x")
        second = await node.start("hold", "x")
        assert (await node.cancel(second)).status == "cancelled"
        gate.set()


async def test_a_run_in_the_middle_of_a_step_is_told_and_ends():
    cleaned = []
    gate = asyncio.Event()

    @agent(mode="event")
    async def tidy(ctx: Context) -> None:
        try:
            await ctx.step(gate.wait, name="hold")
        finally:
            cleaned.append(ctx.cancelled)

    async with LocalNode({"tidy": tidy}, patience=0.05) as node:
        run = await node.start("tidy")
        await node.settle()
        assert (await node.cancel(run)).status in ("running", "cancelled")
        ended = await node.wait(run)
        assert (ended.status, ended.error["code"]) == ("cancelled", "cancelled")
        assert cleaned == [True]


async def test_an_agent_that_does_not_obey_is_left_behind_after_the_grace():
    held_for_ever = asyncio.Event()

    @agent(mode="event")
    async def stubborn() -> None:
        while not held_for_ever.is_set():
            try:
                await held_for_ever.wait()
            except asyncio.CancelledError:
                continue

    async with LocalNode({"stubborn": stubborn}, grace=0.02, patience=0.05) as node:
        run = await node.start("stubborn")
        await node.settle()
        await node.cancel(run)
        assert (await node.wait(run)).status == "cancelled"
        held_for_ever.set()


async def test_a_run_that_waits_ends_at_once_and_its_review_with_it():
    @agent(mode="event")
    async def asks(ctx: Context) -> str:
        return (await ctx.review("may I?")).verdict

    async with LocalNode({"asks": asks}) as node:
        run = await node.start("asks")
        await node.wait(run, "waiting")
        assert (await node.cancel(run)).status == "cancelled"
        assert [review.status for review in await node.reviews(run, None)] == ["cancelled"]


async def test_a_run_between_two_tries_ends_at_once():
    @agent(mode="event", retry=Retry(attempts=5, delay=3600))
    async def flaky() -> None:
        raise OSError("no")

    async with LocalNode({"flaky": flaky}) as node:
        run = await node.start("flaky")
        await node.settle()
        assert (await node.cancel(run)).status == "cancelled"


async def test_a_cancel_that_comes_before_the_run_is_known_wins():
    async with LocalNode({"note": note}) as node:
        assert await node.cancel("run_early") is None
        run = await node.start("note", "x", run_id="run_early")
        assert run.status == "cancelled"
        await node.settle()
        assert (await node.get(run)).steps == ()
        assert check_one_end(await node.get(run)) == []


async def test_an_early_cancel_is_remembered_over_a_restart_for_a_day():
    async with LocalNode({"note": note}) as node:
        await node.cancel("run_early")
        await node.cancel("run_late")
        await node.restart()
        assert (await node.start("note", "x", run_id="run_early")).status == "cancelled"
        node.clock.advance(hours=25)
        assert (await node.run("note", "x", run_id="run_late")).status == "succeeded"


async def test_an_id_that_no_run_can_have_is_not_remembered():
    async with LocalNode({"note": note}) as node:
        with pytest.raises(RunNotFound):
            await node.cancel("no such id")


async def test_a_second_cancel_changes_nothing():
    async with LocalNode({"note": note}) as node:
        run = await node.start("note", "x", delay=60)
        first = await node.cancel(run, "one")
        second = await node.cancel(run, "two")
        assert first == second


async def test_a_cancel_of_a_run_that_ended_leaves_it_as_it_is():
    async with LocalNode({"note": note}) as node:
        run = await node.run("note", "x")
        assert (await node.cancel(run)).status == "succeeded"
        assert await node.get(run) == run


@pytest.mark.parametrize("ticks", range(0, 24, 3))
async def test_a_cancel_that_races_with_the_end_leaves_one_end(ticks):
    async with LocalNode({"note": note}) as node:
        run = await node.start("note", "x")
        for _ in range(ticks):
            await asyncio.sleep(0)
        answer = await node.cancel(run)
        ended = await node.wait(run)
        assert check_one_end(ended) == []
        if answer.run.cancel_at is not None:
            assert ended.status == "cancelled"
        assert await node.cancel(run) == ended


@pytest.mark.parametrize("ticks", range(0, 24, 3))
async def test_a_cancel_that_races_with_the_beginning_wins(ticks):
    """A run is claimed, its journal is read, it begins: wherever it is, the cancel finds it."""
    gate, hold = held("session")
    async with LocalNode({"hold": hold}, slots=1) as node:
        first = await node.start("hold", "a", session="one")
        second = await node.start("hold", "b", session="two")
        gate.set()
        while (await node.get(first)).status == "running":
            await node.wait_move(1)
        gate.clear()
        for _ in range(ticks):
            await asyncio.sleep(0)
        await node.cancel(second)
        assert (await node.wait(second)).status in ("cancelled", "succeeded")
        gate.set()


async def test_a_stateless_run_that_is_not_kept_is_cancelled():
    _gate, hold = held("stateless")
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold"))
        await cancel_run(node.world, "default", started.run.id)
        assert (await wait_started(node.world, started, None)).status == "cancelled"


async def test_a_stateless_run_is_cancelled_between_two_tries():
    @agent(retry=Retry(attempts=5, delay=3600))
    async def flaky() -> None:
        raise OSError("no")

    async with LocalNode({"flaky": flaky}) as node:
        started = await start_run(node.world, command("flaky", b"null"))
        await node.settle()
        await cancel_run(node.world, "default", started.run.id)
        assert (await wait_started(node.world, started, None)).status == "cancelled"


async def test_a_cancel_asked_of_a_node_that_dies_is_carried_out_by_the_next_one():
    _gate, hold = held()
    async with LocalNode({"hold": hold}, restarts=False) as node:
        run = await node.start("hold", "x")
        assert node.worker.watched is not None
        node.worker.watched.is_up = False  # the host hears nothing more
        await node.cancel(run)
        await node.restart()
        ended = await node.wait(run)
        assert ended.status == "cancelled"
        assert check_one_end(ended) == []
