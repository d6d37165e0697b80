"""Telling one node of work, and all of them when it does not come.

Where several nodes host an agent, a bell that all of them hear makes each of them claim, and all but one find nothing.
So the bell names one. Whoever rang looks once more after `LEFT_FOR`: what is still there then, since the named one is
gone, full or deaf, is rung for everybody. Like every bell it may be lost; polls find what nobody was told of.
"""

import asyncio

from pilothouse.domain.roster import LEFT_FOR, work_bell
from pilothouse.engine.world import World, spawn
from pilothouse.errors import RecordsUnavailable


def ring_for(world: World, tenant: str, agent: str, session: str | None) -> None:
    """A run of the agent is ready."""
    node = world.worker.warm(tenant, agent, session)
    world.bus.ring("work", work_bell(agent, node), node)
    if node:
        if not world.named:
            _look_later(world)
        world.named[agent] = asyncio.get_running_loop().time()


def _look_later(world: World) -> None:
    asyncio.get_running_loop().call_later(LEFT_FOR / 1e6, lambda: spawn(world, _look(world)))


async def _look(world: World) -> None:
    began_at, at = asyncio.get_running_loop().time(), world.clock.now()
    for agent, named_at in list(world.named.items()):
        try:
            is_left = world.is_draining or await world.records.is_left(agent, at - LEFT_FOR)
        except RecordsUnavailable:
            is_left = True
        if is_left:
            world.bus.ring("work", agent)
        if named_at <= began_at - LEFT_FOR / 1e6 and world.named[agent] == named_at:
            del world.named[agent]
    if world.named:
        _look_later(world)
