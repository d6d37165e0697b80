"""An alert as callers see it: which promise is being missed, how badly, since when.

The sentence for people is made here, so that the API, the log and a webhook say the same.
"""

from typing import Literal

from msgspec import Struct

from pilothouse.domain.objective import Alert
from pilothouse.wire.instant import stamp


class AlertView(Struct):
    agent: str
    objective: Literal["ended", "first_output"]
    severity: Literal["page", "ticket"]
    since: str
    missed_share: float
    """Of the runs of the last `window_seconds`."""
    promised_share: float
    window_seconds: int
    summary: str


class AlertPage(Struct):
    items: list[AlertView]
    next_cursor: str | None


def alert_view(alert: Alert) -> AlertView:
    return AlertView(
        agent=alert.agent,
        objective=alert.objective,  # type: ignore[arg-type]
        severity=alert.severity,
        since=stamp(alert.since),
        missed_share=round(alert.missed_share, 6),
        promised_share=alert.promised_share,
        window_seconds=alert.window,
        summary=summary(alert),
    )


def summary(alert: Alert) -> str:
    """One sentence for a person."""
    what = "end well in time" if alert.objective == "ended" else "show their first output in time"
    hours = alert.window // 3600
    return (
        f"{alert.missed_share:.1%} of the runs of {alert.agent} did not {what} in the last "
        f"{f'{hours} hours' if hours > 1 else 'hour'}; {1 - alert.promised_share:.4g} of all may."
    )
