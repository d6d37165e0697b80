"""Hedging: asking a second time when an answer takes longer than it should, and taking the first that comes.

It buys a shorter tail with money, so it is off unless a provider's table asks for it, and one call is hedged once at
most. When it is time follows from a delay that is set, or from how long the last answers of the same model took; until
enough of them were measured, a percentile hedges nothing.
"""

from collections import deque

from msgspec import Struct

ENOUGH = 20
"""Answers that must have been measured before a percentile means anything."""
KEPT = 128
"""How many of the last answers are looked at."""


class HedgeRule(Struct, array_like=True, frozen=True):
    """`after` seconds, or the `percentile` (over 0, under 1) of the last answers but no sooner than `after`. `models`
    empty: all of the provider."""

    after: float = 0.0
    percentile: float = 0.0
    models: tuple[str, ...] = ()


class Times:
    """How long the last answers of one model took until they began, in seconds."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=KEPT)

    def add(self, seconds: float) -> None:
        self._last.append(seconds)

    def at(self, percentile: float) -> float | None:
        """None: too few were measured."""
        if len(self._last) < ENOUGH:
            return None
        ordered = sorted(self._last)
        return ordered[min(len(ordered) - 1, int(percentile * len(ordered)))]


def hedge_after(rule: HedgeRule | None, model: str, times: Times | None) -> float | None:
    """Seconds after which a call that is under way is hedged; None: it is not."""
    if rule is None or (rule.models and model not in rule.models):
        return None
    if not rule.percentile:
        return rule.after
    measured = None if times is None else times.at(rule.percentile)
    return None if measured is None else max(rule.after, measured)
