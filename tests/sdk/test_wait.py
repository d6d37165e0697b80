"""Waits: begun durably, ended from outside or when they are due, and never early."""

import asyncio

import msgspec
import pytest

from pilothouse import CallFailed, Context, SignalTimeout
from pilothouse.domain.journal import BEGUN, ENDED, StepRow
from pilothouse.wire import frames
from tests.sdk.node import SLOT, Node, end_of, now


async def test_a_sleep_is_two_rows_and_is_never_early():
    async def agent(ctx: Context):
        await ctx.sleep(0.02)

    node = Node(agent)
    await node.output()
    begun, ended = node.rows
    assert [begun.phase, ended.phase, begun.kind] == [BEGUN, ENDED, "sleep"]
    assert begun.due_at == begun.started_at + 20_000
    assert ended.finished_at >= begun.due_at


async def test_a_sleep_that_was_begun_is_not_begun_anew():
    async def agent(ctx: Context):
        await ctx.sleep(30)
        return "awake"

    node = Node(agent)
    with node.begin():
        await node.until(frames.StepStarted)
        await asyncio.sleep(0)
    [begun] = node.rows
    node.rows = [msgspec.structs.replace(begun, due_at=now() + 5_000)]
    assert await asyncio.wait_for(node.output(), 60) == "awake"


async def test_a_signal_gives_its_payload_and_signals_of_a_name_come_in_order():
    async def agent(ctx: Context):
        return [await ctx.signal("go"), await ctx.signal("go"), await ctx.signal("stop")]

    payloads = iter([{"n": 1}, {"n": 2}])
    node = Node(agent, answers={"go": lambda _: next(payloads), "stop": None})
    assert await node.output() == [{"n": 1}, {"n": 2}, None]
    assert [row.key for row in node.ended("signal")] == ["signal.go-1", "signal.go-2", "signal.stop-1"]


async def test_a_signal_that_came_before_it_was_asked_for_is_there():
    async def step():
        return 1

    async def agent(ctx: Context):
        await ctx.step(step)
        return await ctx.signal("go")

    node = Node(agent)
    node.rows = [StepRow("signal.go-1", "signal", "go", ENDED, "succeeded", output=b'"early"')]
    assert await node.output() == "early"
    assert not [row for row in node.rows if row.kind == "signal" and row.phase == BEGUN]


async def test_a_signal_that_does_not_come_in_time_raises_and_so_does_its_replay():
    async def agent(ctx: Context):
        try:
            await ctx.signal("go", timeout=0.01)
        except SignalTimeout as error:
            return [error.code, str(error)]

    node = Node(agent)
    first = await node.output()
    assert first == await node.output()
    assert first[0] == "signal_timeout"
    assert "go" in first[1]


@pytest.mark.parametrize("verdict", ["approve", "edit", "reject", "respond", "expired"])
async def test_a_review_gives_the_answer_of_a_person(verdict):
    async def agent(ctx: Context):
        answer = await ctx.review("May I?", {"b": 1, "a": 2}, within=60)
        return [answer.verdict, answer.edited, answer.response, answer.reason, answer.by]

    given = {"verdict": verdict, "edited": {"x": 1}, "response": "r", "reason": "why", "by": "ada"}
    node = Node(agent, answers={"review": given})
    assert await node.output() == [verdict, {"x": 1}, "r", "why", "ada"]
    [asked] = node.asked
    assert (asked.question, asked.details, asked.kind) == ("May I?", b'{"a":2,"b":1}', "gate")
    assert asked.expires_at == asked.row.started_at + 60_000_000


async def test_a_called_agent_gives_its_output_or_its_failure():
    async def agent(ctx: Context):
        told = [await ctx.call("other", {"n": 1})]
        try:
            await ctx.call("broken")
        except CallFailed as error:
            told.append([error.code, "broken" in str(error)])
        return told

    failure = CallFailed(agent="broken", status="failed", text="no", run="run_2")
    node = Node(agent, answers={"other": [1], "broken": failure})
    first = await node.output()
    assert first == [[1], ["call_failed", True]]
    assert await node.output() == first
    calls = [one for one in node.heard if isinstance(one, frames.CallAgent)]
    assert [(one.agent, one.input) for one in calls] == [("other", b'{"n":1}'), ("broken", b"null")]


async def test_the_first_of_several_waits_to_end_goes_on_alone():
    async def agent(ctx: Context):
        waits = [asyncio.ensure_future(ctx.signal(name)) for name in ("one", "two")]
        done, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        return [task.result() for task in done]

    node = Node(agent)
    with node.begin():
        await node.until(frames.StepStarted, 2)
        await asyncio.sleep(0)
        row = end_of(next(one for one in node.rows if one.name == "two"), "second")
        node.send(frames.Resolved(SLOT, row))
        word = await node.word()
    assert word.output == b'["second"]'


@pytest.mark.parametrize("verb", ["signal", "review"])
async def test_a_wait_needs_a_run_that_is_kept(verb):
    async def agent(ctx: Context):
        await getattr(ctx, verb)("name")

    node = Node(agent, kept=False, mode="stateless")
    word = await node.run()
    assert b"not_kept" in word.error
    assert word.retryable is False


async def test_a_run_that_is_not_kept_may_sleep():
    async def agent(ctx: Context):
        await ctx.sleep(0.001)
        return 1

    assert await Node(agent, kept=False).output() == 1


async def test_spans_names_and_questions_are_checked_in_the_call():
    async def agent(ctx: Context):
        told = []
        for ask in (
            lambda: ctx.sleep(float("inf")),
            lambda: ctx.sleep(1e12),
            lambda: ctx.signal("no spaces"),
            lambda: ctx.call("No Agent"),
            lambda: ctx.review("x" * 10_001),
        ):
            try:
                ask()
            except ValueError as error:
                told.append(type(error).__name__)
        return told

    assert await Node(agent).output() == ["ValueError"] * 5


async def test_a_cancel_ends_a_wait_and_what_the_function_returns_then_does_not_count():
    seen = []

    async def agent(ctx: Context):
        try:
            await ctx.signal("go")
        except asyncio.CancelledError:
            seen.append(ctx.cancelled)
        with pytest.raises(asyncio.CancelledError):
            ctx.now()
        return "too late"

    node = Node(agent)
    with node.begin():
        await node.until(frames.StepStarted)
        node.send(frames.Cancel(SLOT, "no longer wanted"))
        assert isinstance(await node.word(), frames.Stopped)
    assert seen == [True]


async def test_what_an_abandoned_attempt_still_does_is_not_heard():
    async def agent(ctx: Context):
        await ctx.signal("go")

    node = Node(agent)
    with node.begin():
        await node.until(frames.StepStarted)
        count = len(node.heard)
        node.send(frames.Abandon(SLOT))
        assert node.runtime.active == 0
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(node.heard) == count
