"""`pilothouse top`: how a node stands, agent by agent, drawn again in place.

The busiest agents first; below them what fails and what fires. A pipe or --json gets one look and no drawing.
"""

import sys
import time

import click

from pilothouse.cli.connect import connect, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import lay_out, on_one_line, show_json, since, span
from pilothouse.client import Client
from pilothouse.client.shape import Figures, Overview

COLUMNS = ("AGENT", "RUNS/MIN", "LIVE", "FAILED", "P50", "P95", "WAITS P95", "TOKENS", "COST")
FAULTS_SHOWN = 5
EVERY = 2.0


@click.command(short_help="How a node stands, agent by agent.")
@click.option("--minutes", type=click.FloatRange(1, 31 * 1440), default=15.0, show_default=True, metavar="N",
              help="Look so far back.")  # fmt: skip
@click.option("--once", is_flag=True, help="Look once and leave.")
@node_options
def top(minutes: float, once: bool, url: str | None, is_json: bool) -> int:
    """How a node stands, agent by agent, until Ctrl-C: what runs, how much fails, how long it takes, what it costs.

    \b
    Example: pilothouse top --minutes 60
    """
    with connect(url) as client:
        if is_json:
            show_json(client.get_overview(seconds=minutes * 60, slices=1))
        elif once or not sys.stdout.isatty():
            click.echo("\n".join(look(client, minutes, None)))
        else:
            _draw(client, minutes)
    return Exit.DONE


def _draw(client: Client, minutes: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    try:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                lines = look(client, minutes, console.width)
                live.update(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)
                time.sleep(EVERY)
    except KeyboardInterrupt:
        pass


def look(client: Client, minutes: float, width: int | None) -> list[str]:
    """The lines of one look."""
    found = client.get_overview(seconds=minutes * 60, slices=1)
    busiest = sorted(found.agents, key=lambda one: (-one.created, one.agent))
    lines = [_head(found, minutes), ""]
    lines += lay_out(COLUMNS, [_row(one, minutes) for one in busiest], "AGENT", width)
    faults = [f"  {one['runs']} x {one['code']} in {one['agent']}, last {since(one['last_at'])} ago: {one['last_run']}"
              for one in found.faults[:FAULTS_SHOWN]]  # fmt: skip
    alerts = [f"  {one.severity}: {on_one_line(one.summary)}" for one in client.list_alerts().items]
    for title, more in (("What fails", faults), ("What fires", alerts)):
        if more:
            lines += ["", title, *more]
    return lines


def _head(found: Overview, minutes: float) -> str:
    queue, reviews = found.queue, found.reviews
    asked = f", {reviews['count']} reviews open since {since(reviews['oldest_at'])}" if reviews.get("count") else ""
    now = ", ".join(f"{count} {state}" for state, count in queue.items())
    covered = "" if found.covers_from <= found.begin else " (the newest runs of them)"
    return (
        f"Last {minutes:g} min{covered}: {found.total.created} runs, {found.total.failed} failed, "
        f"{found.total.cost_usd:.2f} USD. Now: {now}{asked}."
    )


def _row(one: Figures, minutes: float) -> tuple[str, ...]:
    ended = one.succeeded + one.failed
    share = f"{one.failed / ended:.1%}" if ended else "-"
    tokens = one.input_tokens + one.output_tokens
    return (
        one.agent,
        f"{one.created / minutes:.3g}",
        str(one.live),
        share,
        _seconds(one.lasted.p50),
        _seconds(one.lasted.p95),
        _seconds(one.waited.p95),
        f"{tokens:,}" if tokens else "-",
        f"{one.cost_usd:.4g}" if one.cost_usd else "-",
    )


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f}ms" if value < 1 else span(value)
