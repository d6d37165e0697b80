"""One attempt: what it tells becomes durable in order, within bounds, and whatever the records answer.

Excluded: crashes (`test_crash_at_every_seam`), real host processes (`tests/compute`).
"""

import asyncio
from typing import Any

import pytest

from pilothouse import Context, agent
from pilothouse.domain.journal import ENDED
from pilothouse.engine.attempt import Attempt
from pilothouse.engine.execution import RULES
from pilothouse.engine.journal import list_steps
from pilothouse.engine.run import start_run
from pilothouse.engine.world import Limits
from pilothouse.errors import BadCursor, Draining, RunNotFound
from pilothouse.ports.change import AppendStep, Change, Refused
from pilothouse.ports.records import Done, RunFilter
from pilothouse.testing import FaultyRecords, LocalNode
from pilothouse.testing.invariants import check_gapless, check_one_end, check_step_once
from tests.engine.agents import command, held, note


@agent(mode="event")
async def steps(ctx: Context, count: int) -> int:
    return sum([await ctx.step(int, number, name=f"step{number}") for number in range(count)])


async def test_steps_and_events_are_kept_in_the_order_in_which_they_happened():
    async with LocalNode({"steps": steps}) as node:
        run = await node.run("steps", 3)
        assert [step.name for step in run.steps] == ["step0", "step1", "step2"]
        told = [(event.type, event.body.get("name")) for event in run.events]
        assert told[2:8] == [
            (kind, f"step{number}") for number in range(3) for kind in ("step.started", "step.finished")
        ]
        assert check_gapless(await node.kept.read_events("default", run.id, 0, 100)) == []


async def test_what_happens_within_a_step_is_told_between_its_beginning_and_its_end():
    """A step that is over at once tells both in one message, but never past what came between."""

    async def at_once(text: str) -> str:
        return text

    async def waits(text: str) -> str:
        await asyncio.sleep(0)
        return text

    @agent(mode="event")
    async def told(ctx: Context) -> None:
        async def talks(text: str) -> str:
            ctx.emit(text)
            return text

        await asyncio.gather(ctx.step(at_once, "a"), ctx.step(waits, "b"), ctx.step(talks, "c"))

    async with LocalNode({"told": told}) as node:
        run = await node.run("told")
        events = [(event.type, event.body.get("name")) for event in run.events if event.type[:4] in ("step", "outp")]
    places = {event: place for place, event in enumerate(events)}
    assert len(places) == len(events) == 7
    for name in ("at_once", "waits", "talks"):
        assert places["step.started", name] < places["step.finished", name]
    assert places["step.started", "talks"] < places["output.delta", None] < places["step.finished", "talks"]


async def test_a_burst_of_deltas_costs_a_few_rows():
    @agent(mode="event")
    async def talk(ctx: Context) -> None:
        for number in range(1000):
            await ctx.emit(number)

    async with LocalNode({"talk": talk}) as node:
        run = await node.run("talk")
        assert run.deltas == list(range(1000))
        assert len(await node.kept.read_events("default", run.id, 0, 10_000)) < 150


async def test_steps_are_listed_in_pages_with_one_entry_each():
    @agent(mode="event")
    async def mixed(ctx: Context) -> None:
        await ctx.step(int, 1, name="one", once=True)
        await ctx.step(int, 2, name="two")
        await ctx.review("go on?")

    async with LocalNode({"mixed": mixed}) as node:
        run = await node.start("mixed")
        await node.wait(run, "waiting")
        rows, cursor = await list_steps(node.world, "default", run.id, None, 100)
        assert [(row.name, row.status) for row in rows] == [
            ("one", "succeeded"),
            ("two", "succeeded"),
            ("review", "started"),
        ]
        assert cursor is None
        rows, cursor = await list_steps(node.world, "default", run.id, None, 2)
        assert (len(rows), cursor is None) == (1, False)
        rows, cursor = await list_steps(node.world, "default", run.id, cursor, 2)
        assert [row.name for row in rows] == ["two", "review"]
        for bad in ("x", "-1", "9" * 30):
            with pytest.raises(BadCursor):
                await list_steps(node.world, "default", run.id, bad, 2)
        with pytest.raises(RunNotFound):
            await list_steps(node.world, "default", "run_unknown", None, 2)


async def test_a_run_has_a_bounded_number_of_steps():
    async with LocalNode({"steps": steps}, limits=Limits(steps=5)) as node:
        assert (await node.run("steps", 5)).status == "succeeded"
        run = await node.run("steps", 6)
        assert (run.status, run.error["code"]) == ("failed", "limit_reached")


# --- losing the host ------------------------------------------------------------------------------------------------


async def test_a_run_that_loses_its_host_goes_on_from_its_journal():
    gate, done = asyncio.Event(), []

    @agent(mode="event")
    async def work(ctx: Context) -> int:
        await ctx.step(lambda: done.append(1), name="once")
        await ctx.step(gate.wait, name="hold")
        return len(done)

    async with LocalNode({"work": work}, patience=0.05) as node:
        run = await node.start("work")
        await node.settle()
        node.lose_host()
        gate.set()
        ended = await node.wait(run)
        assert (ended.output, ended.attempt, done) == (1, 2, [1])
        assert [event.body.get("reason") for event in ended.events if event.type == "run.queued"] == [None, "host_lost"]


async def test_a_run_that_loses_its_host_again_and_again_fails():
    _gate, hold = held()
    async with LocalNode({"hold": hold}, limits=Limits(losses=3), patience=0.05) as node:
        run = await node.start("hold", "x")
        for _ in range(3):
            await node.settle()
            node.lose_host()
        ended = await node.wait(run)
        assert (ended.status, ended.error["code"], ended.attempt) == ("failed", "host_lost", 3)
        assert check_one_end(ended) == []


async def test_progress_makes_up_for_a_lost_host():
    gates = [asyncio.Event() for _ in range(5)]

    @agent(mode="event")
    async def work(ctx: Context) -> str:
        for number, gate in enumerate(gates):
            await ctx.step(gate.wait, name=f"hold{number}")
        return "done"

    async with LocalNode({"work": work}, limits=Limits(losses=2), patience=0.05) as node:
        run = await node.start("work")
        for gate in gates:
            await node.settle()
            gate.set()
            await node.settle()
            if gate is not gates[-1]:
                node.lose_host()
        assert (await node.wait(run)).output == "done"


async def test_a_run_that_is_not_kept_fails_with_its_host():
    _gate, hold = held("stateless")
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold"))
        await asyncio.sleep(0)
        node.lose_host()
        assert started.unkept is not None
        await started.unkept.ended
        assert b"host_lost" in (started.run.error or b"")


# --- draining -------------------------------------------------------------------------------------------------------


async def test_a_drain_hands_runs_back_and_that_does_not_count_against_them():
    gate, hold = held()
    async with LocalNode({"hold": hold}, patience=0.05) as node:
        run = await node.start("hold", "x")
        await node.settle()
        node.world.is_draining = node.worker.is_draining = True
        for live in list(node.world.attempts.values()):
            live.let_go()
        given_back = await node.wait(run, "queued")
        assert (given_back.attempt, given_back.run.losses) == (1, 0)
        gate.set()
        await node.restart()
        ended = await node.wait(run)
        assert (ended.status, ended.attempt) == ("succeeded", 1)


async def test_a_drain_tells_the_caller_of_a_run_that_is_not_kept_to_come_again():
    _gate, hold = held("stateless")
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold"))
        await asyncio.sleep(0)
        node.world.is_draining = True
        for live in list(node.world.attempts.values()):
            live.let_go()
        assert started.unkept is not None
        await started.unkept.ended
        assert isinstance(started.unkept.problem, Draining)


# --- the records refuse ---------------------------------------------------------------------------------------------


async def test_a_full_disk_holds_a_run_and_it_goes_on_when_there_is_room_again(monkeypatch):
    monkeypatch.setattr("pilothouse.engine.attempt_change.WRITE_AGAIN_AFTER", 0.01)
    gate = asyncio.Event()
    effects = []

    @agent(mode="event")
    async def work(ctx: Context) -> str:
        await ctx.step(gate.wait, name="hold")
        await ctx.emit("between")
        await ctx.step(lambda: effects.append(1), name="effect")
        return "done"

    async with LocalNode({"work": work}, patience=0.05) as node:
        run = await node.start("work")
        await node.settle()
        node.records.is_full = True
        gate.set()
        await node.settle()
        assert (await node.get(run)).status == "running"
        assert effects == []
        node.records.is_full = False
        ended = await node.wait(run)
        assert (ended.status, ended.deltas, effects) == ("succeeded", ["between"], [1])
        assert check_one_end(ended) == []


async def test_what_is_held_while_the_records_refuse_is_bounded(monkeypatch):
    monkeypatch.setattr("pilothouse.engine.attempt_change.WRITE_AGAIN_AFTER", 0.01)
    gate, emitted = asyncio.Event(), []

    @agent(mode="event")
    async def flood(ctx: Context) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step(gate.wait, name="hold"))
            if ctx.run.attempt == 1 and not emitted:
                await gate.wait()
                for number in range(2000):
                    await ctx.emit("x" * 1000)
                    emitted.append(number)
        return "done"

    async with LocalNode({"flood": flood}, limits=Limits(held_bytes=50_000), patience=0.05) as node:
        run = await node.start("flood")
        await node.settle()
        node.records.is_full = True
        gate.set()
        await node.settle()
        assert 0 < len(emitted) < 200
        node.records.is_full = False
        assert (await node.wait(run)).status == "succeeded"


async def test_what_an_attempt_prints_into_its_events_is_bounded():
    async with LocalNode({"note": note}, limits=Limits(log_bytes=1000)) as node:
        ended = await node.run("note", "x")
        known = node.worker.find("note")
        assert known is not None
        attempt = Attempt(node.world, RULES, ended.run, known)
        for _ in range(100):
            attempt.log("stdout", "x" * 100)
        assert attempt._told.size < 2000


class Refusing(FaultyRecords):
    """Records that can never hold the end of a step named `bad`."""

    def submit(self, change: Change, done: Done) -> None:
        for statement in change.statements:
            if isinstance(statement, AppendStep) and statement.row.name == "bad" and statement.row.phase == ENDED:
                asyncio.get_running_loop().call_soon(done, Refused("AppendStep", "planted"))
                return
        super().submit(change, done)


async def test_a_step_that_the_records_can_never_hold_fails_its_run_loudly():
    @agent(mode="event")
    async def work(ctx: Context) -> int:
        await ctx.step(int, 1, name="good")
        return int(await ctx.step(int, 2, name="bad"))

    async with LocalNode({"work": work}, through=Refusing) as node:
        ended = await node.run("work")
        assert (ended.status, ended.error["code"]) == ("failed", "internal")
        assert [step.name for step in ended.steps] == ["good"]
        assert check_one_end(ended) == []
        assert isinstance(node.errors.pop(), Refused)


async def until_crashed(node: LocalNode) -> None:
    async with asyncio.timeout(60):
        while not node.is_dead:
            await node.wait_move(0.05)


async def test_a_run_whose_journal_cannot_be_read_is_given_back_and_tried_again():
    async with LocalNode({"steps": steps}, slots=1) as node:
        node.crash_at_step("step1", "after_commit")
        run = await node.start("steps", 3)
        await until_crashed(node)
        await node.restart()
        node.records.strike(1, "fail", "load_journal")
        await node.advance(seconds=5)
        ended = await node.wait(run)
        assert ended.output == 3
        assert check_step_once(node.witness.marks) == []


# --- releases -------------------------------------------------------------------------------------------------------


@agent(mode="event")
async def asks_first(ctx: Context) -> str:
    await ctx.step(int, 1, name="one")
    await ctx.review("go on?")
    return "old"


@agent(mode="event")
async def asks_first_new(ctx: Context) -> str:
    await ctx.step(int, 1, name="one")
    await ctx.review("go on?")
    await ctx.step(int, 2, name="two")
    return "new"


@agent(mode="event")
async def asks_otherwise(ctx: Context) -> str:
    await ctx.step(int, 7, name="seven")
    await ctx.review("go on?")
    return "other"


async def waiting_run(node: LocalNode) -> tuple[Any, Any]:
    run = await node.start("asks")
    review = await node.wait_review(run)
    await node.wait(run, "waiting")
    return run, review


async def test_a_run_whose_release_is_gone_stops_loudly():
    async with LocalNode({"asks": asks_first}) as node:
        run, review = await waiting_run(node)
        await node.restart({"asks": asks_first_new})
        await node.decide(review, "approve")
        ended = await node.wait(run)
        assert (ended.status, ended.error["code"]) == ("failed", "release_changed")


async def test_a_run_goes_on_with_the_same_code_after_a_restart():
    async with LocalNode({"asks": asks_first}) as node:
        run, review = await waiting_run(node)
        await node.restart({"asks": asks_first})
        await node.decide(review, "approve")
        assert (await node.wait(run)).output == "old"


async def test_a_run_may_go_on_with_new_code_that_asks_for_what_is_recorded():
    options = {"asks": {"on_release_change": "continue"}}
    async with LocalNode({"asks": asks_first}, options=options) as node:
        run, review = await waiting_run(node)
        await node.restart({"asks": asks_first_new})
        await node.decide(review, "approve")
        assert (await node.wait(run)).output == "new"


@pytest.mark.slow
async def test_new_code_that_asks_for_other_steps_diverges_loudly():
    options = {"asks": {"on_release_change": "continue"}}
    async with LocalNode({"asks": asks_first}, options=options) as node:
        run, review = await waiting_run(node)
        await node.restart({"asks": asks_otherwise})
        await node.decide(review, "approve")
        ended = await node.wait(run)
        assert (ended.status, ended.error["code"]) == ("failed", "journal_diverged")


async def test_a_queued_run_starts_on_the_release_that_is_there_then():
    gate, hold = held()
    async with LocalNode({"asks": asks_first, "hold": hold}, slots=1, patience=0.05) as node:
        await node.start("hold", "x")
        await node.settle()
        run = await node.start("asks")
        assert run.status == "queued"
        await node.restart({"asks": asks_first_new, "hold": hold})
        gate.set()
        review = await node.wait_review(run)
        await node.decide(review, "approve")
        assert (await node.wait(run)).output == "new"
        assert (await node.kept.list_runs("default", RunFilter(agent="asks"), None, 10)).items[0].status == "succeeded"
