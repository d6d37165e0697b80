"""The book of an agent's alerts: what was counted for its objectives, what fires, and what was resolved.

Every node adds what it counted since it last did, whoever looks next judges the sum, and the book is kept in the
records: so a restart forgets nothing, and of several nodes one tells of a change. A book is bounded: counts are by
minute for as long as the windows of pages reach, and by half hours for the days of tickets.
"""

from collections.abc import Mapping
from math import nan
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

from pilothouse.domain.objective import BURNS, COST, REVIEW, Alert, Count, Objectives, Severity, worst_burn
from pilothouse.domain.usual import DAY, DAYS, QUANTITIES, SLOT, KeptSlots, Quantity, Slots, share_of

SECOND = 1_000_000
MINUTE = 60 * SECOND
DOLLAR = 1_000_000
FINE = 390
"""Minutes that are told apart: six hours and a half hour, over the longest window of a page."""
COARSE = 30
LONGEST = max(burn.long for burn in BURNS) // 60
A_DAY = 86_400
RESOLVED_KEPT = 50
"""Alerts of an agent that are remembered after they were resolved."""
TOUCHED_EVERY = 600 * SECOND
"""A book in which nothing changes is written as often, which says that somebody judges this agent."""
KEPT_EVERY = 60 * SECOND
"""What was counted is kept as often while nothing fires: so much is not counted when a node is killed."""
UNUSUAL = "usual_"


class Totals(Struct, frozen=True):
    """What ended runs of an agent come to."""

    runs: int = 0
    seconds: float = 0.0
    cost: float = 0.0

    def plus(self, more: "Totals") -> "Totals":
        return Totals(self.runs + more.runs, self.seconds + more.seconds, self.cost + more.cost)


class Gained(Struct, frozen=True):
    """What one node counted since it last told. `counts`: by objective, runs that counted and those that missed."""

    counts: Mapping[str, tuple[int, int]]
    totals: Totals = Totals()
    micro_dollars: int = 0

    def __bool__(self) -> bool:
        return bool(self.totals.runs or self.micro_dollars or any(total for total, _ in self.counts.values()))


class Bin(Struct, array_like=True):
    """What was counted in a minute, or in the half hour that begins with it. `minute`: since 1970."""

    minute: int
    total: int
    missed: int


class Habits:
    """The slots of an agent, by quantity."""

    def __init__(self, kept: Mapping[Quantity, KeptSlots] = MappingProxyType({})) -> None:
        self.slots = {name: Slots(name, kept.get(name)) for name in QUANTITIES}

    def keep(self) -> dict[Quantity, KeptSlots]:
        return {name: slots.keep() for name, slots in self.slots.items()}

    def close(self, gained: Totals, passed: int) -> dict[Quantity, float]:
        """Takes in the slot that ended, and what it came to. Of several that passed while nobody looked none says
        anything."""
        nothing = dict.fromkeys(QUANTITIES, nan)
        found: dict[Quantity, float] = nothing if passed > 1 else {
            "runs": float(gained.runs),
            "seconds": share_of(gained.seconds, gained.runs),
            "cost": share_of(gained.cost, gained.runs),
        }  # fmt: skip
        for values in [found, *[nothing] * min(passed - 1, DAYS * DAY)]:
            for name, value in values.items():
                self.slots[name].add(value)
        return found


class Book(Struct):
    counts: dict[str, list[Bin]] = field(default_factory=dict)
    firing: dict[str, Alert] = field(default_factory=dict)
    """By objective."""
    resolved: list[Alert] = field(default_factory=list)
    """Oldest first."""
    slot: int = 0
    """The number of the slot that goes on, and what ended in it so far."""
    in_slot: Totals = Totals()
    kept_at: int = 0

    def is_due(self, at: int, gained: Gained) -> bool:
        """Whether it is to be kept although nothing changed. While something fires all nodes must see the same."""
        since = at - self.kept_at
        return since >= TOUCHED_EVERY or (bool(gained) and (bool(self.firing) or since >= KEPT_EVERY))

    def has_ended(self, at: int) -> bool:
        """Whether the slot is over."""
        return bool(self.slot) and at // (SLOT * SECOND) > self.slot

    def add(self, gained: Gained, at: int) -> None:
        for objective, (total, missed) in [*gained.counts.items(), (COST, (gained.micro_dollars, 0))]:
            if total:
                add_to(self.counts.setdefault(objective, []), at // MINUTE, total, missed)
        self.in_slot = self.in_slot.plus(gained.totals)

    def judge(self, agent: str, objectives: Objectives, at: int, review_open_for: float | None) -> list[Alert]:
        """What began, got worse or better, or was resolved. `review_open_for`: seconds, of the oldest open review."""
        changes: list[Alert] = []
        wanted = {*objectives.names}
        for objective in objectives.names:
            changes += self._judge_share(agent, objective, objectives.share, at)
        if objectives.cost_usd_a_day is not None:
            wanted.add(COST)
            spent = self._within(COST, at, A_DAY).total / DOLLAR
            changes += self._judge_amount(agent, COST, spent, objectives.cost_usd_a_day, A_DAY, at)
        if objectives.review_within_seconds is not None:
            wanted.add(REVIEW)
            oldest = review_open_for or 0.0
            changes += self._judge_amount(agent, REVIEW, oldest, objectives.review_within_seconds, 0, at)
        if objectives.anomalies:
            wanted |= {UNUSUAL + name for name in QUANTITIES}
        for objective in [one for one in self.firing if one not in wanted]:  # it is promised no more
            changes += self._resolve(objective, at)
        return changes

    def judge_habits(self, agent: str, habits: Habits, at: int) -> list[Alert]:
        """Ends the slot, which is over."""
        number = at // (SLOT * SECOND)
        found = habits.close(self.in_slot, number - self.slot)
        self.slot, self.in_slot = number, Totals()
        changes: list[Alert] = []
        for name, slots in habits.slots.items():
            if not slots.is_far:
                changes += self._resolve(UNUSUAL + name, at)
            elif slots.usual is not None and UNUSUAL + name not in self.firing:
                changes += self._fire(agent, UNUSUAL + name, "ticket", at, found[name], slots.usual.middle, SLOT)
        return changes

    def close(self, at: int) -> list[Alert]:
        """Resolves all that fires: nobody judges this agent any more."""
        return [alert for objective in list(self.firing) for alert in self._resolve(objective, at)]

    def _judge_share(self, agent: str, objective: str, share: float, at: int) -> list[Alert]:
        burn = worst_burn(share, lambda seconds: self._within(objective, at, seconds))
        if burn is None:
            return self._resolve(objective, at)
        before = self.firing.get(objective)
        if before is not None and before.severity == burn.severity:
            return []
        count = self._within(objective, at, burn.long)
        since = before.since if before is not None else at
        return self._fire(agent, objective, burn.severity, since, count.missed / count.total, share, burn.long)

    def _judge_amount(
        self, agent: str, objective: str, measured: float, expected: float, window: int, at: int
    ) -> list[Alert]:
        if measured <= expected:
            return self._resolve(objective, at)
        if objective in self.firing:
            return []
        return self._fire(agent, objective, "ticket", at, measured, expected, window)

    def _fire(
        self, agent: str, objective: str, severity: Severity, since: int, measured: float, expected: float, window: int
    ) -> list[Alert]:
        alert = Alert(agent=agent, objective=objective, severity=severity, since=since, measured=measured,
                      expected=expected, window=window)  # fmt: skip
        self.firing[objective] = alert
        return [alert]

    def _resolve(self, objective: str, at: int) -> list[Alert]:
        before = self.firing.pop(objective, None)
        if before is None:
            return []
        self.resolved = [*self.resolved, replace(before, resolved_at=at)][-RESOLVED_KEPT:]
        return self.resolved[-1:]

    def _within(self, objective: str, at: int, seconds: int) -> Count:
        """What was counted in the window that ends at `at`, to the minute (over six hours: to the half hour)."""
        after, total, missed = at // MINUTE - seconds // 60, 0, 0
        for one in reversed(self.counts.get(objective, ())):
            if one.minute <= after:
                break
            total += one.total
            missed += one.missed
        return Count(total, missed)


def add_to(bins: list[Bin], minute: int, total: int, missed: int) -> None:
    """Adds to the last bin or begins one; what is old is put together, what is very old goes."""
    if bins and bins[-1].minute >= minute:  # nodes that share a clock may still differ by a moment
        bins[-1].total += total
        bins[-1].missed += missed
        return
    bins.append(Bin(minute, total, missed))
    found: list[Bin] = []
    for one in bins:
        if one.minute <= minute - LONGEST - COARSE:
            continue
        place = one.minute - one.minute % COARSE if one.minute <= minute - FINE else one.minute
        if found and found[-1].minute == place:
            found[-1].total += one.total
            found[-1].missed += one.missed
        else:
            found.append(Bin(place, one.total, one.missed))
    bins[:] = found
