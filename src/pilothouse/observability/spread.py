"""How a quantity spreads: what a histogram shows, as plain numbers.

Observing is a search among fixed bounds and two additions, since requests and runs wait for it.
"""

from bisect import bisect_left


class Spread:
    """How a quantity spreads over fixed bounds: what a histogram shows."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, int]]:
        """(upper bound, how many were not over it)."""
        found, sum_so_far = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            sum_so_far += count
            found.append((bound, sum_so_far))
        return found
