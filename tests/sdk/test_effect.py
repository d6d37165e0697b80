"""Effects: the model calls and tool calls that a bridge makes for its framework, kept as steps."""

import asyncio
import dataclasses
from datetime import UTC

import msgspec
import pytest

import pilothouse
from pilothouse import Answer, Context, Retry, StepTimeout
from pilothouse.domain.journal import ENDED
from pilothouse.sdk.bridges.pause import Verdict, ask_about_call, verdict_of
from pilothouse.sdk.scope import attempt_here, counting_here, step_here
from tests.sdk.node import Node


class Provider(Exception):
    """What a client of a provider raises: a text, and facts beside it."""

    def __init__(self, text, status=0, response=None):
        super().__init__(text)
        self.status = status
        self.response = response


class Interrupt(BaseException):
    """How a framework leaves a tool in the middle."""


@dataclasses.dataclass
class Reply:
    text: str


def bridged(function):
    """An agent that is handed what a bridge is handed: the attempt."""

    async def agent(ctx: Context):
        return await function(attempt_here.get())

    return agent


async def replayed(node):
    first = await node.output()
    rows = list(node.rows)
    assert await node.output() == first
    assert node.rows == rows, "a replay writes nothing"
    return first


@pytest.mark.parametrize("kept", [True, False])
async def test_a_result_is_given_back_as_load_reads_it(kept):
    ran = []

    async def body(arguments):
        ran.append(arguments)
        return Reply("hello")

    async def run(attempt):
        reply = await attempt.effect(
            "model", "gpt", {"messages": ["hi"]}, body, dump=dataclasses.asdict, load=lambda value: Reply(**value)
        )
        assert isinstance(reply, Reply)
        return reply.text

    node = Node(bridged(run), kept=kept)
    assert await node.output() == await node.output() == "hello"
    assert ran == [{"messages": ["hi"]}] * (1 if kept else 2)
    assert [row.name for row in node.ended("model")] == (["gpt"] if kept else [])


async def test_tool_calls_are_told_apart_by_the_id_their_framework_gave_them():
    """Equal calls side by side: each finds its own result, whatever order they are asked in."""

    async def run(attempt, order):
        async def body(_):
            return order.pop(0)

        calls = {name: attempt.effect("tool", "look", {"q": 1}, body, call_id=name) for name in list(order)}
        return dict(zip(calls, await asyncio.gather(*calls.values()), strict=True))

    async def agent(ctx: Context, order: list[str]):
        return await run(attempt_here.get(), order)

    node = Node(agent)
    assert await node.output(["a", "b"]) == {"a": "a", "b": "b"}
    assert await node.output(["b", "a"]) == {"a": "a", "b": "b"}
    assert len(node.ended("tool")) == 2


async def test_the_time_of_a_run_is_the_same_on_a_replay_wherever_it_is_asked_for():
    """A framework has no context to ask. What a prompt is made of must not change, or it is another prompt."""
    told = []

    async def run(attempt):
        async def body(_):
            assert pilothouse.now() is not None  # of the clock: a step that ended is not replayed
            return None

        at = [pilothouse.now(), await asyncio.to_thread(pilothouse.now)]
        await attempt.effect("model", "gpt", {"prompt": f"It is {at}."}, body)
        told.append(at)

    node = Node(bridged(run))
    await replayed(node)
    assert told[0] == told[1]
    assert [row.kind for row in node.rows if row.phase == ENDED] == ["value", "value", "model"]
    assert pilothouse.now().tzinfo is UTC


async def test_calls_of_another_scope_are_counted_by_themselves():
    async def run(attempt):
        async def body(_):
            return None

        for scope in ("one", "two", "one"):
            await attempt.effect("model", "gpt", {}, body, scope=scope)

    node = Node(bridged(run))
    await replayed(node)
    assert sorted(row.key.rpartition("-")[2] for row in node.ended("model")) == ["1", "1", "2"]


async def test_a_failure_is_the_framework_s_own_exception_now_and_on_every_replay():
    ran = []

    async def run(attempt):
        async def body(_):
            ran.append(1)
            raise Provider("rate limited", 429, response=object())

        try:
            await attempt.effect("model", "gpt", {}, body)
        except Provider as error:
            return [str(error), error.status, hasattr(error, "response")]

    node = Node(bridged(run))
    assert await replayed(node) == ["rate limited", 429, False]
    assert ran == [1]


async def test_a_recorded_failure_ends_the_run_with_its_own_words_and_is_not_tried_again():
    async def run(attempt):
        async def body(_):
            raise Provider("no such model", 404)

        await attempt.effect("model", "gpt", {}, body)

    node = Node(bridged(run))
    word = await node.run()
    assert "no such model" in msgspec.json.decode(word.error)["message"]
    assert not word.retryable


async def test_what_a_framework_interrupts_itself_with_goes_through_and_leaves_no_end():
    ran = []

    async def run(attempt):
        async def body(_):
            ran.append(1)
            if len(ran) == 1:
                raise Interrupt
            return "done"

        for _ in range(2):
            try:
                return await attempt.effect("tool", "ask", {}, body, call_id="c1", passing=(Interrupt,))
            except Interrupt:
                continue

    node = Node(bridged(run))
    assert await node.output() == "done"
    assert len(node.ended("tool")) == 1


async def test_usage_inside_a_model_step_counts_once_and_tool_calls_are_counted():
    async def run(attempt):
        async def ask(_):
            attempt.record_usage(input_tokens=5, output_tokens=2, model_calls=1)

        async def look(_):
            assert step_here.get().kind == "tool"

        await attempt.effect("model", "gpt", {}, ask)
        await attempt.effect("tool", "look", {}, look)

    node = Node(bridged(run))
    first, second = await node.run(), await node.run()
    assert first.usage == second.usage
    usage = msgspec.json.decode(first.usage)
    assert (usage["input_tokens"], usage["output_tokens"], usage["model_calls"], usage["tool_calls"]) == (5, 2, 1, 1)


async def test_an_effect_keeps_its_limits_of_time_and_tries():
    tries = []

    async def run(attempt):
        async def body(_):
            tries.append(1)
            await asyncio.Event().wait()

        try:
            await attempt.effect("model", "gpt", {}, body, timeout=0.01, retry=Retry(attempts=2, delay=0.0))
        except StepTimeout as error:
            return error.code

    assert await replayed(Node(bridged(run))) == "step_timeout"
    assert len(tries) == 2


async def test_a_result_that_cannot_be_kept_is_the_step_s_failure():
    async def run(attempt):
        async def body(_):
            return object()

        try:
            await attempt.effect("tool", "look", {}, body)
        except TypeError as error:
            return str(error)

    assert "cannot be written as JSON" in await replayed(Node(bridged(run)))


async def test_a_call_is_asked_about_with_its_raw_arguments_and_the_answer_outlives_the_attempt():
    async def run(attempt):
        verdict = await ask_about_call(attempt, "langgraph", "refund", {"cents": 5}, call_id="c1")
        return [verdict.is_allowed, verdict.arguments]

    node = Node(bridged(run), late={"review": Answer(verdict="edit", edited={"cents": 4})}, park_after=0.01)
    assert await node.output() == [True, {"cents": 4}]
    [asked] = node.asked
    assert msgspec.json.decode(asked.details) == {
        "framework": "langgraph",
        "tool": "refund",
        "arguments": {"cents": 5},
        "call_id": "c1",
    }


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(verdict="approve"), Verdict(True)),
        (Answer(verdict="edit", edited={"a": 1}), Verdict(True, {"a": 1})),
        (Answer(verdict="reject", reason="too much"), Verdict(False, message="too much")),
        (Answer(verdict="respond", response="did it"), Verdict(False, message="did it", is_result=True)),
        (Answer(verdict="expired"), Verdict(False, message="Nobody answered in time.")),
    ],
)
def test_an_answer_is_what_every_framework_can_take(answer, verdict):
    assert verdict_of(answer) == verdict


def test_edited_arguments_that_are_no_object_are_a_refusal_with_the_reason():
    verdict = verdict_of(Answer(verdict="edit", edited=[1]))
    assert not verdict.is_allowed
    assert "no JSON object" in verdict.message


def test_a_result_that_is_given_out_at_once_is_kept_and_not_repeated_and_nothing_runs_before_it_is_durable():
    """Code that blocks the event loop cannot wait for its row: what comes after waits instead."""
    ran = []

    async def run(attempt):
        def ask():
            ran.append("ask")
            attempt.record_usage(input_tokens=3, model_calls=1)
            return "said"

        said = attempt.effect_at_once("model", "gpt", {"q": 1}, ask)
        kept = [row.name for row in node.rows]

        async def look(_):
            ran.append("look")
            return [row.name for row in node.rows]

        return [said, kept, await attempt.effect("tool", "look", {}, look)]

    node = Node(bridged(run))

    async def both():
        assert await node.output() == ["said", [], ["gpt"]]
        rows = list(node.rows)
        second = await node.run()
        assert msgspec.json.decode(second.output)[0] == "said"
        assert node.rows == rows
        assert msgspec.json.decode(second.usage)["model_calls"] == 1

    asyncio.run(both())
    assert ran == ["ask", "look"]


async def test_a_failure_that_is_given_out_at_once_is_the_same_on_replay():
    ran = []

    async def run(attempt):
        def ask():
            ran.append(1)
            raise Provider("busy", 429)

        try:
            attempt.effect_at_once("model", "gpt", {}, ask)
        except Provider as error:
            return [str(error), error.status]

    assert await replayed(Node(bridged(run))) == ["busy", 429]
    assert ran == [1]


async def test_a_tool_cannot_be_called_where_nobody_can_be_asked_about_it():
    async def run(attempt):
        attempt.effect_at_once("tool", "refund", {}, lambda: "done")

    assert "call it with await" in (await Node(bridged(run)).failure())["message"]


async def test_equal_calls_of_other_parts_are_counted_part_by_part():
    """A part that ended is not run again: what it asked for must not answer what another part asks for."""

    async def run(attempt):
        async def body(_):
            ran.append(part)
            return part

        said = []
        for part in parts:
            token = counting_here.set(lambda: part)  # noqa: B023 - asked for at once
            said += [await attempt.effect("model", "gpt", {}, body), await attempt.effect("model", "gpt", {}, body)]
            counting_here.reset(token)
        return said

    ran: list[str] = []
    parts = ["a", "b"]
    node = Node(bridged(run))
    assert await node.output() == ["a", "a", "b", "b"]
    parts = ["b"]
    assert await node.output() == ["b", "b"]
    assert ran == ["a", "a", "b", "b"]
