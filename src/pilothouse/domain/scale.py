"""How many workers the work that there is wants: the signal that an autoscaler goes by.

One formula for every asker, so that a metric, the endpoint and the command never differ:

    places wanted = runs that run + runs that are ready x min(1, seconds of a run / seconds to drain)
    workers wanted = places wanted / (places of a worker x share of them that is to be busy), rounded up

By Little's law a place works off `drain / run` ready runs in the time to drain; a run that takes longer than that needs
a place of its own. What a run takes is measured; where it is not known yet each ready run wants a place.
"""

from math import ceil

from msgspec import Struct

ROUNDING = 1e-9


class ScaleRule(Struct, frozen=True):
    """`busy`: the share of places that is to be taken. `drain`: seconds in which what is ready should have started."""

    busy: float = 0.8
    drain: float = 30.0
    least: int = 1
    most: int = 100


class AgentLoad(Struct, frozen=True):
    """`places`: of one worker, for this agent. `run_seconds`: for which one attempt holds a place; None: not known."""

    agent: str
    ready: int
    running: int
    oldest_wait: float
    places: int
    run_seconds: float | None


class Scale(Struct, frozen=True):
    """`busy`: the share of all places that is taken, 0 to 1; over 1 never, since a run holds one place."""

    wanted: int
    workers: int
    places: int
    ready: int
    running: int
    oldest_wait: float
    busy: float
    agents: tuple[AgentLoad, ...]


def places_wanted(load: AgentLoad, rule: ScaleRule) -> float:
    share = 1.0 if load.run_seconds is None else min(1.0, load.run_seconds / rule.drain)
    return load.running + load.ready * share


def workers_wanted(loads: tuple[AgentLoad, ...], places: int, rule: ScaleRule) -> int:
    """Enough for all agents together, and for each that has a limit of its own on a worker."""
    together = sum(places_wanted(load, rule) for load in loads) / (places * rule.busy)
    alone = [places_wanted(load, rule) / (load.places * rule.busy) for load in loads]
    wanted = ceil(max([together, *alone]) - ROUNDING)
    if any(load.ready for load in loads):
        wanted = max(1, wanted)
    return max(rule.least, min(rule.most, wanted))


def scale_of(loads: tuple[AgentLoad, ...], workers: int, places: int, rule: ScaleRule) -> Scale:
    """`workers` that are there now, each with `places`."""
    running = sum(load.running for load in loads)
    return Scale(
        wanted=workers_wanted(loads, places, rule),
        workers=workers,
        places=workers * places,
        ready=sum(load.ready for load in loads),
        running=running,
        oldest_wait=max((load.oldest_wait for load in loads), default=0.0),
        busy=min(1.0, running / (workers * places)) if workers else 0.0,
        agents=loads,
    )


def agent_busy(load: AgentLoad, workers: int) -> float:
    """The share of the places which all workers have for the agent that its runs hold."""
    return min(1.0, load.running / (workers * load.places)) if workers else 0.0
