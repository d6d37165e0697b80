"""Families of Prometheus out of plain numbers, made when somebody scrapes.

What is counted on the way is a number or a `Spread`; the objects of the client library live for one page.
"""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from pilothouse.observability.spread import Spread

Rows = Iterable[tuple[tuple[str, ...], float]]


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
