"""Places: whatever is reserved, begun, waited for and given up in any order, none is lost and none is given twice."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.compute.options import AgentOptions, WorkerOptions
from pilothouse.compute.worker import NodeWorker
from pilothouse.testing import LocalNode
from tests.engine.agents import echo

SLOTS = 3


def worker(concurrency: int = 0) -> NodeWorker:
    """Two inline agents and SLOTS places, without any host code."""
    agents = {name: AgentOptions("builtins:len", is_inline=True, concurrency=concurrency) for name in ("a", "b")}
    return NodeWorker("test", WorkerOptions("/nowhere", agents, slots=SLOTS), lambda: None)


async def up(node: NodeWorker) -> NodeWorker:
    await node.start()
    return node


actions = st.lists(
    st.tuples(st.sampled_from(["reserve", "unreserve", "wait", "leave", "wish"]), st.sampled_from(["a", "b"])),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(actions, st.sampled_from([0, 1, 2]))
def test_no_place_leaks_whatever_happens_in_which_order(steps, concurrency):
    async def play() -> None:
        node = await up(worker(concurrency))
        held: list[str] = []
        waiting: list[tuple[str, asyncio.Task[bool]]] = []
        for act, name in steps:
            node.backlog.clear()
            if act == "reserve" and node.reserve(name):
                held.append(name)
            elif act == "unreserve" and held:
                node.unreserve(held.pop())
            elif act == "wait":
                waiting.append((name, asyncio.create_task(node.wait_place(name, 5))))
                await asyncio.sleep(0)
            elif act == "leave" and waiting:
                waiting[0][1].cancel()
            elif act == "wish":
                node.backlog.add(name)
                held += [wish.agent for wish in node.wishes() for _ in range(wish.count)]
                node.backlog.clear()
            await settle(waiting, held)
            assert len(held) <= SLOTS
            assert not concurrency or all(held.count(one) <= concurrency for one in held)
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
        held += [name for name, task in waiting if not task.cancelled() and task.result()]
        for name in held:
            node.unreserve(name)
        assert node._reserved == {"inline": 0}
        assert not any(node._running.values())
        await node.stop(0)

    asyncio.run(play())


async def settle(waiting: list[tuple[str, Any]], held: list[str]) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    for entry in list(waiting):
        name, task = entry
        if task.done():
            waiting.remove(entry)
            if not task.cancelled() and task.result():
                held.append(name)


async def test_a_caller_who_leaves_in_the_moment_in_which_a_place_is_given_does_not_take_it_along():
    node = await up(worker())
    node.backlog.clear()
    held = [node.reserve("a") for _ in range(SLOTS)]
    assert all(held)
    caller = asyncio.create_task(node.wait_place("a", 5))
    await asyncio.sleep(0)
    node.unreserve("a")
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert node.reserve("a")
    await node.stop(0)


async def test_a_caller_waits_no_longer_than_it_likes_to():
    node = await up(worker())
    node.backlog.clear()
    for _ in range(SLOTS):
        assert node.reserve("a")
    assert not await node.wait_place("a", 0.01)
    node.unreserve("a")
    assert node.reserve("a")
    await node.stop(0)


async def test_all_places_are_free_when_all_runs_have_ended():
    async with LocalNode({"echo": echo}, slots=2) as node:
        for _ in range(5):
            await node.run("echo", "x")
        await node.settle()
        assert node.worker._reserved["inline"] == 0
        assert node.worker.hosts[0].places == 2
