"""The overview: what runs did in a span of time, as the few figures that say whether all is well.

It is made from facts about runs and nothing else, so that it says the same as the list of these runs. What was created
counts where it was created; how it ended, how long it took and what it cost counts where it ended. A percentile is the
nearest rank: of a hundred sorted values p95 is the 95th, so each figure is one that really was measured.
"""

from collections.abc import Iterable
from math import ceil

import msgspec
from msgspec import Struct

from pilothouse.domain.run import LIVE, TERMINAL, Status

FAULTS_SHOWN = 20
ROLLOVERS_SHOWN = 50


class RunFact(Struct, frozen=True, array_like=True):
    """What the overview has to know of a run. Instants in microseconds; `usage` and `error` are JSON bytes."""

    run: str
    agent: str
    status: Status
    created_at: int
    started_at: int | None
    finished_at: int | None
    usage: bytes | None
    error: bytes | None
    release: str = ""


class Spread(Struct, frozen=True):
    """Seconds. None: nothing was measured."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Figures(Struct):
    """Counts and sums. `lasted`: from the first attempt to the end, of runs that succeeded or failed; `waited`: from
    creation to the first attempt."""

    created: int = 0
    live: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    lasted: Spread = Spread()
    waited: Spread = Spread()


class Fault(Struct):
    """Runs of an agent that failed with the same code."""

    code: str
    agent: str
    runs: int
    last_run: str
    last_at: int


class Rollover(Struct, frozen=True):
    """The first run of a release of an agent that had run another one before."""

    agent: str
    release: str
    at: int


class Overview(Struct):
    """`slices` divide the time from `begin` to `end` evenly. `covers_from` is later than `begin` when there were more
    runs than are looked at: before it nothing is known."""

    begin: int
    end: int
    covers_from: int
    total: Figures
    slices: list[Figures]
    agents: dict[str, Figures]
    faults: list[Fault]
    releases: list[Rollover]


class _Spent(Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


class _Said(Struct):
    code: str = "failed"


_read_usage = msgspec.json.Decoder(_Spent).decode
_read_error = msgspec.json.Decoder(_Said).decode
UNKNOWN = "failed"


class _Gathered:
    """One set of figures while it grows."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.lasted: list[int] = []
        self.waited: list[int] = []

    def close(self) -> Figures:
        self.figures.lasted = spread_of(self.lasted)
        self.figures.waited = spread_of(self.waited)
        return self.figures


def summarise(facts: Iterable[RunFact], begin: int, end: int, slices: int, covers_from: int) -> Overview:
    """The overview of the facts, in any order. What lies outside of the span is left out."""
    facts = list(facts)
    width = max(1, (end - begin) / slices)
    total, agents = _Gathered(), dict[str, _Gathered]()
    parts = [_Gathered() for _ in range(slices)]
    faults: dict[tuple[str, str], Fault] = {}
    for fact in facts:
        of_agent = agents.setdefault(fact.agent, _Gathered())

        def at(instant: int, mine: _Gathered = of_agent) -> tuple[_Gathered, ...]:
            if not begin <= instant <= end:
                return ()
            return total, mine, parts[min(slices - 1, int((instant - begin) / width))]

        for one in at(fact.created_at):
            one.figures.created += 1
            if fact.status in LIVE:
                one.figures.live += 1
        if fact.started_at is not None:
            for one in at(fact.started_at):
                one.waited.append(max(0, fact.started_at - fact.created_at))
        if fact.status in TERMINAL and fact.finished_at is not None:
            _count_end(fact, at(fact.finished_at))
            if fact.status == "failed" and begin <= fact.finished_at <= end:
                _count_fault(fact, faults)
    worst = sorted(faults.values(), key=lambda fault: (-fault.runs, -fault.last_at))[:FAULTS_SHOWN]
    by_name = {name: agents[name].close() for name in sorted(agents)}
    return Overview(
        begin, end, covers_from, total.close(), [one.close() for one in parts], by_name, worst, find_rollovers(facts)
    )


def find_rollovers(facts: Iterable[RunFact]) -> list[Rollover]:
    """Where agents went over to another release, oldest first. The first release of each agent is no news."""
    first: dict[tuple[str, str], int] = {}
    for fact in facts:
        key = (fact.agent, fact.release)
        first[key] = min(first.get(key, fact.created_at), fact.created_at)
    found: list[Rollover] = []
    known: set[str] = set()
    for (agent, release), at in sorted(first.items(), key=lambda one: one[1]):
        if agent in known:
            found.append(Rollover(agent, release, at))
        known.add(agent)
    return found[-ROLLOVERS_SHOWN:]


def _count_end(fact: RunFact, places: Iterable[_Gathered]) -> None:
    spent = _Spent() if not fact.usage else _read_usage(fact.usage)
    for one in places:
        figures = one.figures
        match fact.status:
            case "succeeded":
                figures.succeeded += 1
            case "failed":
                figures.failed += 1
            case _:
                figures.cancelled += 1
        figures.input_tokens += spent.input_tokens
        figures.output_tokens += spent.output_tokens
        figures.cost_usd += spent.cost_usd
        if fact.started_at is not None and fact.finished_at is not None and fact.status != "cancelled":
            one.lasted.append(max(0, fact.finished_at - fact.started_at))


def _count_fault(fact: RunFact, faults: dict[tuple[str, str], Fault]) -> None:
    code = _read_error(fact.error).code if fact.error else UNKNOWN
    at = fact.finished_at or fact.created_at
    fault = faults.setdefault((fact.agent, code), Fault(code, fact.agent, 0, fact.run, at))
    fault.runs += 1
    if at > fault.last_at:
        fault.last_at, fault.last_run = at, fact.run


def spread_of(values: list[int]) -> Spread:
    """Percentiles of microseconds, as seconds."""
    if not values:
        return Spread()
    values.sort()
    ranks = (max(0, ceil(share * len(values)) - 1) for share in (0.5, 0.95, 0.99))
    return Spread(*(values[rank] / 1e6 for rank in ranks))
