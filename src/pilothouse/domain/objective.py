"""Objectives: what share of an agent's runs must end well and in time, and when missing that is worth a person's night.

An objective of 99 % leaves an **error budget** of 1 % of the runs. The **burn rate** of a window is the share that
missed in it, divided by the budget: at 1 the budget is used up exactly at the end of its 30 days. An alert fires when a
long window and a short one both burn too fast: the long one so that a blip wakes nobody, the short one so that it ends
soon after the cause has ended. Windows and rates are those of "The Site Reliability Workbook" (2018), chapter 5, table
5-8. Prometheus rules and the node's own evaluator are made from the same table.
"""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

Severity = Literal["page", "ticket"]

ENDED = "ended"
FIRST_OUTPUT = "first_output"
COST = "cost_a_day"
REVIEW = "review"


class Objectives(Struct, frozen=True, kw_only=True):
    """What is promised of one agent. `share` of its runs must end well, within `ended_within_seconds` when that is set,
    and must emit their first output within `first_output_within_seconds` when that is set. A run that was cancelled
    counts neither way."""

    share: float = 0.99
    ended_within_seconds: float | None = None
    first_output_within_seconds: float | None = None
    cost_usd_a_day: float | None = None
    """More than that in 24 hours opens a ticket."""
    review_within_seconds: float | None = None
    """A review that is open for longer opens a ticket."""
    anomalies: bool = True
    """Whether a ticket is opened when runs, their length or their cost are far from usual (`domain.usual`)."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share is {self.share:g}; it goes from over 0 to under 1, as in 0.99")
        for name in ("ended_within_seconds", "first_output_within_seconds", "cost_usd_a_day", "review_within_seconds"):
            amount = getattr(self, name)
            if amount is not None and amount <= 0:
                raise ValueError(f"{name} is {amount:g}; it is a number over 0")

    @property
    def names(self) -> tuple[str, ...]:
        return (ENDED,) if self.first_output_within_seconds is None else (ENDED, FIRST_OUTPUT)


class Burn(Struct, frozen=True):
    """When to tell: both windows, in seconds, burn at `rate` or faster."""

    severity: Severity
    rate: float
    long: int
    short: int


BURNS = (
    Burn("page", 14.4, 3600, 300),
    Burn("page", 6.0, 6 * 3600, 1800),
    Burn("ticket", 3.0, 24 * 3600, 2 * 3600),
    Burn("ticket", 1.0, 3 * 24 * 3600, 6 * 3600),
)
"""Fastest first: of several that burn, the first says how bad it is."""


class Count(Struct, frozen=True):
    """Runs that counted within a window, and those of them that missed."""

    total: float
    missed: float


def burn_rate(count: Count, share: float) -> float:
    """0 without runs: nobody was let down."""
    return 0.0 if count.total <= 0 else count.missed / count.total / (1.0 - share)


def worst_burn(share: float, within: Callable[[int], Count]) -> Burn | None:
    """The first row of the table that burns. `within(seconds)` counts a window that ends now."""
    for burn in BURNS:
        if all(burn_rate(within(window), share) >= burn.rate for window in (burn.long, burn.short)):
            return burn
    return None


class Alert(Struct, frozen=True, kw_only=True):
    """An objective of an agent that is being missed too fast, or something that is far from usual. Instants are
    microseconds since 1970 UTC."""

    agent: str
    objective: str
    """`ended` or `first_output`: a share of runs. `cost_a_day`: US dollars. `review`: seconds for
    which the oldest review has been open. Else what is far from usual: `usual_runs`
    (ended in the window), `usual_seconds` and `usual_cost` (of a run, on average)."""
    severity: Severity
    since: int
    measured: float
    """In the window: the share that missed, or the amount."""
    expected: float
    """The share that was promised, the cost that was planned, or what is usual."""
    window: int
    """Seconds."""
    resolved_at: int | None = None
