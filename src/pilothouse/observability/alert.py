"""The node's own evaluator, for who has no Prometheus: the same table of burn rates over the node's own counts.

It remembers what the counters were, no further back than the longest window and only where they changed, and judges at
each round. What it knows ends with the process, so a window that began before it holds what was counted since; and a
node judges the runs that ended on it. Several nodes are judged together by Prometheus (`objective`).
"""

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from pilothouse.domain.objective import BURNS, Alert, Count, Objectives, worst_burn
from pilothouse.ports.clock import Clock
from pilothouse.ports.meter import AlertBoard

EVERY = 15.0
"""Seconds between rounds."""
SAMPLES_LIMIT = 20_000
"""Of one objective. When there are more, the oldest half is given up: the longest windows become shorter."""
SECOND = 1_000_000
LONGEST = max(burn.long for burn in BURNS) * SECOND

Counts = Mapping[tuple[str, str], tuple[int, int]]


class History:
    """What two counters were at instants of the past."""

    def __init__(self) -> None:
        self._at, self._total, self._missed = array("q"), array("q"), array("q")

    def note(self, at: int, total: int, missed: int) -> None:
        if self._total and self._total[-1] == total:  # the time at which it began to be so is what counts
            return
        self._at.append(at)
        self._total.append(total)
        self._missed.append(missed)
        old = bisect_right(self._at, at - LONGEST) - 1
        if len(self._at) > SAMPLES_LIMIT:
            old = max(old, SAMPLES_LIMIT // 2)
        if old > 0:
            del self._at[:old], self._total[:old], self._missed[:old]

    def within(self, at: int, seconds: int) -> Count:
        """What was counted in the window that ends at `at`."""
        if not self._at:
            return Count(0, 0)
        before = bisect_right(self._at, at - seconds * SECOND) - 1
        total, missed = (self._total[before], self._missed[before]) if before >= 0 else (0, 0)
        return Count(self._total[-1] - total, self._missed[-1] - missed)


class Alerts(AlertBoard):
    """`round` judges; `on_change` is told of each alert that begins, gets worse or better, or is resolved."""

    def __init__(
        self, objectives: Mapping[str, Objectives], counts: Counts, on_change: Callable[[Alert], None]
    ) -> None:
        self._objectives, self._counts, self._on_change = objectives, counts, on_change
        self._histories: dict[tuple[str, str], History] = {}
        self._firing: dict[tuple[str, str], Alert] = {}

    def firing(self) -> list[Alert]:
        return sorted(self._firing.values(), key=lambda one: (one.severity, one.since))

    def round(self, at: int) -> None:
        for key, (total, missed) in self._counts.items():
            history = self._histories.setdefault(key, History())
            history.note(at, total, missed)
            self._judge(key, history, at)

    def _judge(self, key: tuple[str, str], history: History, at: int) -> None:
        agent, objective = key
        share = self._objectives[agent].share
        burn = worst_burn(share, lambda seconds: history.within(at, seconds))
        before = self._firing.get(key)
        if burn is None:
            if before is not None:
                del self._firing[key]
                self._on_change(replace(before, resolved_at=at))
            return
        if before is not None and before.severity == burn.severity:
            return
        count = history.within(at, burn.long)
        now = Alert(
            agent=agent,
            objective=objective,
            severity=burn.severity,
            since=before.since if before is not None else at,
            missed_share=count.missed / count.total,
            promised_share=share,
            window=burn.long,
        )
        self._firing[key] = now
        self._on_change(now)


async def watch(alerts: Alerts, clock: Clock, every: float = EVERY) -> None:
    """Rounds without end, for the life of a node."""
    while True:
        alerts.round(clock.now())
        await asyncio.sleep(every)
