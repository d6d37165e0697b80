"""The signals of an autoscaler as JSON: flat numbers at fixed places, so that one word finds each.

Numbers of all tenants together, and nothing of what runs are for.
"""

from msgspec import Struct

from pilothouse.domain.scale import Scale, agent_busy


class AgentScaleView(Struct, kw_only=True):
    """`busy`: the share of the places for this agent that is taken. `run_seconds`: how long a run holds its place;
    null: not known yet on this node."""

    agent: str
    ready: int
    running: int
    oldest_wait_seconds: float
    busy: float
    run_seconds: float | None


class ScaleView(Struct, kw_only=True):
    """`wanted`: how many workers there should be; `workers`: how many there are, with `places` together."""

    wanted: int
    workers: int
    places: int
    ready: int
    running: int
    oldest_wait_seconds: float
    busy: float
    agents: list[AgentScaleView]


def scale_view(scale: Scale) -> ScaleView:
    return ScaleView(
        wanted=scale.wanted,
        workers=scale.workers,
        places=scale.places,
        ready=scale.ready,
        running=scale.running,
        oldest_wait_seconds=round(scale.oldest_wait, 3),
        busy=round(scale.busy, 4),
        agents=[
            AgentScaleView(
                agent=load.agent,
                ready=load.ready,
                running=load.running,
                oldest_wait_seconds=round(load.oldest_wait, 3),
                busy=round(agent_busy(load, scale.workers), 4),
                run_seconds=None if load.run_seconds is None else round(load.run_seconds, 3),
            )
            for load in scale.agents
        ],
    )
