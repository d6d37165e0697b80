"""How long and how often to measure, and one figure with its spread.

A plan bounds the whole run: when its time is over no further repeat begins, and what was measured at least once is
reported with the number of its repeats.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plan:
    seconds: float
    warm: float
    repeats: int
    starts: int
    submits: int
    ended_runs: tuple[int, ...]
    kept: int
    """Ten times the turns whose bytes are counted, and a quarter of the sessions whose memory is."""
    within: float
    """No repeat begins later than this after the start, in seconds."""
    ends_within: float = 900.0
    """Nor any part later than this."""
    readers: int = 10_000
    """Of the events of one run, at once."""
    waiting: int = 100_000
    """Runs that wait at once."""
    began_at: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self.began_at > self.within


def full_plan() -> Plan:
    ended_runs = (1_000, 10_000, 100_000, 1_000_000)
    return Plan(seconds=0.6, warm=0.2, repeats=5, starts=3, submits=200, ended_runs=ended_runs, kept=1_000, within=180)


def quick_plan(seconds: float = 0.25) -> Plan:
    warm = min(0.1, seconds)
    return Plan(seconds, warm, repeats=1, starts=1, submits=20, ended_runs=(1_000,), kept=50, within=30, readers=50,
                waiting=100)  # fmt: skip


@dataclass
class Sample:
    """One window of one subject. Processor time is in microseconds a unit."""

    per_second: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    first_ms: float | None = None
    cpu_server_us: float | None = None
    cpu_hosts_us: float | None = None
    load_busy: float | None = None


@dataclass
class Row:
    """All samples of one subject with one number of callers."""

    subject: str
    callers: int
    samples: list[Sample] = field(default_factory=list)

    def values(self, name: str) -> list[float]:
        return [value for one in self.samples if (value := getattr(one, name)) is not None]


@dataclass
class Section:
    """One workload. Ratios are taken to the row of `limit` with as many callers, repeat by repeat."""

    key: str
    title: str
    limit: str
    rows: list[Row] = field(default_factory=list)
    unit: str = "a second"
    note: str = ""

    def row(self, subject: str, callers: int) -> Row:
        for row in self.rows:
            if (row.subject, row.callers) == (subject, callers):
                return row
        self.rows.append(Row(subject, callers))
        return self.rows[-1]

    def ratios(self, row: Row, limit: str = "") -> list[float]:
        against = self.row(limit or self.limit, row.callers)
        pairs = zip(row.samples, against.samples, strict=False)
        return [ours.per_second / theirs.per_second for ours, theirs in pairs if theirs.per_second]


@dataclass
class Table:
    """Figures that are no workload: a heading and cells that are text already, with the raw ones for the JSON."""

    key: str
    title: str
    head: list[str]
    lines: list[list[str]]
    raw: list[dict[str, Any]]
    note: str = ""


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def percentile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def short(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values: list[float], show: Callable[[float | None], str] = short) -> str:
    """The median, and in brackets the least and the most."""
    if len(values) < 2:
        return show(median(values))
    return f"{show(median(values))} ({show(min(values))}-{show(max(values))})"
