"""Leases and epochs: nothing is lost with a worker, and a worker that only seemed dead writes nothing (I6, I8)."""

import asyncio
import contextlib

from pilothouse import Context, agent
from pilothouse.domain.lease import TERM
from pilothouse.engine import lease
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.records import RunFilter
from pilothouse.testing import LocalNode
from pilothouse.testing.invariants import check_fencing, check_one_end, check_step_once
from tests.engine.agents import held


async def test_leases_are_renewed_for_all_runs_of_a_node():
    gate, hold = held()
    async with LocalNode({"hold": hold}) as node:
        runs = [await node.start("hold", "x") for _ in range(3)]
        for run in runs:
            await node.wait(run, "running")
        node.clock.advance(seconds=5)
        assert await lease.renew_leases(node.world) == 3
        for run in runs:
            assert (await node.get(run)).run.lease_until == node.clock.now() + TERM
        gate.set()


async def test_a_node_that_stood_still_past_its_lease_goes_on_with_its_own_runs():
    gate, hold = held()
    async with LocalNode({"hold": hold}, patience=0.05) as node:
        run = await node.start("hold", "x")
        await node.advance(hours=1)
        assert await lease.take_over_expired(node.world) == 0
        gate.set()
        ended = await node.wait(run)
        assert (ended.status, ended.attempt) == ("succeeded", 1)


async def test_a_run_whose_lease_expired_is_taken_over():
    _gate, hold = held()
    async with LocalNode({"hold": hold}) as node:
        run = await node.start("hold", "x")
        await node.wait(run, "running")
        node.world.attempts.clear()  # as a worker elsewhere that is gone
        node.clock.advance(seconds=9)
        assert await lease.take_over_expired(node.world) == 0
        node.clock.advance(seconds=2)
        assert await lease.take_over_expired(node.world) == 1
        taken = await node.get(run)
        assert (taken.attempt, taken.run.losses) == (2, 0)


async def test_an_attempt_that_was_overtaken_writes_nothing_more():
    gates = {1: asyncio.Event(), 2: asyncio.Event()}

    @agent(mode="event")
    async def work(ctx: Context) -> int:
        await ctx.step(gates[ctx.run.attempt].wait, name="hold")
        await ctx.emit(ctx.run.attempt)
        return int(ctx.run.attempt)

    async with LocalNode({"work": work}, patience=0.05) as node:
        run = await node.start("work")
        await node.settle()
        first = node.world.attempts["default", run.id]
        held_run = await node.kept.get_run("default", run.id)
        assert held_run is not None
        assert await lease.take_over(node.world, held_run)
        await node.settle()
        assert node.world.attempts["default", run.id] is not first
        gates[1].set()
        await node.settle()
        assert first.ended.done()
        assert node.world.attempts["default", run.id] is not first
        gates[2].set()
        ended = await node.wait(run)
        assert (ended.output, ended.deltas) == (2, [2])
        assert check_fencing(ended) + check_one_end(ended) + check_step_once(node.witness.marks) == []


async def test_a_takeover_ends_a_run_whose_cancel_its_dead_worker_never_obeyed():
    _gate, hold = held()
    async with LocalNode({"hold": hold}, restarts=False) as node:
        run = await node.start("hold", "x")
        await asyncio.sleep(0)
        await node.cancel(run)
        node.crash()
        await node.restart()
        ended = await node.wait(run)
        assert ended.status == "cancelled"
        assert check_one_end(ended) == []


async def test_a_cancelled_turn_of_a_dead_worker_stays_in_the_history_and_the_next_one_runs():
    gate, hold = held("session")
    async with LocalNode({"hold": hold}, restarts=False) as node:
        first = await node.start("hold", "a", session="s")
        await node.wait(first, "running")
        second = await node.start("hold", "b", session="s")
        assert node.worker.watched is not None
        node.worker.watched.is_up = False
        await node.cancel(first)
        node.crash()
        gate.set()
        await node.restart()
        assert (await node.wait(second)).status == "succeeded"
        assert [turn.status for turn in await node.history("hold", "s")] == ["cancelled", "succeeded"]


async def test_nothing_that_was_acknowledged_is_left_behind_by_ten_crashes():
    @agent(mode="event")
    async def work(ctx: Context, number: int) -> int:
        return int(await ctx.step(int, number, name="work"))

    async with LocalNode({"work": work}, slots=4) as node:
        runs = [await node.start("work", number, delay=60) for number in range(4)]
        for nth in range(10):
            node.crash_at_step("work", ("before", "after_effect", "after_commit")[nth % 3])
        node.clock.advance(minutes=2)
        node.crash()
        for run in runs:
            assert (await node.wait(run)).status == "succeeded"
        assert node.crashes > 4
        found = (await node.kept.list_runs("default", RunFilter(), None, 100)).items
        assert {run.status for run in found} == {"succeeded"}


async def test_a_claim_that_fails_gives_its_places_back():
    gate, hold = held()
    async with LocalNode({"hold": hold}, slots=2, patience=0.05) as node:
        run = await node.start("hold", "x", delay=60)
        await node.settle()
        node.records.is_full = True
        node.worker.backlog.add("hold")
        with contextlib.suppress(RecordsUnavailable):
            await node.loops.claim_round()
        node.records.is_full = False
        gate.set()
        await node.advance(minutes=2)
        assert (await node.wait(run)).status == "succeeded"
        assert set(node.worker._reserved.values()) == {0}
