"""The node's part in alerts, for who has no Prometheus: what it counted goes to whoever keeps the books, in rounds.

It remembers which counts were kept, so that a round that failed loses nothing: the next one tells it all. What fires
is judged over all nodes and kept in the records (`domain.alert`, `engine.alert`); here is only what the last round
heard of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct, field

from pilothouse.domain.alert import DOLLAR, UNUSUAL, Gained, Totals
from pilothouse.domain.objective import Alert, Objectives

__all__ = ["UNUSUAL", "Alerts", "Totals", "watch"]

EVERY = 15.0
"""Seconds between rounds."""
RETIRE_EVERY = 240
"""Rounds."""

Counts = Mapping[tuple[str, str], tuple[int, int]]
TotalsOf = Callable[[str], Totals]


class Judged(Protocol):
    @property
    def firing(self) -> list[Alert]: ...

    @property
    def changes(self) -> list[Alert]:
        """What this node was the one to tell."""
        ...

    @property
    def is_kept(self) -> bool: ...


Judge = Callable[[str, Objectives, Gained, bool], Awaitable[Judged]]
"""The last says that this node ends."""
Retire = Callable[[list[str]], Awaitable[list[Alert]]]


class Seen(Struct):
    """The counts of an agent at an instant: those of its objectives, and its totals."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    totals: Totals = Totals()

    def since(self, before: "Seen") -> Gained:
        counts = {
            name: (total - was[0], missed - was[1])
            for name, (total, missed) in self.counts.items()
            for was in (before.counts.get(name, (0, 0)),)
        }
        now, then = self.totals, before.totals
        totals = Totals(now.runs - then.runs, now.seconds - then.seconds, now.cost - then.cost)
        return Gained(counts, totals, round(now.cost * DOLLAR) - round(then.cost * DOLLAR))


class Alerts:
    """`round` tells `judge` of each agent with objectives what this node counted; `on_change` hears of each alert that
    begins, gets worse or better, or is resolved, on the one node that told of it."""

    def __init__(
        self,
        objectives: Mapping[str, Objectives],
        counts: Counts,
        totals: TotalsOf,
        judge: Judge,
        retire: Retire,
        on_change: Callable[[Alert], None],
    ) -> None:
        self._objectives, self._counts, self._totals = objectives, counts, totals
        self._judge, self._retire, self._on_change = judge, retire, on_change
        self._kept: dict[str, Seen] = {}
        self._firing: dict[str, list[Alert]] = {}

    def firing(self) -> list[Alert]:
        """Of all nodes, as of the last round."""
        return [alert for alerts in self._firing.values() for alert in alerts]

    async def round(self, *, is_last: bool = False) -> None:
        """Raises what the records raise; what was not kept is told again in the next one."""
        for agent, objectives in self._objectives.items():
            counts = {name: self._counts[agent, name] for name in objectives.names if (agent, name) in self._counts}
            seen = Seen(counts, self._totals(agent))
            gained = seen.since(self._kept.get(agent, Seen()))
            judged = await self._judge(agent, objectives, gained, is_last)
            if judged.is_kept:
                self._kept[agent] = seen
            self._firing[agent] = judged.firing
            self._tell(judged.changes)

    async def retire(self) -> None:
        """What fires of agents that have no objectives any more is resolved."""
        self._tell(await self._retire(list(self._objectives)))

    def _tell(self, changes: list[Alert]) -> None:
        for alert in changes:
            self._on_change(alert)


async def watch(alerts: Alerts, warn: Callable[[str], None], every: float = EVERY) -> None:
    """Rounds without end, for the life of a node. Records that cannot be used are told once, and asked again."""
    is_told, number = False, 0
    while True:
        try:
            if number % RETIRE_EVERY == 0:
                await alerts.retire()
            await alerts.round()
            is_told, number = False, number + 1
        except Exception as error:
            if not is_told:
                warn(f"objectives cannot be judged: {error}; they are tried again every {every:g} s")
            is_told = True
        await asyncio.sleep(every)
