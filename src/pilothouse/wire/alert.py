"""An alert as callers see it: which promise is being missed or what is unusual, how badly, since when.

The sentence for people is made here, so that the API, the log and a webhook say the same.
"""

from typing import Literal

from msgspec import Struct

from pilothouse.domain.objective import Alert
from pilothouse.wire.instant import stamp, stamp_if


class AlertView(Struct):
    agent: str
    objective: Literal["ended", "first_output", "cost_a_day", "review", "usual_runs", "usual_seconds", "usual_cost"]
    severity: Literal["page", "ticket"]
    since: str
    measured: float
    """In the last `window_seconds`: the share of runs that missed, US dollars, runs, or seconds or US dollars a run."""
    expected: float
    """The share that was promised, what was planned, or what is usual."""
    window_seconds: int
    summary: str
    resolved_at: str | None = None


class AlertPage(Struct):
    items: list[AlertView]
    next_cursor: str | None


def alert_view(alert: Alert) -> AlertView:
    return AlertView(
        agent=alert.agent,
        objective=alert.objective,  # type: ignore[arg-type]
        severity=alert.severity,
        since=stamp(alert.since),
        measured=round(alert.measured, 6),
        expected=round(alert.expected, 6),
        window_seconds=alert.window,
        summary=summary(alert),
        resolved_at=stamp_if(alert.resolved_at),
    )


def summary(alert: Alert) -> str:
    """One sentence for a person."""
    agent, measured, expected, minutes = alert.agent, alert.measured, alert.expected, alert.window // 60
    match alert.objective:
        case "cost_a_day":
            return f"{agent} cost {measured:.2f} USD in 24 hours; {expected:.2f} are planned."
        case "review":
            return f"A review of {agent} has been open for {hours_of(measured)}; {hours_of(expected)} are promised."
        case "usual_runs":
            return f"{measured:.0f} runs of {agent} ended in {minutes} minutes; {expected:.0f} are usual."
        case "usual_seconds":
            return (
                f"A run of {agent} took {measured:.3g} s on average in {minutes} minutes; {expected:.3g} s are usual."
            )
        case "usual_cost":
            return (
                f"A run of {agent} cost {measured:.3g} USD on average in {minutes} minutes; {expected:.3g} are usual."
            )
    what = "end well in time" if alert.objective == "ended" else "show their first output in time"
    hours = alert.window // 3600
    return (
        f"{measured:.1%} of the runs of {agent} did not {what} in the last "
        f"{f'{hours} hours' if hours > 1 else 'hour'}; {1 - expected:.4g} of all may."
    )


def hours_of(seconds: float) -> str:
    """As people say it: 5 minutes, 2.5 hours."""
    return f"{seconds / 60:.3g} minutes" if seconds < 7200 else f"{seconds / 3600:.3g} hours"
