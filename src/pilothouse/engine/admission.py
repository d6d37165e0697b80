"""Whether more work is taken in: the admission of a node that has too much to do.

What is refused was never acknowledged, and what was acknowledged is never dropped to make room (I18). A tenant is
measured by its own backlog: the flood of one leads to no refusal of another.
"""

from math import ceil

from pilothouse.engine.world import World
from pilothouse.errors import Overloaded, TenantOverloaded
from pilothouse.ports.records import Queue

RETRY_AT_MOST = 60
WORKED_OFF = 0.1
"""Of what waits, so much should be gone when a caller who was refused comes again."""


async def count_backlogs(world: World) -> Queue:
    """All work of the records that has not ended; the node goes by it until the next count."""
    before, of_tenants = world.taken_in, dict(world.backlogs.taken_in)
    world.backlogs.learn(await world.records.list_backlogs(), of_tenants)
    queue = world.backlogs.total()
    world.queued = queue.ready + queue.held + world.taken_in - before
    return queue


def admit(world: World, tenant: str, agent: str, at: int) -> None:
    """Raises `TenantOverloaded` when the tenant has as many runs queued as it may have, and `Overloaded` when its work
    for the agent waits longer than callers are to wait. Nothing was written then."""
    limits, backlogs = world.limits, world.backlogs
    if backlogs.of_tenant(tenant) >= limits.queue:
        waited = max((backlogs.waited(tenant, one, at) for of, one in backlogs.known if of == tenant), default=0.0)
        refusal = TenantOverloaded(queued=limits.queue)
        refusal.retry_after = retry_after(waited * WORKED_OFF)
        raise refusal
    if limits.queue_wait:
        waited = backlogs.waited(tenant, agent, at)
        if waited > limits.queue_wait:
            late = Overloaded(f"Work for the agent {agent!r} has waited {waited:.0f} s, over {limits.queue_wait:g} s.")
            late.retry_after = retry_after(waited - limits.queue_wait)
            raise late


def retry_after(seconds: float) -> int:
    """What a refused caller is told. A queue of n that its head has waited w for is worked off at n / w a second
    (Little, 1961), so a tenth of it takes a tenth of w; and at that rate the wait falls by a second in each second in
    which nothing new comes."""
    return max(1, min(RETRY_AT_MOST, ceil(seconds)))
