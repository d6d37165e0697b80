"""Turns of a session go to the node that had those before, other runs to one that is named, and all to any other when
that one does not take them.

Two workers and a gateway in this process, on one PostgreSQL and one bus; the clock is held. Where a turn must go to one
node, the others would wait for an hour; where it must go to another, they wait for a moment.
"""

import asyncio
from collections import Counter

import pytest

from pilothouse import Context, agent
from pilothouse.communication.bus.memory import MemoryBus
from pilothouse.compute.loops import Loops
from pilothouse.compute.options import AgentOptions, WorkerOptions
from pilothouse.compute.roster import SharedWorker
from pilothouse.compute.worker import NodeWorker
from pilothouse.domain.roster import warm_node
from pilothouse.engine.run import StartRun, start_run, wait_run
from pilothouse.engine.session_memory import SessionMemory
from pilothouse.engine.world import Limits, World
from pilothouse.testing.clock import ManualClock, ManualEntropy
from pilothouse.testing.shelf import Shelf

pytestmark = pytest.mark.slow
SESSIONS = ("ada", "bob", "cy", "dee", "eve", "fay")


@agent(mode="session")
async def chat(ctx: Context, text: str) -> int:
    return len(ctx.session.history)


@agent(mode="event")
async def note(text: str) -> str:
    return text


def leave_for(monkeypatch, span):
    for module in ("naming", "lease"):
        monkeypatch.setattr(f"pilothouse.engine.{module}.LEFT_FOR", span)


class Node:
    """`done`: the sessions of the turns that ended here, and None for what has none."""

    def __init__(self, name, role, records, bus, clock, number, folder, agents) -> None:
        options = WorkerOptions(str(folder), agents, is_alone=False, park_after=3600.0)
        self.own = NodeWorker(name, options, lambda: self.loops.ring_work())
        self.worker = SharedWorker(self.own, role, lambda text: None)
        self.world = World(records, bus, clock, ManualEntropy(number), self.worker, Limits())
        self.world.sessions = SessionMemory(is_shared=True)
        self.problems: list[str] = []
        self.loops = Loops(self.world, self.own, options, self.problems.append)
        self.done: list[str | None] = []
        self.world.on_end = lambda run, traceparent: self.done.append(run.session)
        records.listen(bus.publish)

    async def ask(self, agent: str, session: str | None = None) -> bytes | None:
        command = StartRun(tenant="default", agent=agent, input=b'"hello"', session=session, wants="later")
        run = (await start_run(self.world, command)).run
        run = await wait_run(self.world, "default", run.id, 60.0)
        assert run.status == "succeeded", run
        return run.output


@pytest.fixture
async def cluster(nodes, tmp_path, monkeypatch):
    """A gateway and two workers that have looked for work and found none."""
    monkeypatch.setattr("pilothouse.compute.loops.POLL_EVERY", 3600.0)
    leave_for(monkeypatch, 3_600_000_000)
    shelf, bus, clock = Shelf(), MemoryBus(), ManualClock()
    agents = {
        name: AgentOptions(shelf.put(name, one), is_inline=True) for name, one in (("chat", chat), ("note", note))
    }
    found = []
    for number, records in enumerate(await nodes(3)):
        role = "worker" if number else "gateway"
        found.append(Node(f"node-{number}", role, records, bus, clock, number, tmp_path, agents if number else {}))
    for node in found:
        await node.own.start()
        assert not node.own.problems
    for node in (*found, *found):
        await node.worker._beat(node.world)
    for node in found:
        await node.loops.start()
    async with asyncio.timeout(60):
        while any(node.own.backlog for node in found):
            await asyncio.sleep(0.01)
    yield found
    for node in found:
        await node.loops.stop()
    for node in found:
        await node.own.stop(0)
        for task in node.world.chores:
            task.cancel()
        await asyncio.gather(*node.world.chores, return_exceptions=True)
        assert node.problems == []
    shelf.clear()


async def ended(count: int, *nodes: Node) -> None:
    """Whoever waits for the end of a run may hear of it before its node has counted it."""
    async with asyncio.timeout(60):
        while sum(len(node.done) for node in nodes) < count:
            await asyncio.sleep(0.01)


async def test_the_turns_of_a_session_are_taken_by_one_node_and_sessions_are_spread(cluster):
    gateway, *workers = cluster
    for turn in range(3):
        for session in SESSIONS:
            assert await gateway.ask("chat", session) == b"%d" % turn
    await ended(3 * len(SESSIONS), *workers)
    names = tuple(node.own.owner for node in workers)
    for node in workers:
        mine = [one for one in SESSIONS if warm_node(names, "default", one) == node.own.owner]
        assert mine
        assert Counter(node.done) == Counter(mine * 3)


async def test_a_node_that_does_not_take_its_turns_is_not_waited_for(cluster, monkeypatch):
    leave_for(monkeypatch, 0)
    gateway, first, second = cluster
    await first.loops.stop()  # it is gone, and nobody knows yet
    for turn in range(2):
        for session in SESSIONS:
            assert await gateway.ask("chat", session) == b"%d" % turn
    await ended(2 * len(SESSIONS), first, second)
    assert (first.done, Counter(second.done)) == ([], Counter(SESSIONS * 2))


async def test_what_has_no_session_is_taken_by_the_one_that_is_named(cluster, monkeypatch):
    gateway, first, second = cluster
    claims = [count_claims(node) for node in (first, second)]
    for node, name in ((second, "node-2"), (first, "node-1")):
        monkeypatch.setattr(gateway.worker, "warm", lambda tenant, agent, session, name=name: name)
        for _ in range(4):
            assert await gateway.ask("note") == b'"hello"'
        await ended(4, node)
    assert (first.done, second.done) == ([None] * 4, [None] * 4)
    assert [sum(taken) for taken in claims] == [4, 4]
    assert [0 in taken for taken in claims] == [False, False]  # nobody was rung for in vain


async def test_what_has_no_session_is_taken_by_another_when_the_named_one_is_gone(cluster, monkeypatch):
    leave_for(monkeypatch, 0)
    gateway, first, second = cluster
    await first.loops.stop()
    monkeypatch.setattr(gateway.worker, "warm", lambda tenant, agent, session: "node-1")
    for _ in range(4):
        assert await gateway.ask("note") == b'"hello"'
    await ended(4, first, second)
    assert second.done == [None] * 4


async def test_one_that_is_named_and_has_no_place_leaves_it_to_the_others_at_once(cluster, monkeypatch):
    """Also the turn of a session that it remembers. Nobody has to look: that would be in an hour."""
    gateway, first, second = cluster
    monkeypatch.setattr(first.own, "_places", lambda agent: 0)
    mine = [one for one in SESSIONS if warm_node(("node-1", "node-2"), "default", one) == "node-1"]
    for session in (mine[0], None):
        monkeypatch.setattr(gateway.worker, "warm", lambda tenant, agent, session: "node-1")
        monkeypatch.setattr("pilothouse.compute.loops.PASS_ON_EVERY", 0.0)
        await gateway.ask("chat" if session else "note", session)
    await ended(2, first, second)
    assert (first.done, second.done) == ([], [mine[0], None])


def count_claims(node: Node) -> list[int]:
    """How many runs each claim of the node brings from now on."""
    found: list[int] = []
    claim = node.world.records.claim

    async def counted(asked):
        taken = await claim(asked)
        found.append(len(taken))
        return taken

    node.world.records.claim = counted  # type: ignore[method-assign]
    return found
