"""`pilothouse bench`: load on a node that runs, and what its callers would feel.

The load itself is `client.load`. Here it becomes words: a line of totals, the percentiles, a plot that shows where the
waits lie, or JSON with every bucket for whoever plots it elsewhere.
"""

import asyncio
import math
from typing import Any

import click
import msgspec

from pilothouse.cli.connect import connect, node_options, read_input
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import show_fields, show_json
from pilothouse.client.load import CALLERS_LIMIT, LoadPlan, LoadReport, apply_load
from pilothouse.client.spread import TimeSpread

SHARES = (0.5, 0.9, 0.99, 0.999)
BAR = 50
"""Characters of the longest bar of the plot."""
EIGHTHS = " ▏▎▍▌▋▊▉"


@click.command(short_help="Load a node, and show what its callers would feel.")
@click.argument("agent")
@click.argument("input", required=False)
@click.option(
    "--work",
    type=click.Choice(["run", "session", "stream", "background"]),
    default="run",
    show_default=True,
    help="What each caller does.",
)
@click.option(
    "--callers",
    type=click.IntRange(1, CALLERS_LIMIT),
    default=32,
    show_default=True,
    metavar="N",
    help="Connections at once.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True, max=1e6),
    metavar="R",
    help="Requests a second that come whether the node keeps up or not. [default: each caller asks again "
    "as soon as it is answered]",
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 86_400), default=10.0, show_default=True, metavar="S", help="How long."
)
@click.option(
    "--warm",
    type=click.FloatRange(0, 3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds before, which are not counted.",
)
@node_options
def bench(
    agent: str, input: str | None, work: Any, callers: int, rate: float | None, seconds: float, warm: float,
    url: str | None, is_json: bool,
) -> int:  # fmt: skip
    """Load the node with runs of AGENT, and show how many it does and how long their callers wait.

    INPUT is JSON or text, as for `pilothouse run`. The runs are real: the agent does what it does, and kept runs stay
    in the records. With --rate a request counts from when it was due, so a node that stalls is charged for it; without,
    the figure is the most that the node does, and the waits are those of callers who are patient.

    \b
    Example: pilothouse bench echo hello --rate 500 --seconds 30
    """
    with connect(url) as client:
        plan = LoadPlan(
            url=client.url, agent=client.get_agent(agent).name, work=work, input=msgspec.json.encode(read_input(input)),
            callers=callers, rate=rate, seconds=seconds, warm=warm, key=client.key,
        )  # fmt: skip
    report = asyncio.run(apply_load(plan))
    if is_json:
        show_json(as_json(plan, report))
    else:
        show_report(plan, report)
    return Exit.DONE if report.done else Exit.FAILED


def as_json(plan: LoadPlan, report: LoadReport) -> dict[str, Any]:
    """Seconds everywhere; `buckets` are pairs of (at most, how many)."""
    return {
        "agent": plan.agent, "work": plan.work, "callers": plan.callers, "rate": plan.rate, "seconds": report.span,
        "done": report.done, "per_second": report.per_second, "events": report.events, "failures": report.failures,
        "late": report.late, "latency": _spread(report.latency), "first": _spread(report.first),
    }  # fmt: skip


def _spread(spread: TimeSpread) -> dict[str, Any]:
    found: dict[str, Any] = {"count": spread.count, "mean": spread.mean, "min": spread.least, "max": spread.largest}
    found |= {f"p{share * 100:g}": spread.percentile(share) for share in SHARES}
    return found | {"buckets": list(spread)}


def show_report(plan: LoadPlan, report: LoadReport) -> None:
    load = f"{plan.callers} callers, each again when answered" if plan.rate is None else f"{plan.rate:g} a second"
    rows: list[tuple[str, str | None]] = [
        ("load", f"{plan.work} of {plan.agent}, {load}, {plan.seconds:g} s"),
        ("done", f"{report.done} ({report.per_second:,.1f} a second)"),
    ]
    if report.events:
        rows.append(("events", f"{report.events} ({report.events / report.span:,.0f} a second)"))
    failed = ", ".join(f"{count} {what}" for what, count in sorted(report.failures.items()))
    late = f"{report.late} were due and never sent: the node did not keep up" if report.late else None
    rows += [("failed", failed or None), ("late", late), ("latency", _percentiles(report.latency))]
    if report.first.count:
        name = "first event" if plan.work == "stream" else "accepted"
        rows.append((name, _percentiles(report.first)))
    show_fields(rows)
    if report.latency.count:
        click.echo()
        for line in plot(report.latency):
            click.echo(line)


def _percentiles(spread: TimeSpread) -> str | None:
    if not spread.count:
        return None
    parts = [f"p{share * 100:g} {shown(spread.percentile(share))}" for share in SHARES]
    return "  ".join([*parts, f"max {shown(spread.largest)}"])


def shown(seconds: float) -> str:
    """A span with three digits that count."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def plot(spread: TimeSpread) -> list[str]:
    """A bar for each step of 1, 2, 5, 10, ... between the least and the largest, with the share that lies below."""
    bars: dict[float, int] = {}
    for most, count in spread:
        edge = _edge(most)
        bars[edge] = bars.get(edge, 0) + count
    longest, below, lines = max(bars.values()), 0, []
    edges = sorted(bars)
    edge = edges[0]
    while edge <= edges[-1] * 1.0001:
        edge = _edge(edge)
        count = bars.get(edge, 0)
        below += count
        eighths = round(count / longest * BAR * 8)
        bar = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
        lines.append(f"{'<= ' + shown(edge):>10}  {below / spread.count * 100:6.2f} %  {bar}".rstrip())
        edge = _edge(edge * 1.01)
    return lines


def _edge(seconds: float) -> float:
    """The next of 1, 2, 5, 10, ... at or above."""
    if seconds <= 1e-6:
        return 1e-6
    power = 10.0 ** math.floor(math.log10(seconds) + 1e-9)
    for step in (1, 2, 5, 10):
        if seconds <= step * power * 1.000001:
            return round(step * power, 12)
    return 10 * power
