"""Saying that this node is there, and learning which others are.

Entries are documents of the records (tenant of nobody, kind `node`): a heartbeat is one small Change. A node that ends
takes its entry out; the entries of killed ones are removed by whoever finds them very old.
"""

import msgspec

from pilothouse.domain.agent import Agent
from pilothouse.domain.roster import FORGOTTEN_AFTER, Entry, Role
from pilothouse.engine.encoding import encode
from pilothouse.engine.own_key import NOBODY
from pilothouse.engine.world import World
from pilothouse.ports.change import Change, Conflict, WriteDocument

NODE = "node"
NODES_LIMIT = 1000

_read = msgspec.json.Decoder(Entry).decode


async def announce(world: World, role: Role, agents: tuple[Agent, ...]) -> None:
    """Writes or renews the entry of this node."""
    owner = world.worker.owner
    at = world.clock.now()
    body = encode(Entry(owner, role, agents, at, role != "gateway" and world.bus.post_limit > 0))
    found = await world.records.get_document(NOBODY, owner)
    version = found.version if found is not None else 0
    try:
        await world.records.commit(Change((WriteDocument(NOBODY, owner, NODE, version, role, body, at),)))
    except Conflict:
        return  # it was taken for forgotten in this moment; the next heartbeat writes it anew


async def depart(world: World) -> None:
    """Takes the entry of this node out."""
    await _remove(world, world.worker.owner)


async def read_roster(world: World) -> list[Entry]:
    """All entries. Removes those of nodes that are gone for long."""
    found, _ = await world.records.list_documents(NOBODY, NODE, None, None, NODES_LIMIT)
    entries = [_read(one.body) for one in found]
    old = world.clock.now() - FORGOTTEN_AFTER
    for entry in entries:
        if entry.at < old:
            await _remove(world, entry.owner)
    return [entry for entry in entries if entry.at >= old]


async def _remove(world: World, owner: str) -> None:
    found = await world.records.get_document(NOBODY, owner)
    if found is None:
        return
    try:
        at = world.clock.now()
        await world.records.commit(Change((WriteDocument(NOBODY, owner, NODE, found.version, found.state, None, at),)))
    except Conflict:
        return  # somebody else did, or it lives
