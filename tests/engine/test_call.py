"""Agents that call agents: one run for each call whatever crashes, failures, cancels, depth."""

import asyncio
from typing import Any

import pytest

from pilothouse import CallFailed, Context, agent
from pilothouse.engine.cancel import cancel_run
from pilothouse.engine.run import start_run, wait_started
from pilothouse.engine.world import Limits
from pilothouse.ports.records import RunFilter
from pilothouse.testing import LocalNode
from pilothouse.testing.invariants import check_one_end
from tests.engine.agents import command, echo, held, note


def caller(name: str, mode: Any = "event") -> Any:
    @agent(mode=mode)
    async def call(ctx: Context, text: str) -> str:
        try:
            return f"called {await ctx.call(name, text)}"
        except CallFailed as error:
            return f"failed {error.message}"

    return call


async def children(node: LocalNode, parent: str) -> list[str]:
    return [run.id for run in (await node.kept.list_runs("default", RunFilter(parent=parent), None, 100)).items]


@pytest.mark.parametrize(("name", "output"), [("note", "called X"), ("echo", "called x")])
async def test_the_output_of_the_called_run_is_the_result_of_the_call(name, output):
    async with LocalNode({"call": caller(name), "note": note, "echo": echo}) as node:
        run = await node.run("call", "x")
        assert run.output == output
        (child,) = await children(node, run.id)
        assert (await node.get(child)).run.parent == run.id


async def test_a_called_run_that_fails_fails_the_call():
    @agent(mode="event")
    async def broken(text: str) -> str:
        raise ValueError("no idea")

    async with LocalNode({"call": caller("broken"), "broken": broken}) as node:
        run = await node.run("call", "x")
        assert "broken" in run.output
        assert "no idea" in run.output


async def test_an_agent_that_is_not_there_fails_the_call():
    async with LocalNode({"call": caller("nobody")}) as node:
        run = await node.run("call", "x")
        assert run.output.startswith("failed")
        assert run.step("nobody").status == "failed"


async def test_an_input_that_does_not_fit_fails_the_call():
    @agent(mode="event")
    async def number(value: int) -> int:
        return value

    async with LocalNode({"call": caller("number"), "number": number}) as node:
        assert (await node.run("call", "x")).output.startswith("failed")


async def test_a_caller_waits_without_an_attempt_while_the_called_run_takes_hours():
    @agent(mode="event")
    async def slow(ctx: Context, text: str) -> str:
        await ctx.sleep(7200)
        return text

    async with LocalNode({"call": caller("slow"), "slow": slow}) as node:
        run = await node.start("call", "x")
        await node.wait(run, "waiting")
        await node.settle()
        assert node.world.attempts == {}
        await node.advance(hours=3)
        assert (await node.wait(run)).output == "called x"


async def test_many_calls_at_once_each_make_one_run():
    @agent(mode="event")
    async def fan(ctx: Context, count: int) -> list[str]:
        return list(await asyncio.gather(*(ctx.call("note", str(number)) for number in range(count))))

    async with LocalNode({"fan": fan, "note": note}) as node:
        run = await node.run("fan", 30)
        assert run.output == [str(number) for number in range(30)]
        assert len(await children(node, run.id)) == 30


async def test_a_cancel_of_the_caller_cancels_what_it_called_and_what_that_called():
    _gate, hold = held()
    async with LocalNode({"top": caller("middle"), "middle": caller("hold"), "hold": hold}) as node:
        run = await node.start("top", "x")
        await node.wait(run, "waiting")
        (middle,) = await children(node, run.id)
        await node.wait(middle, "waiting")
        (bottom,) = await children(node, middle)
        await node.cancel(run)
        for one in (run.id, middle, bottom):
            assert (await node.wait(one)).status == "cancelled"


async def test_a_cancel_while_the_call_is_on_its_way_leaves_no_run_behind():
    gate, hold = held()
    async with LocalNode({"call": caller("hold"), "hold": hold}, patience=0.05) as node:
        run = await node.start("call", "x")
        await node.cancel(run)
        assert (await node.wait(run)).status == "cancelled"
        await node.settle()
        for child in await children(node, run.id):
            assert (await node.wait(child)).status == "cancelled"
        gate.set()


async def test_a_caller_whose_deadline_passes_while_it_waits_takes_its_called_runs_along():
    _gate, hold = held()
    async with LocalNode({"call": caller("hold"), "hold": hold}, patience=0.1) as node:
        run = await node.start("call", "x", deadline=60)
        await node.wait(run, "waiting")
        (child,) = await children(node, run.id)
        await node.advance(minutes=2)
        assert (await node.get(run)).status == "failed"
        assert (await node.wait(child)).status == "cancelled"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["before", "after"])
async def test_a_crash_between_the_wait_and_the_called_run_does_not_lose_the_call(mode):
    """The wait is durable, the called run is not: the next attempt finds the wait and must start what is missing."""
    async with LocalNode({"call": caller("note"), "note": note}) as counting:
        before = counting.records.calls
        await counting.run("call", "x")
        calls = counting.records.calls - before
    for at in range(1, calls + 1):
        async with LocalNode({"call": caller("note"), "note": note}) as node:
            node.records.strike(at, mode)
            run = await node.run("call", "x")
            assert run.output == "called X"
            assert len(await children(node, run.id)) == 1


async def test_a_call_is_not_failed_by_a_node_that_shuts_down():
    gate = asyncio.Event()

    @agent(mode="event")
    async def call(ctx: Context, text: str) -> str:
        await ctx.step(gate.wait, name="hold")
        return str(await ctx.call("note", text))

    async with LocalNode({"call": call, "note": note}, patience=0.05) as node:
        run = await node.start("call", "x")
        await node.wait(run, "running")
        node.world.is_draining = node.worker.is_draining = True
        gate.set()
        await node.settle()
        await node.restart()
        assert (await node.wait(run)).output == "X"


async def test_calls_have_a_depth_limit():
    @agent(mode="event")
    async def recursive(ctx: Context, depth: int) -> int:
        try:
            return int(await ctx.call("recursive", depth + 1))
        except CallFailed:
            return depth

    async with LocalNode({"recursive": recursive}, limits=Limits(depth=4)) as node:
        assert (await node.run("recursive", 1)).output == 4


async def test_a_stateless_run_calls_as_well():
    async with LocalNode({"call": caller("echo", "stateless"), "echo": echo}) as node:
        started = await start_run(node.world, command("call"))
        assert (await wait_started(node.world, started, None)).output == b'"called x"'


async def test_the_called_run_of_a_stateless_caller_ends_with_it():
    _gate, hold = held()
    async with LocalNode({"call": caller("hold", "stateless"), "hold": hold}, patience=0.05) as node:
        started = await start_run(node.world, command("call"))
        await node.settle()
        (child,) = (await node.kept.list_runs("default", RunFilter(agent="hold"), None, 10)).items
        await cancel_run(node.world, "default", started.run.id)
        assert (await wait_started(node.world, started, None)).status == "cancelled"
        assert (await node.wait(child.id)).status == "cancelled"


async def test_a_caller_hears_of_the_end_while_its_attempt_is_still_there():
    gate = asyncio.Event()

    @agent(mode="event")
    async def both(ctx: Context) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step(gate.wait, name="hold"))
            called = group.create_task(ctx.call("note", "x"))
        return str(called.result())

    async with LocalNode({"both": both, "note": note}, patience=0.05) as node:
        run = await node.start("both")
        await node.settle()
        gate.set()
        ended = await node.wait(run)
        assert ended.output == "X"
        assert check_one_end(ended) == []
