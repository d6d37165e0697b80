"""Each checker of the invariants is shown to fail: on a doctored reading, and some on a bug that is planted in a node.

A checker that cannot fail proves nothing, so every one here first passes on a healthy run.
"""

import asyncio

from msgspec.structs import replace

from pilothouse import Context, agent, idempotency_key
from pilothouse.domain.event import Segment, line
from pilothouse.engine import lease
from pilothouse.ports.change import AppendStep, Change, Fence
from pilothouse.ports.records import Done
from pilothouse.testing import FaultyRecords, LocalNode
from pilothouse.testing.invariants import (
    Effect,
    check_fencing,
    check_gapless,
    check_intake,
    check_one_end,
    check_seen_is_kept,
    check_stays_ended,
    check_step_once,
)
from pilothouse.testing.local_run import LocalEvent, LocalRun


@agent(mode="event")
async def work(ctx: Context) -> str:
    await ctx.step(str, 1, name="one")
    await ctx.sleep(60)
    return "done"


async def healthy() -> tuple[LocalRun, list[Segment]]:
    async with LocalNode({"work": work}) as node:
        run = await node.start("work")
        await node.advance(minutes=2)
        run = await node.wait(run)
        kept = list(await node.kept.read_events("default", run.id, 0, 100))
        assert check_one_end(run) + check_fencing(run) + check_gapless(kept) + check_stays_ended(run, run) == []
        assert check_step_once(node.witness.marks) == []
        assert check_seen_is_kept(node.witness.segments, {run.id: kept}) == []
        return run, kept


def event(seq: int, type: str, **body: object) -> LocalEvent:
    return LocalEvent(seq, type, 0, body)


async def test_a_run_with_no_end_two_ends_or_something_after_it_is_found():
    run, _ = await healthy()
    assert check_one_end(replace(run, status="running"))
    assert check_one_end(replace(run, status="failed"))
    assert check_one_end(replace(run, events=(*run.events, event(99, "run.failed"))))
    assert check_one_end(replace(run, events=(*run.events, event(99, "output.delta"))))
    assert check_stays_ended(run, replace(run, output="other"))


async def test_a_gap_a_repeat_and_a_wrong_count_are_found():
    _, kept = await healthy()
    assert check_gapless(kept[1:])
    assert check_gapless([*kept, kept[-1]])
    assert check_gapless([Segment("run_1", 1, 2, 0, line("run.queued", b"{}"))])


async def test_an_event_that_was_seen_and_is_gone_or_altered_is_found():
    run, kept = await healthy()
    assert check_seen_is_kept(kept, {run.id: kept[:-1]})
    altered = Segment(run.id, 1, 1, 0, line("run.queued", b'{"altered":1}'))
    assert check_seen_is_kept([altered], {run.id: kept})


def test_an_effect_after_its_result_was_kept_and_a_second_key_are_found():
    kept = Segment("run_1", 1, 1, 0, line("step.finished", b'{"key":"pay-1-1"}'))
    first = Effect("pay", "run_1:pay-1-1")
    assert check_step_once([first, first, kept]) == []
    assert check_step_once([first, kept, first])
    assert check_step_once([first, Effect("pay", "run_1:pay-1-2"), kept])


async def test_a_word_of_an_attempt_that_does_not_hold_the_run_is_found():
    run, _ = await healthy()
    parked = next(position for position, one in enumerate(run.events) if one.type == "run.waiting") + 1

    def late(one: LocalEvent) -> LocalRun:
        return replace(run, events=(*run.events[:parked], one, *run.events[parked:]))

    assert check_fencing(late(event(50, "output.delta")))
    assert check_fencing(late(event(50, "step.finished", kind="step")))
    assert check_fencing(late(event(50, "step.finished", kind="signal"))) == []


def test_a_second_run_for_one_key_is_found():
    assert check_intake([("k", "run_1"), ("k", "run_1"), ("other", "run_2")]) == []
    assert check_intake([("k", "run_1"), ("k", "run_2")])


# --- planted bugs ---------------------------------------------------------------------------------------------------


class Forgetful(FaultyRecords):
    """Acknowledges steps that it does not keep."""

    def submit(self, change: Change, done: Done) -> None:
        kept = tuple(one for one in change.statements if not isinstance(one, AppendStep))
        super().submit(Change(kept), done)


class Unfenced(FaultyRecords):
    """Takes every word, from whatever attempt."""

    def submit(self, change: Change, done: Done) -> None:
        super().submit(Change(tuple(one for one in change.statements if not isinstance(one, Fence))), done)


async def test_records_that_forget_steps_are_found():
    def charge() -> str:
        node.witness.see("charge", idempotency_key())
        return "paid"

    @agent(mode="event")
    async def pay(ctx: Context) -> str:
        return str(await ctx.step(charge))

    node = LocalNode({"pay": pay}, through=Forgetful)
    async with node:
        node.crash_at_step("charge", "after_commit")
        await node.run("pay")
        assert check_step_once(node.witness.marks) == ["I2: charge happened again after its result was kept"]


async def test_records_that_do_not_fence_are_found():
    gate = asyncio.Event()

    @agent(mode="event")
    async def slow(ctx: Context) -> None:
        await ctx.step(gate.wait, name="hold")
        await ctx.emit(ctx.run.attempt)

    async with LocalNode({"slow": slow}, through=Unfenced, slots=1, patience=0.05) as node:
        run = await node.start("slow")
        await node.settle()
        held = await node.kept.get_run("default", run.id)
        assert held is not None
        assert await lease.take_over(node.world, held)
        gate.set()
        await node.settle()
        assert check_fencing(await node.get(run)) != []
        node.errors.clear()
