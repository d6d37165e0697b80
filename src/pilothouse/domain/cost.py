"""Cost: what model calls have used and cost, summed by day, and what a month will come to.

The forecast is arithmetic that can be checked by hand: what is spent, and for each day that is left what such a day has
cost lately. Weekdays are told apart once there are two weeks of them. The interval is that of the days' own spread
(80 %, Student's t), so that a jumpy history gives a wide one; without three complete days there is no forecast at all.
"""

from calendar import monthrange
from collections.abc import Mapping
from datetime import date, timedelta
from math import sqrt
from typing import Literal

from msgspec import Struct

Grouping = Literal["agent", "session", "provider", "model", "day"]
LOOKS_BACK = 28
"""Days."""
ENOUGH = 3
FOR_WEEKDAYS = 14
SHARE = 0.8
DEVIATIONS = 1.2816
"""Standard deviations that hold `SHARE` of a normal distribution to both sides."""
SMALL = 0.66
"""(z^2 + 1) / 4: the first term by which Student's t is wider, over its degrees of freedom."""


class Cost(Struct, frozen=True):
    """What one group has used. `unpriced`: calls of models without a price; `untold`: calls whose provider said
    nothing of tokens, or that were cut off. Neither is guessed, so what they cost is not in `cost_usd`."""

    name: str
    calls: int = 0
    unpriced: int = 0
    untold: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_tokens: int = 0
    cost_usd: float = 0.0


class Forecast(Struct, frozen=True):
    """US dollars of the month that holds today: spent so far, expected at its end, and between which bounds with the
    given share of confidence."""

    month: str
    spent_usd: float
    expected_usd: float
    low_usd: float
    high_usd: float
    share: float
    days: int
    """Complete days that it is made from."""
    method: str


def total_of(costs: list[Cost]) -> Cost:
    sums = [sum(getattr(one, name) for one in costs) for name in Cost.__struct_fields__[1:]]
    return Cost("", *sums)


def forecast(by_day: Mapping[date, float], today: date, passed: float) -> Forecast | None:
    """`by_day`: US dollars of the days that cost something. `passed`: the share of today that is over. None: fewer
    than three complete days lie between the first cost and today."""
    before = [day for day in by_day if day < today]
    if not before:
        return None
    first = max(min(before), today - timedelta(LOOKS_BACK))
    days = [first + timedelta(number) for number in range((today - first).days)]
    if len(days) < ENOUGH:
        return None
    parts = 7 if len(days) >= FOR_WEEKDAYS else 1
    kinds: list[list[float]] = [[] for _ in range(parts)]
    for day in days:
        kinds[day.weekday() % parts].append(by_day.get(day, 0.0))
    means = [sum(kind) / len(kind) for kind in kinds]
    freedom = len(days) - parts
    squares = sum((cost - mean) ** 2 for kind, mean in zip(kinds, means, strict=True) for cost in kind)
    left = [0.0] * parts
    left[today.weekday() % parts] += 1 - passed
    for number in range(today.day + 1, monthrange(today.year, today.month)[1] + 1):
        left[today.replace(day=number).weekday() % parts] += 1
    rest = sum(count * mean for count, mean in zip(left, means, strict=True))
    # The days to come miss their mean, and the means themselves are known from few days.
    spread = sum(count + count * count / len(kind) for count, kind in zip(left, kinds, strict=True))
    around = DEVIATIONS * (1 + SMALL / freedom) * sqrt(squares / freedom * spread)
    spent = sum(cost for day, cost in by_day.items() if (day.year, day.month) == (today.year, today.month))
    such = "mean of each weekday" if parts > 1 else "mean day"
    method = (
        f"spent so far, and for the time that is left the {such} of the last {len(days)} complete days; bounds by the "
        "spread of these days"
    )
    low, high = max(spent, spent + rest - around), spent + rest + around
    return Forecast(today.isoformat()[:7], spent, spent + rest, low, high, SHARE, len(days), method)
