"""Places: whatever is reserved, begun, waited for and given up in any order, none is lost and none is given twice."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.compute.inline import InlineHost
from pilothouse.compute.options import AgentOptions, WorkerOptions
from pilothouse.compute.process import host_config
from pilothouse.compute.worker import NodeWorker
from pilothouse.testing import LocalNode
from tests.engine.agents import echo

SLOTS = 3


def worker(concurrency: int = 0) -> NodeWorker:
    """Two inline agents and SLOTS places, without any host code."""
    agents = {name: AgentOptions("builtins:len", is_inline=True, concurrency=concurrency) for name in ("a", "b")}
    return NodeWorker("test", WorkerOptions("/nowhere", agents, slots=SLOTS), lambda: None)


def spare_of(node: NodeWorker, options: WorkerOptions) -> InlineHost:
    """A second host, loaded and in reserve."""
    spare = node.inline_host(host_config(options, list(options.agents), ""))
    spare.is_spare = True
    node.hosts.append(spare)
    spare.start()
    return spare


async def test_a_spare_has_no_place_until_a_host_is_lost_which_is_the_spare_when_it_is_up_again():
    agents = {"a": AgentOptions("builtins:len", is_inline=True)}
    options = WorkerOptions("/nowhere", agents, slots=SLOTS, spares=1)
    node = await up(NodeWorker("test", options, lambda: None))
    node.backlog.clear()
    [first] = node.hosts
    spare = spare_of(node, options)
    assert (first.places, spare.places) == (SLOTS, 0)
    for serving, other in ((first, spare), (spare, first)):
        serving.lost()
        assert (serving.places, other.places) == (0, SLOTS)
        node.backlog.clear()
        assert [node.reserve("a", "acme") for _ in range(SLOTS + 1)] == [True] * SLOTS + [False]
        for _ in range(SLOTS):
            node.unreserve("a", "acme")
        serving.start()
        assert serving.is_up
        assert (serving.is_spare, serving.places) == (True, 0)
    assert [fact.name for fact in node.host_facts()] == ["0 (inline)", "1 (inline, spare)"]
    await node.stop(1.0)


async def test_a_host_without_a_living_spare_is_its_own_next_host():
    agents = {"a": AgentOptions("builtins:len", is_inline=True)}
    options = WorkerOptions("/nowhere", agents, slots=SLOTS, spares=1)
    node = await up(NodeWorker("test", options, lambda: None))
    [first] = node.hosts
    spare = spare_of(node, options)
    spare.lost()
    first.lost()
    assert (first.is_spare, spare.is_spare) == (False, True)
    first.start()
    assert (first.places, spare.places) == (SLOTS, 0)
    await node.stop(1.0)


async def up(node: NodeWorker) -> NodeWorker:
    await node.start()
    return node


actions = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "unreserve", "wait", "leave", "wish"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["acme", "globex"]),
    ),
    max_size=40,
)
Held = list[tuple[str, str]]
"""Agent and tenant of each place that is taken."""


@settings(max_examples=40, deadline=None)
@given(actions, st.sampled_from([0, 1, 2]))
def test_no_place_leaks_whatever_happens_in_which_order(steps, concurrency):
    async def play() -> None:
        node = await up(worker(concurrency))
        held: Held = []
        waiting: list[tuple[tuple[str, str], asyncio.Task[bool]]] = []
        for act, name, tenant in steps:
            node.backlog.clear()
            if act == "reserve" and node.reserve(name, tenant):
                held.append((name, tenant))
            elif act == "unreserve" and held:
                node.unreserve(*held.pop())
            elif act == "wait":
                waiting.append(((name, tenant), asyncio.create_task(node.wait_place(name, tenant, 5))))
                await asyncio.sleep(0)
            elif act == "leave" and waiting:
                waiting[0][1].cancel()
            elif act == "wish":
                node.backlog.add(name)
                for wish in node.wishes():
                    for _ in range(wish.count):
                        node.shares.hold(wish.agent, tenant)
                        held.append((wish.agent, tenant))
                node.backlog.clear()
            await settle(waiting, held)
            assert len(held) <= SLOTS
            assert not concurrency or all([agent for agent, _ in held].count(one) <= concurrency for one in "ab")
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
        held += [whose for whose, task in waiting if not task.cancelled() and task.result()]
        for whose in held:
            node.unreserve(*whose)
        assert node._reserved == {"inline": 0}
        assert not any(node._running.values())
        assert node.shares.held() == {}
        await node.stop(0)

    asyncio.run(play())


async def settle(waiting: list[tuple[tuple[str, str], Any]], held: Held) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    for entry in list(waiting):
        whose, task = entry
        if task.done():
            waiting.remove(entry)
            if not task.cancelled() and task.result():
                held.append(whose)


async def test_callers_of_a_quiet_tenant_stand_behind_one_of_a_flood_and_not_behind_all():
    node = await up(worker())
    node.backlog.clear()
    for _ in range(SLOTS):
        assert node.reserve("a", "flood")
    served: list[str] = []

    async def wait(tenant: str) -> None:
        if await node.wait_place("a", tenant, 30):
            served.append(tenant)

    callers = [asyncio.create_task(wait(tenant)) for tenant in ("flood",) * 5 + ("quiet",)]
    await asyncio.sleep(0)
    for _ in range(3):
        node.unreserve("a", "flood")
        await settle([], [])
    assert served == ["flood", "quiet", "flood"]
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await node.stop(0)


async def test_a_caller_who_leaves_in_the_moment_in_which_a_place_is_given_does_not_take_it_along():
    node = await up(worker())
    node.backlog.clear()
    held = [node.reserve("a", "acme") for _ in range(SLOTS)]
    assert all(held)
    caller = asyncio.create_task(node.wait_place("a", "acme", 5))
    await asyncio.sleep(0)
    node.unreserve("a", "acme")
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert node.reserve("a", "acme")
    await node.stop(0)


async def test_a_caller_waits_no_longer_than_it_likes_to():
    node = await up(worker())
    node.backlog.clear()
    for _ in range(SLOTS):
        assert node.reserve("a", "acme")
    assert not await node.wait_place("a", "acme", 0.01)
    node.unreserve("a", "acme")
    assert node.reserve("a", "acme")
    await node.stop(0)


async def test_all_places_are_free_when_all_runs_have_ended():
    async with LocalNode({"echo": echo}, slots=2) as node:
        for _ in range(5):
            await node.run("echo", "x")
        await node.settle()
        assert node.worker._reserved["inline"] == 0
        assert node.worker.hosts[0].places == 2
        assert node.worker.shares.held() == {}
