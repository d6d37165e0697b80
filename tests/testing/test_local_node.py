"""`LocalNode` as a user has it: agents in, runs out, time and crashes in the hand of the test."""

import asyncio
import sys
from datetime import timedelta
from functools import partial

import pytest

from pilothouse import Context, Retry, agent, tool
from pilothouse.errors import AgentNotFound, InvalidInput, TargetInvalid
from pilothouse.testing import LocalNode, NodeCrashed, StillWaiting

SENT: list[str] = []


@tool(once=True)
async def refund(order: str) -> str:
    SENT.append(order)
    return f"refunded {order}"


@agent(mode="session")
async def support(ctx: Context, message: str) -> str:
    ctx.session.state["seen"] = message
    paid = await ctx.call_tool(refund, order=message)
    await ctx.emit("almost")
    answer = await ctx.review("send the letter?", {"order": message})
    return f"{paid}, {answer.verdict}"


@agent(mode="event")
async def patient(ctx: Context) -> str:
    await ctx.sleep(timedelta(hours=1))
    await ctx.sleep(timedelta(hours=1))
    return "done"


def plain_sum(a: int, b: int = 1) -> int:
    return a + b


plain = agent(plain_sum)


@pytest.fixture(autouse=True)
def nothing_sent() -> None:
    SENT.clear()


async def test_a_run_from_its_start_over_a_review_to_its_end():
    async with LocalNode({"support": support}) as node:
        run = await node.start("support", "A1", session="ann")
        review = await node.wait_review(run)
        assert review.details == {"order": "A1"}
        await node.decide(review, "approve")
        run = await node.wait(run)
        assert run.output == "refunded A1, approve"
        assert run.deltas == ["almost"]
        assert run.step("refund").output == "refunded A1"
        assert run.events[0].type == "run.queued"
        assert await node.state("support", "ann") == {"seen": "A1"}
        assert [turn.status for turn in await node.history("support", "ann")] == ["succeeded"]
        with pytest.raises(LookupError, match="no step 'pay'"):
            run.step("pay")


def test_the_same_without_async():
    with LocalNode({"support": support}) as node:
        run = node.start("support", "A1", session="ann")
        node.decide(node.wait_review(run), "reject")
        assert node.wait(run).output == "refunded A1, reject"
        assert node.state("support", "ann") == {"seen": "A1"}


def test_a_plain_function_needs_no_decorator():
    with LocalNode({"add": plain, "double": lambda value: value * 2}) as node:
        assert node.run("add", {"a": 1, "b": 2}).output == 3
        assert node.run("double", 21).output == 42


def test_what_cannot_be_loaded_is_told_at_once():
    with pytest.raises(TargetInvalid):
        LocalNode({"broken": "no.such:thing"}).__enter__()


def test_the_refusals_of_a_server_are_errors_of_the_test():
    with LocalNode({"add": plain}) as node:
        with pytest.raises(AgentNotFound):
            node.run("nobody")
        with pytest.raises(InvalidInput):
            node.run("add", {"a": "x"})


# --- time -----------------------------------------------------------------------------------------------------------


async def test_hours_pass_in_no_time_and_in_their_order():
    async with LocalNode({"patient": patient}) as node:
        run = await node.start("patient")
        begin = node.clock.now()
        await node.advance(hours=3)
        ended = await node.wait(run)
        assert ended.output == "done"
        assert (ended.run.finished_at or 0) - begin == 2 * 3_600_000_000
        assert node.clock.now() - begin == 3 * 3_600_000_000


async def test_a_run_that_waits_for_somebody_says_for_what():
    async with LocalNode({"patient": patient, "support": support}) as node:
        with pytest.raises(StillWaiting, match="sleep 'sleep' for 3600 s more"):
            await node.run("patient")
        with pytest.raises(StillWaiting, match="review 'review'"):
            await node.run("support", "A1")
        run = await node.start("patient")
        with pytest.raises(StillWaiting):
            await node.wait_review(run)


async def test_pauses_between_tries_of_a_step_go_by_the_clock_too():
    tries = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 4:
            raise OSError("not yet")
        return len(tries)

    @agent(mode="event")
    async def work(ctx: Context) -> int:
        return int(await ctx.step(flaky, retry=Retry(attempts=5, delay=100, factor=1, max_delay=100, jitter=0)))

    async with LocalNode({"work": work}) as node:
        run = await node.start("work")
        await node.advance(seconds=150)
        assert len(tries) == 2
        await node.advance(minutes=10)
        assert (await node.wait(run)).output == 4


async def test_a_step_that_the_test_holds_does_not_hold_the_clock():
    gate = asyncio.Event()

    @agent(mode="event")
    async def work(ctx: Context) -> None:
        await ctx.step(gate.wait, name="hold")

    async with LocalNode({"work": work}, patience=0.02) as node:
        run = await node.start("work")
        await node.advance(hours=1)
        assert (await node.get(run)).status == "running"
        with pytest.raises(TimeoutError, match="running"):
            await node.wait(run, within=0.05)
        gate.set()
        await node.wait(run)


# --- crashes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("when", "executions"), [("before", 1), ("after_effect", 2), ("after_commit", 1)])
async def test_a_crash_at_a_step_and_on(when, executions):
    done = []

    @agent(mode="event")
    async def work(ctx: Context) -> int:
        await ctx.step(lambda: done.append(1), name="charge")
        return len(done)

    async with LocalNode({"work": work}) as node:
        node.crash_at_step("charge", when)
        run = await node.run("work")
        assert (run.status, node.crashes, len(done)) == ("succeeded", 1, executions)
        assert node.executions["charge"] == executions


def test_a_crash_without_async():
    with LocalNode({"patient": patient}) as node:
        run = node.start("patient")
        node.advance(hours=1)
        node.crash()
        node.restart()
        node.advance(hours=1)
        assert node.wait(run).output == "done"


async def test_a_once_step_that_crashed_is_asked_about():
    async with LocalNode({"support": support}) as node:
        node.crash_at_step("refund", "after_effect")
        run = await node.start("support", "A1", session="ann")
        review = await node.wait_review(run)
        assert review.kind == "unknown_outcome"
        await node.decide(review, "edit", edited="it was refunded")
        await node.decide(await node.wait_review(run), "approve")
        assert (await node.wait(run)).output == "it was refunded, approve"
        assert SENT == ["A1"]


async def test_a_node_that_crashed_answers_nothing_when_the_test_restarts_it_itself():
    async with LocalNode({"patient": patient}, restarts=False) as node:
        run = await node.start("patient")
        node.crash()
        for act in (lambda: node.start("patient"), lambda: node.wait(run), lambda: node.cancel(run)):
            with pytest.raises(NodeCrashed):
                await act()
        await node.restart()
        await node.wait(run, "waiting")


async def test_a_run_that_is_not_kept_is_lost_with_its_node():
    gate = asyncio.Event()

    @agent
    async def hold() -> None:
        await gate.wait()

    async with LocalNode({"hold": hold}) as node:
        asked = asyncio.create_task(node.ask("hold"))
        await asyncio.sleep(0.01)
        node.crash()
        with pytest.raises(NodeCrashed):
            await asked


# --- leaving nothing behind -----------------------------------------------------------------------------------------


async def test_an_end_that_is_read_before_the_node_dies_of_writing_it_is_told_by_the_next_node(monkeypatch):
    """Such a run was given to a test whose node died in the next moment, and what it asked that node never ended."""
    looked = asyncio.Event()

    async def seen(*given, kept):
        found = await kept(*given)
        if found is not None and found.status == "succeeded":
            asyncio.get_running_loop().call_soon(looked.set)
        return found

    async with LocalNode({"plain": agent(mode="event")(plain_sum)}) as node:
        before = node.records.names.count("submit")
        await node.wait(await node.start("plain", {"a": 1}))
        writes = node.records.names.count("submit") - before
    async with LocalNode({"plain": agent(mode="event")(plain_sum)}) as node:
        node.records.strike(writes, "after", "submit")
        kept, submit = node.kept.get_run, node.kept.submit

        def late(change, done):
            """As a busy machine has it: the answer comes when somebody has read what was written."""

            def told(result):
                asyncio.ensure_future(looked.wait()).add_done_callback(lambda _: done(result))

            submit(change, told if node.records.is_dying else done)

        monkeypatch.setattr(node.kept, "submit", late)
        monkeypatch.setattr(node.kept, "get_run", partial(seen, kept=kept))
        ended = await node.wait(await node.start("plain", {"a": 1}))
        assert (ended.output, node.crashes) == (2, 1)
        assert not node.is_dead


async def test_a_node_leaves_no_task_path_or_file_behind(tmp_path):
    tasks, paths = asyncio.all_tasks(), list(sys.path)
    async with LocalNode({"support": support}, folder=tmp_path) as node:
        run = await node.start("support", "A1", session="ann")
        await node.wait_review(run)
    assert asyncio.all_tasks() == tasks
    assert sys.path == paths
    assert [path.name for path in tmp_path.iterdir()] == ["records.db"]


async def test_closing_twice_does_nothing():
    node = LocalNode({"add": plain})
    await node.open()
    await node.close()
    await node.close()


async def test_an_error_of_the_test_is_not_hidden_by_what_nobody_handled():
    async def fail() -> None:
        async with LocalNode({"add": plain}) as node:
            node.errors.append(RuntimeError("planted"))
            raise AssertionError("of the test")

    with pytest.raises(AssertionError, match="of the test") as caught:
        await fail()
    assert "planted" in caught.value.__notes__[0]


async def test_what_nobody_handled_fails_the_test():
    async def fail() -> None:
        async with LocalNode({"add": plain}) as node:
            node.errors.append(RuntimeError("planted"))

    with pytest.raises(RuntimeError, match="planted"):
        await fail()
