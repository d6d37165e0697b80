"""Functions as agents: async or sync, returning or yielding, with no, one or several parameters."""

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from pilothouse import BlockingContext, Context, StepFailed
from pilothouse.sdk.bridges.function import FunctionBridge
from pilothouse.wire import frames
from tests.sdk.node import SLOT, Node

if TYPE_CHECKING:
    from nowhere import Context as Elsewhere  # type: ignore[import-not-found]


async def gives(number):
    return number


async def test_a_sync_agent_runs_in_a_thread_with_a_context_that_blocks():
    def agent(ctx: BlockingContext, input: int):
        assert threading.current_thread().name.startswith("agent")
        told = [ctx.step(gives, input), ctx.step(lambda: threading.current_thread().name[:4])]
        ctx.sleep(0.001)
        told += [ctx.signal("go"), ctx.review("May I?").verdict, ctx.call("other"), ctx.random() == ctx.random()]
        ctx.emit("piece")
        try:
            ctx.step(int, "x")
        except StepFailed as error:
            told.append(error.kind)
        return told

    answers = {"go": 1, "review": {"verdict": "approve"}, "other": 2}
    node = Node(agent, answers=answers)
    first = await node.output(5)
    assert first == [5, "step", 1, "approve", 2, False, "ValueError"]
    assert node.deltas == ["piece"]
    rows = list(node.rows)
    assert await node.output(5) == first
    assert node.rows == rows


async def test_a_sync_agent_that_is_cancelled_ends_at_its_next_word():
    ended = threading.Event()

    def agent(ctx: BlockingContext):
        try:
            ctx.signal("go")
        finally:
            ended.set()

    node = Node(agent)
    with node.begin():
        await node.until(frames.StepStarted)
        node.send(frames.Cancel(SLOT, "no longer wanted"))
        assert isinstance(await node.word(), frames.Stopped)
    assert ended.wait(5)


async def test_more_sync_agents_than_threads_do_not_starve_their_own_steps():
    def agent(ctx: BlockingContext):
        return ctx.step(lambda: 1)

    nodes = [Node(agent) for _ in range(12)]
    assert await asyncio.gather(*(node.output() for node in nodes)) == [1] * 12


@pytest.mark.parametrize("pieces", [["a", "b"], ["a", 1], []], ids=["text", "mixed", "none"])
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_generator_emits_its_pieces_and_gives_all_of_them(kind, pieces):
    async def yields(ctx: Context):
        for piece in pieces:
            yield piece

    def yields_blocking(ctx: BlockingContext):
        yield from pieces

    node = Node(yields if kind == "async" else yields_blocking)
    assert await node.output() == ("ab" if pieces == ["a", "b"] else pieces)
    assert node.deltas == pieces


async def test_a_generator_that_is_cancelled_closes():
    closed = []

    async def agent(ctx: Context):
        try:
            yield "one"
            await ctx.signal("go")
        finally:
            closed.append(True)

    node = Node(agent)
    with node.begin():
        await node.until(frames.StepStarted)
        node.send(frames.Cancel(SLOT, "no longer wanted"))
        assert isinstance(await node.word(), frames.Stopped)
    assert closed == [True]


async def test_several_parameters_are_the_members_of_the_input():
    async def agent(a: int, b: str = "x", *, c: list[int] | None = None):
        return [a, b, c]

    assert await Node(agent).output({"a": 1}) == [1, "x", None]
    assert await Node(agent).output({"a": 1, "b": "y", "c": [2]}) == [1, "y", [2]]
    word = await Node(agent).run({"b": 5, "d": 1})
    assert isinstance(word, frames.Rejected)
    for path in (b"$.a", b"$.b", b"$.d"):
        assert path in word.faults


async def test_one_parameter_is_the_input_itself_with_or_without_a_context():
    async def plain(text: str) -> str:
        return text.upper()

    async def named(ctx, text: str = "none") -> str:
        return text + str(ctx.run.attempt)

    assert await Node(plain).output("x") == "X"
    assert await Node(named).output("x") == "x1"
    assert await Node(named).output(None) == "none1"
    assert isinstance(await Node(plain).run(5), frames.Rejected)


async def test_no_parameter_takes_no_input():
    async def agent():
        return 1

    assert [await Node(agent).output(), await Node(agent).output({})] == [1, 1]
    assert isinstance(await Node(agent).run({"a": 1}), frames.Rejected)


async def test_a_context_that_is_imported_for_type_checkers_only_is_known_by_its_name():
    async def agent(ctx: "Elsewhere", number: int):
        return number + ctx.run.attempt

    assert await Node(agent).output(1) == 2


async def test_an_object_with_call_is_an_agent():
    class Agent:
        async def __call__(self, ctx: Context, input: int):
            return await ctx.step(gives, input)

    assert await Node(Agent()).output(3) == 3


@pytest.mark.parametrize("agent", [lambda *parts: parts, lambda **parts: parts], ids=["args", "kwargs"])
def test_parameters_without_names_are_refused(agent):
    with pytest.raises(TypeError, match="name the parameters"):
        FunctionBridge(agent)


async def test_an_output_that_does_not_fit_is_the_failure_of_the_run():
    async def agent() -> int:
        return "five"  # type: ignore[return-value]

    assert (await Node(agent).failure())["code"] == "invalid_output"


async def test_an_error_of_the_agent_is_told_with_its_own_traceback_only():
    class Broken(LookupError):
        pass

    async def agent(ctx: Context):
        raise Broken("no such thing")

    word = await Node(agent).run()
    assert b"no such thing" in word.error
    assert {"LookupError", "Exception"} <= set(word.kinds)
    assert word.retryable
    assert "test_function.py" in word.traceback
    assert "sdk/attempt.py" not in word.traceback


async def test_an_agent_that_ends_the_process_only_fails_its_run():
    async def agent(ctx: Context):
        raise SystemExit(1)

    assert isinstance(await Node(agent).run(), frames.Failed)


async def test_a_context_of_the_loop_is_refused_in_a_thread():
    def misuse(ctx):
        ctx.now()

    async def agent(ctx: Context):
        await ctx.step(misuse, ctx)

    error = await Node(agent).failure()
    assert "belongs to the event loop" in error["message"]


async def test_an_input_is_checked_without_running_anything():
    ran = []

    async def agent(number: int):
        ran.append(number)

    node = Node(agent)
    with node.begin(1) as runtime:
        await node.word()
        node.send(frames.Check(7, "agent", b'"x"'), frames.Check(8, "agent", b"2"), frames.Check(9, "nobody", b"2"))
        await node.until(frames.Checked, 3)
        assert runtime.active == 0
    checked = {one.ref: one.faults for one in node.heard if isinstance(one, frames.Checked)}
    assert [checked[7] is None, checked[8] is None, b"no agent" in checked[9]] == [False, True, True]
    assert ran == [1]
