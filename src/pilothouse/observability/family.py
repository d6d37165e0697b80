"""Families of Prometheus out of plain numbers, made when somebody scrapes.

What is counted on the way is a number or a `Spread`; the objects of the client library live for one page.
"""

from bisect import bisect_left
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

Rows = Iterable[tuple[tuple[str, ...], float]]


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


def counter(name: str, text: str, labels: list[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in rows:
        family.add_metric(values, count)
    return family


def gauge(name: str, text: str, labels: list[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, count in rows:
        family.add_metric(values, count)
    return family


def histogram(name: str, text: str, labels: list[str], rows: Iterable[tuple[tuple[str, ...], Spread]]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, spread in rows:
        family.add_metric(values, spread.buckets(), spread.total)
    return family
