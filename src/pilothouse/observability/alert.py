"""The node's own evaluator, for who has no Prometheus: the same table of burn rates over the node's own counts, what
was spent in a day, and what is far from usual (`domain.usual`).

It remembers what the counters were, no further back than the longest window and only where they changed, and judges at
each round. What it knows ends with the process, so a window that began before it holds what was counted since; and a
node judges the runs that ended on it. Several nodes are judged together by Prometheus (`objective`).
"""

import asyncio
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from pilothouse.domain.objective import BURNS, COST, REVIEW, Alert, Count, Objectives, worst_burn
from pilothouse.domain.usual import QUANTITIES, SLOT, Slots, share_of
from pilothouse.ports.clock import Clock
from pilothouse.ports.meter import AlertBoard

EVERY = 15.0
"""Seconds between rounds."""
SAMPLES_LIMIT = 20_000
"""Of one objective. When there are more, the oldest half is given up: the longest windows become shorter."""
RESOLVED_KEPT = 200
"""Alerts that are remembered after they were resolved."""
SECOND = 1_000_000
DOLLAR = 1_000_000
LONGEST = max(burn.long for burn in BURNS) * SECOND

A_DAY = 86_400
UNUSUAL = "usual_"

Counts = Mapping[tuple[str, str], tuple[int, int]]


class Totals(Struct, frozen=True):
    """What the ended runs of an agent come to, since the node began."""

    runs: int = 0
    seconds: float = 0.0
    cost: float = 0.0


TotalsOf = Callable[[str], Totals]


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


class Habits:
    """The slots of an agent, and the totals with which the one that is going on began."""

    def __init__(self, at: int, totals: Totals) -> None:
        self.slots = {quantity: Slots(quantity) for quantity in QUANTITIES}
        self._slot, self._before = at // (SLOT * SECOND), totals

    def round(self, at: int, totals: Totals) -> dict[str, float] | None:
        """What the slot that ended came to, by quantity; None while it goes on. Where nobody looked for several slots
        (the machine slept) they are taken as one, of their average."""
        passed = at // (SLOT * SECOND) - self._slot
        if passed < 1:
            return None
        runs = totals.runs - self._before.runs
        found = {
            "runs": runs / passed,
            "seconds": share_of(totals.seconds - self._before.seconds, runs),
            "cost": share_of(totals.cost - self._before.cost, runs),
        }
        self._slot += passed
        self._before = totals
        return found


class Alerts(AlertBoard):
    """`round` judges; `on_change` is told of each alert that begins, gets worse or better, or is resolved."""

    def __init__(
        self,
        objectives: Mapping[str, Objectives],
        counts: Counts,
        on_change: Callable[[Alert], None],
        totals: TotalsOf = lambda agent: Totals(),
    ) -> None:
        self._objectives, self._counts, self._on_change, self._totals = objectives, counts, on_change, totals
        self._histories: dict[tuple[str, str], History] = {}
        self._firing: dict[tuple[str, str], Alert] = {}
        self._resolved: deque[Alert] = deque(maxlen=RESOLVED_KEPT)
        self._habits: dict[str, Habits] = {}
        self.reviews: Callable[[], Mapping[str, tuple[int, float]]] = dict
        """Gives the open reviews by agent: how many, and for how many seconds the oldest has been."""

    def firing(self) -> list[Alert]:
        return sorted(self._firing.values(), key=lambda one: (one.severity, one.since))

    def resolved(self) -> list[Alert]:
        return list(reversed(self._resolved))

    def round(self, at: int) -> None:
        for key, (total, missed) in self._counts.items():
            history = self._histories.setdefault(key, History())
            history.note(at, total, missed)
            self._judge(key, history, at)
        for agent, objectives in self._objectives.items():
            totals = self._totals(agent)
            if objectives.cost_usd_a_day is not None:
                self._judge_cost(agent, objectives.cost_usd_a_day, totals, at)
            if objectives.review_within_seconds is not None:
                self._judge_reviews(agent, objectives.review_within_seconds, at)
            if objectives.anomalies:
                self._judge_habits(agent, totals, at)

    def _judge(self, key: tuple[str, str], history: History, at: int) -> None:
        agent, objective = key
        share = self._objectives[agent].share
        burn = worst_burn(share, lambda seconds: history.within(at, seconds))
        before = self._firing.get(key)
        if burn is None:
            self._resolve(key, at)
            return
        if before is not None and before.severity == burn.severity:
            return
        count = history.within(at, burn.long)
        now = Alert(
            agent=agent,
            objective=objective,
            severity=burn.severity,
            since=before.since if before is not None else at,
            measured=count.missed / count.total,
            expected=share,
            window=burn.long,
        )
        self._firing[key] = now
        self._on_change(now)

    def _judge_cost(self, agent: str, planned: float, totals: Totals, at: int) -> None:
        history = self._histories.setdefault((agent, COST), History())
        history.note(at, round(totals.cost * DOLLAR), 0)
        spent = history.within(at, A_DAY).total / DOLLAR
        if spent > planned:
            self._fire((agent, COST), spent, planned, A_DAY, at)
        else:
            self._resolve((agent, COST), at)

    def _judge_reviews(self, agent: str, within: float, at: int) -> None:
        _, oldest = self.reviews().get(agent, (0, 0.0))
        if oldest > within:
            self._fire((agent, REVIEW), oldest, within, 0, at)
        else:
            self._resolve((agent, REVIEW), at)

    def _judge_habits(self, agent: str, totals: Totals, at: int) -> None:
        habits = self._habits.get(agent)
        if habits is None:
            habits = self._habits[agent] = Habits(at, totals)
        found = habits.round(at, totals)
        for quantity, slots in habits.slots.items() if found is not None else ():
            assert found is not None
            slots.add(found[quantity])
            key = (agent, UNUSUAL + quantity)
            if slots.is_far and slots.usual is not None:
                self._fire(key, found[quantity], slots.usual.middle, SLOT, at)
            elif not slots.is_far:
                self._resolve(key, at)

    def _fire(self, key: tuple[str, str], measured: float, expected: float, window: int, at: int) -> None:
        if key not in self._firing:
            agent, objective = key
            self._firing[key] = Alert(agent=agent, objective=objective, severity="ticket", since=at, measured=measured,
                                      expected=expected, window=window)  # fmt: skip
            self._on_change(self._firing[key])

    def _resolve(self, key: tuple[str, str], at: int) -> None:
        before = self._firing.pop(key, None)
        if before is not None:
            now = replace(before, resolved_at=at)
            self._resolved.append(now)
            self._on_change(now)


async def watch(alerts: Alerts, clock: Clock, every: float = EVERY) -> None:
    """Rounds without end, for the life of a node."""
    while True:
        alerts.round(clock.now())
        await asyncio.sleep(every)
