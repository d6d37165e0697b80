"""Runs tried again by themselves, and runs made from other runs: retry and fork."""

import asyncio
from itertools import pairwise

import pytest

from pilothouse import Context, Retry, agent, idempotency_key
from pilothouse.engine.retry import retry_run
from pilothouse.engine.run import start_run
from pilothouse.errors import NotKept, RunActive, RunEnded, RunNotFound, StepNotFound
from pilothouse.sdk.scope import attempt_here
from pilothouse.testing import LocalNode, ManualClock
from tests.engine.agents import chat, command, held, note


class Broken:
    """An agent of three steps, the second of which fails until it is mended."""

    def __init__(self) -> None:
        self.is_mended = False
        self.seen: list[tuple[str, str]] = []

        def first() -> int:
            return self.see("first", 1)

        def second() -> int:
            self.see("second", 2)
            if not self.is_mended:
                raise ValueError("broken")
            return 2

        def third(total: int) -> int:
            return self.see("third", total)

        @agent(mode="event")
        async def work(ctx: Context) -> int:
            total = await ctx.step(first) + await ctx.step(second)
            return int(await ctx.step(third, total))

        self.agent = work

    def see(self, name: str, value: int) -> int:
        self.seen.append((name, idempotency_key()))
        return value

    def count(self, name: str) -> int:
        return [one for one, _ in self.seen].count(name)


async def test_a_failed_run_is_tried_again_after_a_growing_pause():
    at: list[int] = []
    clock = ManualClock()

    @agent(mode="event", retry=Retry(attempts=3, delay=10, factor=2, jitter=0))
    async def flaky() -> None:
        at.append(clock.now())
        raise OSError("no")

    async with LocalNode({"flaky": flaky}, clock=clock) as node:
        run = await node.start("flaky")
        await node.advance(hours=1)
        ended = await node.wait(run)
        assert (ended.status, ended.attempt) == ("failed", 3)
        assert [round((later - earlier) / 1e6) for earlier, later in pairwise(at)] == [10, 20]
        queued = [event.body for event in ended.events if event.type == "run.queued"]
        assert [body.get("reason") for body in queued] == [None, "retry", "retry"]


async def test_an_error_that_is_not_named_is_not_retried():
    tries = []

    @agent(mode="event", retry=Retry(attempts=3, delay=1, on=("OSError",)))
    async def flaky() -> None:
        tries.append(1)
        raise ValueError("no")

    async with LocalNode({"flaky": flaky}) as node:
        run = await node.start("flaky")
        await node.advance(minutes=1)
        assert (await node.wait(run)).status == "failed"
        assert tries == [1]


async def test_a_retry_keeps_the_finished_steps_and_repeats_the_failed_one():
    broken = Broken()
    async with LocalNode({"work": broken.agent}) as node:
        failed = await node.run("work")
        assert failed.status == "failed"
        broken.is_mended = True
        run = await node.wait(await node.retry(failed))
        assert (run.status, run.output) == ("succeeded", 3)
        assert (broken.count("first"), broken.count("second"), broken.count("third")) == (1, 2, 1)
        assert run.run.origin == failed.id
        assert await node.get(failed) == failed


async def test_retries_of_retries_show_the_outside_the_same_keys():
    """A payment that failed late and is tried again twice must still be the same payment to the bank."""
    broken = Broken()
    async with LocalNode({"work": broken.agent}) as node:
        run = await node.run("work")
        run = await node.wait(await node.retry(run))
        broken.is_mended = True
        run = await node.wait(await node.retry(run))
        assert run.output == 3
        keys = {key for name, key in broken.seen if name == "second"}
        assert len(keys) == 1


async def test_a_retry_asks_a_person_too_about_a_step_whose_outcome_is_unknown():
    """The money may have left before the node died. A retry of the cancelled run must not send it again by itself."""
    paid: list[int] = []

    def charge() -> int:
        paid.append(1)
        return len(paid)

    @agent(mode="event")
    async def pay(ctx: Context) -> int:
        return int(await ctx.step(charge, once=True))

    async with LocalNode({"pay": pay}) as node:
        node.crash_at_step("charge", "after_effect")
        run = await node.start("pay")
        await node.wait_review(run)
        await node.cancel(run)
        await node.wait(run)
        again = await node.retry(run)
        review = await node.wait_review(again)
        assert review.kind == "unknown_outcome"
        assert paid == [1]
        await node.decide(review, "edit", edited=7)
        assert (await node.wait(again)).output == 7
        assert paid == [1]


async def test_only_a_run_that_ended_badly_is_retried():
    gate, hold = held()
    async with LocalNode({"note": note, "hold": hold}) as node:
        run = await node.start("hold", "x")
        with pytest.raises(RunActive):
            await node.retry(run)
        gate.set()
        await node.wait(run)
        with pytest.raises(RunEnded):
            await node.retry(run)
        with pytest.raises(RunNotFound):
            await node.retry("run_unknown")
        cancelled = await node.cancel(await node.start("note", "x", delay=60))
        assert (await node.wait(await node.retry(cancelled))).output == "X"


async def test_a_run_that_is_not_kept_cannot_be_retried():
    gate, hold = held("stateless")
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold"))
        with pytest.raises(NotKept):
            await retry_run(node.world, "default", started.run.id)
        gate.set()


async def test_a_fork_goes_on_after_a_step():
    broken = Broken()
    broken.is_mended = True
    async with LocalNode({"work": broken.agent}) as node:
        run = await node.run("work")
        fork = await node.wait(await node.fork(run, after=run.step("first").key))
        assert fork.output == 3
        assert (broken.count("first"), broken.count("second")) == (1, 2)


async def test_a_fork_with_another_result_of_a_step_computes_what_follows_from_it():
    broken = Broken()
    broken.is_mended = True
    async with LocalNode({"work": broken.agent}) as node:
        run = await node.run("work")
        key = run.step("first").key
        fork = await node.wait(await node.fork(run, after=key, replace={key: 100}))
        assert fork.output == 102
        assert (await node.get(run)).output == 3


async def test_a_fork_names_a_step_that_is_there():
    async with LocalNode({"note": note}) as node:
        run = await node.run("note", "x")
        with pytest.raises(StepNotFound):
            await node.fork(run, after="no such step")
        with pytest.raises(StepNotFound):
            await node.fork(run, replace={"no such step": 1})


async def test_a_forked_turn_has_the_history_from_before_it_in_a_session_of_its_own():
    async with LocalNode({"chat": chat}) as node:
        runs = [await node.run("chat", text, session="s") for text in "abc"]
        fork = await node.wait(await node.fork(runs[1]))
        assert fork.output == ["a", "b"]
        assert fork.session != "s"
        assert (await node.run("chat", "d", session="s")).output == ["a", "b", "c", "d"]


async def test_a_forked_turn_that_stood_in_line_has_the_turns_that_were_before_it():
    """Sent at once, it was created before the turns in front of it had ended, and began after."""
    async with LocalNode({"chat": chat}) as node:
        started = await asyncio.gather(
            *(start_run(node.world, command("chat", f'"{text}"'.encode(), session="s")) for text in "abc")
        )
        for one in started:
            await node.wait(one.run.id)
        fork = await node.wait(await node.fork(started[2].run.id))
        assert fork.output == ["a", "b", "c"]


async def test_a_fork_with_another_result_goes_without_the_checkpoints_that_came_of_the_old_one():
    @agent(mode="event")
    async def work(ctx: Context) -> list:
        journal = attempt_here.get().journal
        kept = [one.decode() for one in journal.checkpoints("graph")]
        first = await ctx.step(lambda: 1, name="first")
        await journal.checkpoint("graph", "a", b'"before"')
        second = await ctx.step(lambda: 2, name="second")
        await journal.checkpoint("graph", "b", b'"after"')
        third = await ctx.step(lambda: 3, name="third")
        return [kept, first, second, third]

    async with LocalNode({"work": work}) as node:
        run = await node.run("work")
        assert run.output == [[], 1, 2, 3]
        assert [event.type for event in run.events].count("step.finished") == 3, "a checkpoint is nobody's event"
        second, third = run.step("second").key, run.step("third").key
        whole = await node.wait(await node.fork(run, after=third))
        assert whole.output == [['"before"', '"after"'], 1, 2, 3]
        changed = await node.wait(await node.fork(run, after=third, replace={second: 20}))
        assert changed.output == [['"before"'], 1, 20, 3]
