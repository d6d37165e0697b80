"""The worker as the engine of a node on shared records sees it: its own hosts, and what it knows of those of others.

A run of an agent that only others host is taken in, kept, and left in the records for their claims: there is never a
place for it here. So a gateway is a node whose own worker has no agents.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from pilothouse.compute.worker import NodeWorker
from pilothouse.domain.agent import KEEP_ALL, Agent
from pilothouse.domain.roster import (
    RENEW_EVERY,
    Entry,
    Role,
    direct_takers,
    hosted_releases,
    hosting_nodes,
    is_hosted,
    is_there,
    known_agents,
    releases_elsewhere,
    warm_node,
    warm_slots,
)
from pilothouse.engine.roster import announce, depart, read_roster
from pilothouse.engine.world import World
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.worker import Actor, Assignment, Crew, HostFact, Worker

TURN = 0.01
"""Seconds for which one node is named for all runs of an agent without a session."""


class SharedWorker(Worker):
    """`own` has the hosts of this node, if any."""

    def __init__(self, own: NodeWorker, role: Role, say: Callable[[str], None]) -> None:
        self.own, self.role, self._say = own, role, say
        own.is_shared = True
        self.unplaced: dict[tuple[str, str], int] = {}
        """How many runs that have begun wait for a release of an agent that no worker hosts."""
        self.entries: list[Entry] = []
        self._others: dict[str, Agent] = {}
        self._beat_at = 0
        self._suspects: dict[str, int] = {}
        """Takers that did not answer, and as of when."""
        self._takers: dict[str, list[str]] = {}
        self._turn = 0
        self._hosting: dict[str, tuple[str, ...]] = {}
        self._releases: dict[str, list[Agent]] = {}
        self._heart: asyncio.Task[None] | None = None
        self._workers = int(role != "gateway")
        """That are there, this node with them."""

    # --- the roster -------------------------------------------------------------------------------------------------

    async def join(self, world: World) -> None:
        """From now on this node is known, and knows the others."""
        await self._beat(world)
        self._heart = asyncio.get_running_loop().create_task(self._keep_beating(world), name="heartbeat")

    async def leave(self, world: World) -> None:
        """A second call does nothing."""
        heart, self._heart = self._heart, None
        if heart is not None:
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)
            with contextlib.suppress(RecordsUnavailable):
                await depart(world)

    def count_workers(self, now: int) -> int:
        """Nodes that have hosts and were heard of lately; this one counts whatever is known."""
        return max(1, sum(is_there(one, now) for one in self.entries if one.role != "gateway"))

    async def _keep_beating(self, world: World) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY / 1e6)
            with contextlib.suppress(RecordsUnavailable):
                await self._beat(world)

    async def _beat(self, world: World) -> None:
        await announce(world, self.role, tuple(self.own.agents()))
        self.entries = await read_roster(world)
        now = self._beat_at = world.clock.now()
        self._workers = sum(is_there(one, now) and one.role != "gateway" for one in self.entries)
        heard = {one.owner: one.at for one in self.entries}
        self._suspects = {owner: at for owner, at in self._suspects.items() if heard.get(owner, 0) <= at}
        self._takers = direct_takers(self.entries, now, self.owner) if world.bus.post_limit else {}
        # Whoever asks here waits for a run that is elsewhere: when nobody there answers at once, it must be in the
        # records.
        self._others = {
            name: one if name in self._takers else replace(one, keep=KEEP_ALL)
            for name, one in known_agents(self.entries).items()
        }
        self._releases = hosted_releases(self.entries, now)
        self._hosting = hosting_nodes(self.entries, now)
        self.own.elsewhere = releases_elsewhere(self.entries, now, self.owner)
        self.own.slots = {agent: warm_slots(nodes, self.owner) for agent, nodes in self._hosting.items()}
        await self._tell_unplaced(world)

    async def _tell_unplaced(self, world: World) -> None:
        """Says of runs that wait for a release which nobody has, once, and once more when somebody has it."""
        now = world.clock.now()
        waiting = {
            (agent, release): count
            for agent, release, count in await world.records.count_begun()
            if not is_hosted(self.entries, now, agent, release)
        }
        for (agent, release), count in waiting.items():
            if (agent, release) not in self.unplaced:
                what = f"{count} runs of {agent} wait: they began on release {release}, which no worker hosts"
                self._say(f"{what}. Start a worker that does, or cancel them and retry.")
        for agent, release in self.unplaced.keys() - waiting.keys():
            self._say(f"no run of {agent} waits for release {release} any more")
        self.unplaced = waiting

    # --- what the engine asks ---------------------------------------------------------------------------------------

    @property
    def owner(self) -> str:
        return self.own.owner

    def find(self, agent: str) -> Agent | None:
        return self.own.find(agent) or self._others.get(agent)

    def releases(self, agent: str) -> frozenset[str]:
        """By the last heartbeat: of nodes that died since the list is some seconds late."""
        now = self._beat_at
        there = (one for entry in self.entries if is_there(entry, now) for one in entry.agents)
        return self.own.releases(agent) | {one.release for one in there if one.name == agent}

    def takers(self, agent: str) -> Sequence[str]:
        if self.own.find(agent) is not None or (found := self._takers.get(agent)) is None:
            return ()
        self._turn += 1
        start = self._turn % len(found)
        turns = found[start:] + found[:start]
        return turns if not self._suspects else [one for one in turns if one not in self._suspects] or turns

    def warm(self, tenant: str, agent: str, session: str | None) -> str:
        """By the last heartbeat, as `releases`: what a dead one is left is taken by the others a moment later. What has
        no session goes to one for a while, so that what comes together is claimed together, and then to the next."""
        nodes = self._hosting.get(agent, ())
        if len(nodes) < 2:
            return ""
        if session is None:
            return nodes[int(asyncio.get_running_loop().time() / TURN) % len(nodes)]
        return warm_node(nodes, tenant, session)

    def suspect(self, taker: str) -> None:
        self._suspects.setdefault(taker, self._beat_at)

    def agents(self) -> list[Agent]:
        return list((self._others | {one.name: one for one in self.own.agents()}).values())

    def reserve(self, agent: str, tenant: str) -> bool:
        return self.own.find(agent) is not None and self.own.reserve(agent, tenant)

    async def wait_place(self, agent: str, tenant: str, within: float) -> bool:
        return self.own.find(agent) is not None and await self.own.wait_place(agent, tenant, within)

    def unreserve(self, agent: str, tenant: str) -> None:
        self.own.unreserve(agent, tenant)

    def begin(self, assignment: Assignment) -> Actor:
        return self.own.begin(assignment)

    def gate(self, is_gated: bool) -> None:
        self.own.gate(is_gated)

    async def check(self, agent: str, input: bytes) -> list[dict[str, str]]:
        """Of an agent that others host only what its schema says can be told here: what that lets pass, or a release
        beside it would, is left to the attempt."""
        if self.own.find(agent) is not None:
            return await self.own.check(agent, input)
        found: list[dict[str, str]] = []
        for one in self._releases.get(agent, ()):
            found = self.own.schemas.faults(one, input)
            if not found:
                break
        return found

    def crew(self) -> Crew:
        """Workers are taken to be alike: as large as this node's settings say."""
        return replace(self.own.crew(), workers=self._workers)

    def host_facts(self) -> list[HostFact]:
        """Of the hosts of this node."""
        return self.own.host_facts()
