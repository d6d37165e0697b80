"""The roster: which nodes there are, what each is for, and which agents they host.

A node writes its entry into the records and renews it; one that was not renewed for long is not there any more. What is
known of an agent outlives its workers for a while, so that work for it is taken in while all of them restart.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from pilothouse.domain.agent import Agent

Role = Literal["all", "gateway", "worker"]

RENEW_EVERY = 3_000_000
"""Microseconds between two heartbeats of a node."""
GONE_AFTER = 12_000_000
"""A node whose entry is older than this is taken for dead."""
FORGOTTEN_AFTER = 24 * 3600 * 1_000_000
"""An entry that is older than this is removed, and the agents that only it hosted are unknown then."""


class Entry(Struct, frozen=True):
    """`owner` is the name under which the node holds leases; `at` when the entry was written."""

    owner: str
    role: Role
    agents: tuple[Agent, ...]
    at: int


def is_there(entry: Entry, now: int) -> bool:
    return entry.at >= now - GONE_AFTER


def known_agents(entries: Iterable[Entry]) -> dict[str, Agent]:
    """Each agent as the node describes it that was heard last."""
    found: dict[str, Agent] = {}
    for entry in sorted(entries, key=lambda one: one.at):
        found.update((agent.name, agent) for agent in entry.agents)
    return found


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
