"""Watching: the table of runs as it changes, and the events of one run as they come.

A person at a terminal sees a table that is drawn again in place. Anybody else (a pipe, --json) gets a line for each
change, which can be read by a program and kept in a file. Both end when their reader leaves; the runs go on.
"""

import sys
import time
from collections.abc import Callable, Sequence

import click

from pilothouse.cli.exits import Exit, exit_of_run
from pilothouse.cli.narration import Narrator
from pilothouse.cli.show import lay_out, readable, show_json_line
from pilothouse.client import Client, Run

ROWS = 20


def watch_run(client: Client, run: str, after: int, is_json: bool) -> int:
    """The events of one run to its end; its outcome is the exit code."""
    status = ""
    narrator = Narrator()
    for event in client.follow_run(run, after=after):
        status = event.type.removeprefix("run.")
        if is_json:
            show_json_line({"type": event.type} | event.fields)
        else:
            narrator.tell(event)
    last = narrator.last
    if last is not None:
        narrator.finish()
        if last.type == "run.succeeded" and not narrator.has_said_output(last.fields.get("output")):
            click.echo(readable(last.fields.get("output")))
        if last.type != "run.succeeded":
            error = last.fields.get("error") or {}
            click.echo(f"{last.run} is {status}: {readable(error.get('message', ''))}", err=True)
    return exit_of_run(status)


def watch_runs(
    client: Client,
    agent: str | None,
    every: float,
    is_json: bool,
    columns: Sequence[str],
    row: Callable[[Run], Sequence[str]],
) -> int:
    """The newest runs until Ctrl-C, which is the way out and no failure."""
    try:
        if sys.stdout.isatty() and not is_json:
            _draw(client, agent, every, columns, row)
        else:
            _tell(client, agent, every, is_json)
    except KeyboardInterrupt:
        pass
    return Exit.DONE


def _draw(
    client: Client, agent: str | None, every: float, columns: Sequence[str], row: Callable[[Run], Sequence[str]]
) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            page = client.list_runs(agent=agent, limit=max(1, min(ROWS, console.height - 2)))
            lines = lay_out(columns, map(row, page.items), "SESSION", console.width)
            live.update(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)
            time.sleep(every)


def _tell(client: Client, agent: str | None, every: float, is_json: bool) -> None:
    """A line for each run that is new or has another status. Of a burst between two looks the newest are told."""
    known: dict[str, str] = {}
    while True:
        page = client.list_runs(agent=agent, limit=ROWS * 5)
        for run in reversed(page.items):
            if known.get(run.id) != run.status:
                if is_json:
                    show_json_line(run)
                else:
                    click.echo(f"{run.id}  {run.status:<9}  {run.agent}")
        known = {run.id: run.status for run in page.items}
        sys.stdout.flush()
        time.sleep(every)
