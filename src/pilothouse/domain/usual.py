"""What is usual of an agent, and when five minutes are far from it: anomalies without a number that somebody chose.

A **quantity** of an agent (runs, seconds a run, US dollars a run) is one value for each slot of five minutes. What is
usual for a slot is the median of the slots around the same time of the days before, once two of those are known, else
of the last three hours. Once a week is known, only days count that were about as busy at that time as the day a week
ago: so a quiet weekend is compared with quiet days, and widens nothing for the others. How far is far is told by their
median absolute deviation (times 1.4826, which makes it the standard deviation of a normal distribution: Rousseeuw and
Croux 1993, doi:10.1080/01621459.1993.10476408). Medians are not moved by the outliers that are looked for. Three slots
in a row must be far: one odd slot tells nobody.
"""

from array import array
from collections.abc import Sequence
from math import isnan, nan, sqrt
from statistics import median
from typing import Literal

from msgspec import Struct

Quantity = Literal["runs", "seconds", "cost"]
QUANTITIES: tuple[Quantity, ...] = ("runs", "seconds", "cost")

SLOT = 300
"""Seconds."""
DAY = 86_400 // SLOT
DAYS = 7
RECENT = 36
"""Slots that say what is usual while there are no days to look at: three hours."""
AROUND = 2
"""Slots before and after the same time of another day that count as the same time."""
LEAST_DAYS = 2
LEAST_RUNS = 10
"""In a slot with fewer, what one run took or cost says nothing."""
ALIKE = 1.5
"""Days whose middles differ by no more than this are of one kind."""
FAR = 6.0
"""Standard deviations."""
IN_A_ROW = 3
NORMAL = 1.4826

LEAST_SHARE = 0.25
"""What is nearer than this share of the usual is never far."""


class Usual(Struct, frozen=True):
    """What a slot is compared with."""

    middle: float
    deviation: float
    """On the scale of `steady`."""


class KeptSlots(Struct):
    """Slots as they are kept: values of four digits, None where a slot says nothing."""

    values: list[float | None]
    far_for: int
    near_for: int
    is_far: bool


class Slots:
    """The slots of one quantity, oldest first, a week of them at most; NaN where a slot says nothing."""

    def __init__(self, quantity: Quantity, kept: KeptSlots | None = None) -> None:
        kept = kept or KeptSlots([], 0, 0, False)
        self.quantity = quantity
        self._values = array("d", (nan if value is None else value for value in kept.values))
        self._far_for = kept.far_for
        self._near_for = kept.near_for
        self.is_far = kept.is_far
        self.usual: Usual | None = None
        """What the last slot was compared with."""
        self._others: list[float] = []
        """The middles of the days that were left out of that."""

    def keep(self) -> KeptSlots:
        """What `Slots` goes on from; a digit more would outweigh no deviation."""
        values = [None if isnan(value) else float(f"{value:.4g}") for value in self._values]
        return KeptSlots(values, self._far_for, self._near_for, self.is_far)

    def add(self, value: float) -> bool:
        """Takes in the next slot; whether `is_far` changed."""
        self.usual = self._usual()
        was_far = self.is_far
        if self.usual is not None and not isnan(value):
            far = is_far(self.quantity, value, self.usual) and not self._is_as_others(value)
            self._far_for, self._near_for = (self._far_for + 1, 0) if far else (0, self._near_for + 1)
        else:
            self._far_for, self._near_for = 0, self._near_for + 1
        if self._far_for >= IN_A_ROW:
            self.is_far = True
        elif self._near_for >= IN_A_ROW:
            self.is_far = False
        self._values.append(value)
        del self._values[: -DAYS * DAY - AROUND]
        return self.is_far != was_far

    def _usual(self) -> Usual | None:
        days = [self._same_time(day) for day in range(1, DAYS + 1)]
        known = [slots for slots in days if slots]
        self._others = []
        if len(known) < LEAST_DAYS:
            sample = self._recent()
            return usual_of(self.quantity, sample) if sample else None
        if days[-1]:
            week_ago = median(days[-1])
            self._others = [middle for slots in known if not self._is_like(middle := median(slots), week_ago)]
            known = [slots for slots in known if self._is_like(median(slots), week_ago)]
        self._others = self._others if len(self._others) > len(known) else []
        return usual_of(self.quantity, [value for slots in known for value in slots])

    def _is_like(self, one: float, other: float) -> bool:
        return max(one, other) <= ALIKE * min(one, other) + (LEAST_RUNS if self.quantity == "runs" else 0)

    def _is_as_others(self, value: float) -> bool:
        """A week after a public holiday it is as on most days: the day a week ago was the odd one."""
        return bool(self._others) and self._is_like(value, median(self._others))

    def _same_time(self, day: int) -> list[float]:
        """The slots around the one that is `day` days before the next."""
        place = len(self._values) - day * DAY
        if place < AROUND:
            return []
        return [value for value in self._values[place - AROUND : place + AROUND + 1] if not isnan(value)]

    def _recent(self) -> list[float]:
        recent = [value for value in self._values[-RECENT:] if not isnan(value)]
        return recent if len(recent) >= RECENT // 2 and len(self._values) >= RECENT else []


def usual_of(quantity: Quantity, sample: Sequence[float]) -> Usual:
    """`sample` is not empty."""
    middle = median(sample)
    at = steady(quantity, middle)
    deviation = NORMAL * median(abs(steady(quantity, value) - at) for value in sample)
    least = (steady(quantity, middle * (1 + LEAST_SHARE)) - at) / FAR
    if quantity == "runs":
        least = max(least, 1.0)
    return Usual(middle, max(deviation, least))


def is_far(quantity: Quantity, value: float, usual: Usual) -> bool:
    """Fewer runs than usual are told as well as more; that runs became faster or cheaper is not."""
    distance = steady(quantity, value) - steady(quantity, usual.middle)
    return (abs(distance) if quantity == "runs" else distance) > FAR * usual.deviation


def steady(quantity: Quantity, value: float) -> float:
    """Counts on a scale on which those of independent arrivals deviate by 1 however many they are (Anscombe 1948,
    doi:10.1093/biomet/35.3-4.246); amounts as they are."""
    return 2 * sqrt(value + 0.375) if quantity == "runs" else value


def share_of(amount: float, runs: float) -> float:
    """What one run took or cost; NaN where too few ended."""
    return amount / runs if runs >= LEAST_RUNS else nan
