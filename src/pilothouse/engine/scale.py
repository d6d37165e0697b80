"""Reading the signals that an autoscaler goes by: what waits and runs on all nodes, and how many workers that wants.

Nothing is asked of the records here: the backlog is counted every second anyway, so a scaler that asks often costs
nothing, and every node gives the same answer within that second. Numbers only: nothing in it is a tenant's.
"""

from pilothouse.domain.scale import AgentLoad, Scale, scale_of
from pilothouse.engine.world import World


def read_scale(world: World, agent: str | None = None) -> Scale:
    """Of all agents, or of one."""
    at, crew = world.clock.now(), world.worker.crew()
    ready: dict[str, int] = {}
    running: dict[str, int] = {}
    waited: dict[str, float] = {}
    for (tenant, name), backlog in world.backlogs.known.items():
        ready[name] = ready.get(name, 0) + backlog.queue.ready
        running[name] = running.get(name, 0) + backlog.queue.running
        waited[name] = max(waited.get(name, 0.0), world.backlogs.waited(tenant, name, at))
    names = sorted({*ready, *(one.name for one in world.worker.agents())})
    loads = tuple(
        AgentLoad(
            agent=name,
            ready=ready.get(name, 0),
            running=running.get(name, 0),
            oldest_wait=waited.get(name, 0.0),
            places=crew.places_of.get(name, crew.places),
            run_seconds=crew.run_seconds.get(name),
        )
        for name in names
        if agent is None or name == agent
    )
    return scale_of(loads, crew.workers, crew.places, world.limits.scale)
