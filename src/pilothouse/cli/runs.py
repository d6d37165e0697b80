"""`pilothouse runs`: what runs are and were, and what can be asked of them.

Lists come a page at a time, since there may be millions; the steps and events of one run are read to their end.
"""

from collections.abc import Iterator
from typing import Any

import click

from pilothouse.cli.connect import PAGE_LIMIT, DefaultGroup, JsonParam, connect, node_options, page_options, read_input
from pilothouse.cli.exits import Exit, exit_of_run
from pilothouse.cli.override import told_override
from pilothouse.cli.run import show_end
from pilothouse.cli.show import (
    between,
    on_one_line,
    printable,
    readable,
    show_fields,
    show_json,
    show_json_line,
    show_table,
    since,
    style_status,
)
from pilothouse.cli.watch import watch_run, watch_runs
from pilothouse.client import Client, Run, Step
from pilothouse.domain.run import LIVE, TERMINAL

ALIVE = ",".join(sorted(LIVE))
CANCEL_LIMIT = 10_000
"""Runs that one command cancels."""

COLUMNS = ("RUN", "STATUS", "AGENT", "AGE", "TOOK", "SESSION")


@click.group(cls=DefaultGroup, short_help="Look at runs, cancel, retry or signal them.")
def runs() -> None:
    """Look at runs, cancel, retry or signal them. Without a command: list.

    \b
    Example:
      pilothouse runs --status failed
      pilothouse runs watch
      pilothouse runs show run_...
    """


def run_row(run: Run) -> tuple[str, ...]:
    took = between(run.started_at, run.finished_at) or since(run.started_at)
    return (run.id, run.status, run.agent, since(run.created_at), took, run.session or "")


@runs.command("list", short_help="The newest runs.")
@click.option("--agent", help="Only runs of this agent.")
@click.option("--session", metavar="KEY", help="Only turns of this session.")
@click.option("--status", type=click.Choice(sorted(LIVE | TERMINAL)), help="Only runs with this status.")
@click.option("--live", is_flag=True, help="Only runs that have not ended.")
@page_options
@node_options
def list_runs(url: str | None, is_json: bool, live: bool, **where: Any) -> int:
    """The newest runs. Stateless runs are here only when they are kept.

    \b
    Example: pilothouse runs list --agent audit --status waiting
    """
    if live and where["status"] is not None:
        raise click.UsageError("--live and --status say two things.")
    if live:
        where["status"] = ALIVE
    with connect(url) as client:
        page = client.list_runs(**where)
    if is_json:
        show_json(page)
        return Exit.DONE
    if not page.items:
        click.echo("There are no runs like that.", err=True)
        return Exit.DONE
    show_table(COLUMNS, map(run_row, page.items), flexible="SESSION")
    if page.next_cursor:
        click.echo(f"More:  --cursor {page.next_cursor}", err=True)
    return Exit.DONE


@runs.command("show", short_help="One run.")
@click.argument("run")
@node_options
def show_run(run: str, url: str | None, is_json: bool) -> int:
    """One run: what came in, what came out, what it spent.

    \b
    Example: pilothouse runs show run_...
    """
    with connect(url) as client:
        found = client.get_run(run)
    if is_json:
        show_json(found)
        return Exit.DONE
    usage = found.usage
    tokens = f"{usage.input_tokens} in, {usage.output_tokens} out" if usage.model_calls else None
    show_fields(
        [
            ("run", found.id),
            ("agent", f"{found.agent} ({found.mode}, release {found.release})"),
            ("status", style_status(found.status)),
            ("session", found.session),
            ("attempt", str(found.attempt)),
            ("created", found.created_at),
            ("started", found.started_at),
            ("finished", found.finished_at),
            ("took", between(found.started_at, found.finished_at)),
            ("due", None if found.is_terminal else found.due_at),
            ("waits", None if found.waits_for is None else found.waits_for.message),
            ("deadline", None if found.is_terminal else found.deadline_at),
            ("parent", found.parent),
            ("origin", found.origin),
            ("tokens", tokens),
            ("cost", f"{usage.cost_usd:g} USD" if usage.cost_usd else None),
            ("error", on_one_line(found.error.get("message", "")) if found.error else None),
            ("next", on_one_line(found.error.get("hint", "")) if found.error else None),
            ("override", told_override(found.override)),
        ]
    )
    click.echo(f"\ninput\n{readable(found.input)}")
    if found.status == "succeeded" or found.override:
        click.echo(f"\noutput\n{readable(found.output)}")
    return Exit.DONE


@runs.command("watch", short_help="Runs as they come and go, or one run to its end.")
@click.argument("run", required=False)
@click.option("--agent", help="Only runs of this agent.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ", help="Of one run: events after this number.")
@click.option("--every", type=click.FloatRange(0.2, 3600), default=1.0, show_default=True, metavar="SECONDS",
              help="Of all runs: how often to look.")  # fmt: skip
@node_options
def watch(
    run: str | None, agent: str | None, after: int, every: float, url: str | None, is_json: bool
) -> int:  # fmt: skip
    """Runs as they come and go; or the events of one RUN, live, to its end. Ctrl-C leaves; runs go on.

    \b
    Example:
      pilothouse runs watch
      pilothouse runs watch run_...
    """
    with connect(url) as client:
        if run is not None:
            return watch_run(client, run, after, is_json)
        return watch_runs(client, agent, every, is_json, COLUMNS, run_row)


@runs.command("steps", short_help="What a run did, step by step.")
@click.argument("run")
@click.option("--full", is_flag=True, help="Show inputs and outputs whole.")
@node_options
def steps(run: str, full: bool, url: str | None, is_json: bool) -> int:
    """What a run did, step by step, with the key of each step.

    \b
    Example: pilothouse runs steps run_... --full
    """
    found: list[Step] = []
    with connect(url) as client:
        page = client.list_steps(run, limit=PAGE_LIMIT)
        found += page.items
        while page.next_cursor:
            page = client.list_steps(run, cursor=page.next_cursor, limit=PAGE_LIMIT)
            found += page.items
    if is_json:
        show_json({"items": found, "next_cursor": None})
    elif full:
        for step in found:
            click.echo(f"{step.key}  {style_status(step.status)}  {between(step.started_at, step.finished_at)}")
            click.echo(f"  input   {on_one_line(step.input)}\n  output  {_outcome(step)}")
    else:
        rows = [(step.key, step.status, step.kind, between(step.started_at, step.finished_at),
                 _outcome(step)) for step in found]  # fmt: skip
        show_table(("STEP", "STATUS", "KIND", "TOOK", "OUTPUT"), rows, flexible="OUTPUT")
    return Exit.DONE


def _outcome(step: Step) -> str:
    if step.error is not None:
        return on_one_line(step.error.get("message", ""))
    return on_one_line(step.output) if step.status == "succeeded" else ""


@runs.command("events", short_help="What a run has told so far.")
@click.argument("run")
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ", help="Only events after this number.")
@node_options
def events(run: str, after: int, url: str | None, is_json: bool) -> int:
    """What a run has told so far, one event a line. `watch` goes on until its end.

    \b
    Example: pilothouse runs events run_... --json | jq -r .type
    """
    with connect(url) as client:
        for event in _told(client, run, after):
            if is_json:
                show_json_line(event)
            else:
                rest = {name: value for name, value in event.items() if name not in ("run", "seq", "at", "type")}
                told = on_one_line(rest) if rest else ""
                click.echo(f"{event['seq']:>6}  {event['at']}  {printable(event['type']):<16}  {told}".rstrip())
    return Exit.DONE


def _told(client: Client, run: str, after: int = 0) -> Iterator[dict[str, Any]]:
    """The events that there are now, page by page."""
    position: int | None = after
    while position is not None:
        page = client.list_events(run, after=position, limit=PAGE_LIMIT)
        yield from page.items
        position = int(page.next_cursor) if page.next_cursor else None


@runs.command("logs", short_help="What the code of a run printed.")
@click.argument("run")
@click.option("--follow", is_flag=True, help="Go on until the run has ended.")
@node_options
def logs(run: str, follow: bool, url: str | None, is_json: bool) -> int:
    """What the code of a run printed, line by line, with the attempts it was printed in.

    \b
    Example: pilothouse runs logs run_... --follow
    """
    with connect(url) as client:
        events = (
            (event.fields | {"type": event.type} for event in client.follow_run(run)) if follow else _told(client, run)
        )
        for event in events:
            if event["type"] == "run.log" and is_json:
                show_json_line({name: event[name] for name in ("at", "seq", "stream", "text")})
            elif event["type"] == "run.log":
                click.echo(f"{event['at']}  {printable(event['text'])}", err=event["stream"] == "stderr")
            elif event["type"] == "run.resumed" and not is_json:
                click.echo(f"{event['at']}  -- attempt {event.get('attempt')} --", err=True)
    return Exit.DONE


@runs.command("cancel", short_help="End runs that have not ended.")
@click.argument("run", required=False)
@click.option("--agent", help="All live runs of this agent.")
@click.option("--session", metavar="KEY", help="All live turns of this session.")
@click.option("--reason", help="Why, for whoever reads it later.")
@click.option("--wait", type=click.FloatRange(0, 86_400), default=0.0, metavar="SECONDS",
              help="Wait so long at most until it has ended.")  # fmt: skip
@node_options
def cancel(
    run: str | None, agent: str | None, session: str | None, reason: str | None, wait: float, url: str | None,
    is_json: bool,
) -> int:  # fmt: skip
    """Ask a run to end, or all live ones of an agent or session. It is told first, and ended by force after a grace
    time. A run that the node does not know yet is cancelled as soon as it comes. To keep new ones from starting as
    well, place a hold.

    \b
    Example:
      pilothouse runs cancel run_... --reason "wrong document" --wait 30
      pilothouse runs cancel --agent support --reason "wrong prompt"
    """
    if (run is None) == (agent is None and session is None):
        raise click.UsageError("Name a RUN, or say which with --agent and --session.")
    if run is None:
        return _cancel_many(agent, session, reason, url, is_json)
    with connect(url) as client:
        found = client.cancel_run(run, reason)
        if found is not None and wait and not found.is_terminal:
            found = client.wait_run(found.id, within=wait)
    if is_json:
        show_json(found if found is not None else {"id": run, "remembered": True})
    elif found is None:
        click.echo(f"The node does not know {printable(run)} yet, and will cancel it should it come.")
    elif found.is_terminal:
        click.echo(f"{found.id} is {found.status}.")
    else:
        click.echo(f"{found.id} is asked to end.")
    return Exit.NOT_OVER if wait and found is not None and not found.is_terminal else Exit.DONE


def _cancel_many(agent: str | None, session: str | None, reason: str | None, url: str | None, is_json: bool) -> int:
    """The live runs as they are now; which ended by themselves meanwhile does not matter."""
    with connect(url) as client:
        asked: list[str] = []
        cursor = None
        while len(asked) < CANCEL_LIMIT:
            page = client.list_runs(agent=agent, session=session, status=ALIVE, cursor=cursor, limit=200)
            for one in page.items:
                client.cancel_run(one.id, reason)
                asked.append(one.id)
            cursor = page.next_cursor
            if cursor is None:
                break
    if is_json:
        show_json({"cancelled": asked})
    else:
        click.echo(f"{len(asked)} runs are asked to end.")
    return Exit.DONE


@runs.command("retry", short_help="Run it again, keeping the finished steps.")
@click.argument("run")
@click.option("--wait", type=click.FloatRange(0, 86_400), metavar="SECONDS", help="Wait for the end of the new run.")
@node_options
def retry(run: str, wait: float | None, url: str | None, is_json: bool) -> int:
    """Start a new run on the input of RUN that keeps its finished steps.

    \b
    Example: pilothouse runs retry run_... --wait 60
    """
    with connect(url) as client:
        found = client.retry_run(run)
        if wait is not None:
            return show_end(client.wait_run(found.id, within=wait), is_json)
    return _show_new(found, is_json)


@runs.command("fork", short_help="Run it again from one of its steps.")
@click.argument("run")
@click.option("--after", metavar="STEP", help="The key of the last step to keep; all steps are kept without it.")
@click.option("--replace", "replaced", multiple=True, metavar="STEP=JSON", help="Another output for a kept step.")
@click.option("--reason", metavar="TEXT", help="Why, for the audit log.")
@click.option("--wait", type=click.FloatRange(0, 86_400), metavar="SECONDS", help="Wait for the end of the new run.")
@node_options
def fork(
    run: str, after: str | None, replaced: tuple[str, ...], reason: str | None, wait: float | None, url: str | None,
    is_json: bool,
) -> int:  # fmt: skip
    """Start a new run that keeps the steps of RUN up to one of them, some with another output.

    \b
    Example: pilothouse runs fork run_... --after find-1a2b3c4d-1 --replace 'find-1a2b3c4d-1={"order": 7}'
    """
    replace = dict(_replacement(one) for one in replaced)
    with connect(url) as client:
        found = client.fork_run(run, after=after, replace=replace, reason=reason)
        if wait is not None:
            return show_end(client.wait_run(found.id, within=wait), is_json)
    return _show_new(found, is_json)


def _replacement(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not of the form STEP=JSON.", param_hint="--replace")
    return key, JsonParam().convert(value, None, None)


def _show_new(run: Run, is_json: bool) -> int:
    if is_json:
        show_json(run)
    else:
        click.echo(run.id)
    return Exit.DONE if not run.is_terminal else exit_of_run(run.status)


@runs.command("signal", short_help="Tell a waiting run something.")
@click.argument("run")
@click.argument("name")
@click.argument("payload", required=False)
@node_options
def send_signal(run: str, name: str, payload: str | None, url: str | None, is_json: bool) -> int:
    """Send the signal NAME to RUN, with PAYLOAD: JSON, or a text when it does not read as JSON; `-` is stdin, `@file` a
    file. A signal that comes before the run waits for it is kept for it.

    \b
    Example: pilothouse runs signal run_... paid '{"cents": 1200}'
    """
    with connect(url) as client:
        found = client.send_signal(run, name, read_input(payload))
    if is_json:
        show_json(found)
    else:
        click.echo(f"{found.id} has the signal {printable(name)}.")
    return Exit.DONE
