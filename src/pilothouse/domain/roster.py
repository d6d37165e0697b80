"""The roster: which nodes there are, what each is for, and which agents they host.

A node writes its entry into the records and renews it; one that was not renewed for long is not there any more. What is
known of an agent outlives its workers for a while, so that work for it is taken in while all of them restart.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from pilothouse.domain.agent import Agent

Role = Literal["all", "gateway", "worker"]

RENEW_EVERY = 3_000_000
"""Microseconds between two heartbeats of a node."""
GONE_AFTER = 12_000_000
"""A node whose entry is older than this is taken for dead."""
SLOTS = 1024
ALL_SLOTS = b"\xff" * (SLOTS // 8)
LEFT_FOR = 250_000
"""Microseconds for which what is ready is left to the node that was named for it."""
ANYBODY = "*"
"""In the place of a node: what is left to others may be taken at once, since the one that was named has no place."""
FORGOTTEN_AFTER = 24 * 3600 * 1_000_000
"""An entry that is older than this is removed, and the agents that only it hosted are unknown then."""


class Entry(Struct, frozen=True):
    """`owner` is the name under which the node holds leases; `at` when the entry was written."""

    owner: str
    role: Role
    agents: tuple[Agent, ...]
    at: int
    takes_direct: bool = False
    """It does stateless runs for whoever asks it over the bus."""


def is_there(entry: Entry, now: int) -> bool:
    return entry.at >= now - GONE_AFTER


def known_agents(entries: Iterable[Entry]) -> dict[str, Agent]:
    """Each agent as the node describes it that was heard last."""
    found: dict[str, Agent] = {}
    for entry in sorted(entries, key=lambda one: one.at):
        found.update((agent.name, agent) for agent in entry.agents)
    return found


def hosted_releases(entries: Sequence[Entry], now: int) -> dict[str, list[Agent]]:
    """Each agent in all releases that nodes which are there host; when none is there, as it was known last."""
    found: dict[str, list[Agent]] = {name: [agent] for name, agent in known_agents(entries).items()}
    there: dict[tuple[str, str], Agent] = {}
    for entry in sorted(entries, key=lambda one: one.at):
        if is_there(entry, now):
            there.update(((agent.name, agent.release), agent) for agent in entry.agents)
    found.update((name, []) for name, _ in there)
    for agent in there.values():
        found[agent.name].append(agent)
    return found


def direct_takers(entries: Iterable[Entry], now: int, own: str) -> dict[str, list[str]]:
    """By agent the nodes that are there, host it in the release that was heard of last, and may be asked directly."""
    found: dict[str, list[str]] = {}
    newest: dict[str, str] = {}
    for entry in sorted(entries, key=lambda one: one.at, reverse=True):
        if is_there(entry, now):
            for agent in entry.agents:
                is_newest = newest.setdefault(agent.name, agent.release) == agent.release
                if is_newest and entry.takes_direct and entry.owner != own:
                    found.setdefault(agent.name, []).append(entry.owner)
    return {name: sorted(owners) for name, owners in found.items()}


def hosting_nodes(entries: Iterable[Entry], now: int) -> dict[str, tuple[str, ...]]:
    """By agent the nodes that are there and host it, in whatever release, sorted."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if entry.role != "gateway" and is_there(entry, now):
            for name in {agent.name for agent in entry.agents}:
                found.setdefault(name, []).append(entry.owner)
    return {name: tuple(sorted(owners)) for name, owners in found.items()}


def slot_of(tenant: str, session: str) -> int:
    """Sessions are spread over SLOTS, and slots over nodes. The statement that claims computes the same."""
    found = hashlib.sha256(f"{tenant}\n{session}".encode()).digest()
    return found[0] << 2 | found[1] & 3


@lru_cache(maxsize=256)
def nodes_of_slots(nodes: tuple[str, ...]) -> tuple[str, ...]:
    """Which of them is to take the turns of the sessions of each slot. All that know the same nodes say the same, and
    when one comes or goes only its own slots move (highest random weight; Thaler and Ravishankar, 1998)."""
    weights = [(hashlib.shake_128(node.encode()).digest(SLOTS * 4), node) for node in nodes]
    return tuple(max((weight[at : at + 4], node) for weight, node in weights)[1] for at in range(0, SLOTS * 4, 4))


def warm_node(nodes: tuple[str, ...], tenant: str, session: str) -> str:
    return nodes_of_slots(nodes)[slot_of(tenant, session)]


@lru_cache(maxsize=256)
def warm_slots(nodes: tuple[str, ...], own: str) -> bytes:
    """The slots of one of them, a bit for each; all, when it is none of them."""
    if own not in nodes:
        return ALL_SLOTS
    found = bytearray(SLOTS // 8)
    for slot, node in enumerate(nodes_of_slots(nodes)):
        if node == own:
            found[slot >> 3] |= 1 << (slot & 7)
    return bytes(found)


def work_bell(agent: str, node: str) -> str:
    """The key of the bell `work` for something of the agent, with the node that is to take it if there is one."""
    return f"{agent}\n{node}" if node else agent


def read_work_bell(key: str) -> tuple[str, str]:
    """(agent, node); "" where nothing is said of it."""
    agent, _, node = key.partition("\n")
    return agent, node


def is_hosted(entries: Iterable[Entry], now: int, agent: str, release: str) -> bool:
    """Whether a node that is there hosts this release of the agent."""
    return any(
        one.name == agent and one.release == release
        for entry in entries
        if is_there(entry, now)
        for one in entry.agents
    )


def releases_elsewhere(entries: Iterable[Entry], now: int, own: str) -> dict[str, tuple[str, ...]]:
    """Of each agent the releases that other nodes, which are there, host, and this one (`own`) does not."""
    here: set[tuple[str, str]] = set()
    there: set[tuple[str, str]] = set()
    for entry in entries:
        if is_there(entry, now):
            (here if entry.owner == own else there).update((one.name, one.release) for one in entry.agents)
    found: dict[str, tuple[str, ...]] = {}
    for agent, release in sorted(there - here):
        found[agent] = (*found.get(agent, ()), release)
    return found
