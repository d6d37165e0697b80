"""`pilothouse run`: starts a run and shows what it says, as it says it.

Output goes to stdout, everything about the run to stderr, so that `pilothouse run ... > answer.txt` has the answer
alone. Ctrl-C asks the node to cancel the run and leaves; a closed terminal does not stop it.
"""

import secrets
import signal
import time
from typing import Any

import click

from pilothouse.cli.connect import JsonParam, connect, node_options, read_input
from pilothouse.cli.exits import Exit, exit_of_run
from pilothouse.cli.failure import hint_for, say_failure
from pilothouse.cli.narration import Narrator
from pilothouse.cli.show import readable, show_json
from pilothouse.client import ApiError, Client, EventStream, Run
from pilothouse.domain.ids import run_id


@click.command(short_help="Start a run and show what it says.")
@click.argument("agent")
@click.argument("input", required=False)
@click.option("--session", metavar="KEY", help="The session whose next turn this is.")
@click.option("--text", "is_text", is_flag=True, help="INPUT is a text, also when it reads as JSON.")
@click.option("--no-stream", is_flag=True, help="Wait for the end, then print the output.")
@click.option("--wait", type=click.FloatRange(0, 86_400), metavar="SECONDS", help="Wait so long at most for the end.")
@click.option("--async", "is_async", is_flag=True, help="Print the id of the run and leave.")
@click.option("--unkept", is_flag=True, help="Let a stateless run be forgotten at its end: nothing is repeated either.")
@click.option("--metadata", type=JsonParam(dict), help="A JSON object to keep with the run.")
@click.option("--subject", help="The person whose data this is about.")
@click.option("--priority", type=int, help="Higher ones go first.")
@click.option("--delay", type=float, metavar="SECONDS", help="Start so much later.")
@click.option("--deadline", type=float, metavar="SECONDS", help="Fail the run when it has not ended by then.")
@click.option("--on-busy", type=click.Choice(["enqueue", "reject", "interrupt", "rollback"]),
              help="When the session has a turn in progress.")  # fmt: skip
@click.option("--run-id", metavar="RUN", help="The id the run shall have.")
@click.option("--key", metavar="KEY", help="Idempotency-Key: the same key and request is the same run.")
@node_options
def run(
    agent: str, input: str | None, is_text: bool, no_stream: bool, wait: float | None, is_async: bool, unkept: bool,
    key: str | None, url: str | None, is_json: bool, delay: float | None, deadline: float | None, **options: Any,
) -> int:  # fmt: skip
    """Start a run of AGENT on INPUT and show what it says.

    INPUT is JSON, or a text when it does not read as JSON; `-` takes it from stdin, `@file` from a file.
    A run started here is kept for a day even when its agent is stateless, so that it can be looked at and a cut
    connection is mended; --unkept does without.

    \b
    Example:
      pilothouse run echo "Hello"
      pilothouse run desk "Which are copyleft?" --session ann
      pilothouse run extract @LICENSE --text --json | jq .output
    """
    given = options | {"delay_seconds": delay, "deadline_seconds": deadline}
    request: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    value = read_input(input, is_text=is_text)
    request |= {"key": key, "repeatable": not unkept}
    if key is None and not unkept:
        # An id that is known before the answer: Ctrl-C can cancel what the node has not told of yet.
        request.setdefault("run_id", run_id(time.time_ns() // 1000, secrets.randbits(64)))
    with connect(url) as client:
        if is_async:
            return _show_started(client.start_run(agent, value, wait="later", **request), is_json)
        if is_json or no_stream or wait is not None:
            try:
                return show_end(_wait(client, agent, value, wait, request), is_json)
            except KeyboardInterrupt:
                return _cancel_and_leave(client, request.get("run_id"))
        return follow(client, client.stream_run(agent, value, **request), request.get("run_id"))


def _show_started(run: Run, is_json: bool) -> int:
    if is_json:
        show_json(run)
    else:
        click.echo(run.id)
    return Exit.DONE


def _wait(client: Client, agent: str, value: Any, wait: float | None, request: dict[str, Any]) -> Run:
    """The run at its end, or when the time to wait is over."""
    found = client.start_run(agent, value, wait=wait, **request)
    if wait is None and not found.is_terminal:
        found = client.wait_run(found.id, within=86_400)
    return found


def follow(client: Client, events: EventStream, run: str | None) -> int:
    """Shows a run to its end; Ctrl-C asks to cancel it."""
    narrator = Narrator(opening="   (Ctrl-C cancels it)")
    try:
        for event in events:
            narrator.tell(event)
    except KeyboardInterrupt:
        narrator.finish()
        return _cancel_and_leave(client, events.run or run)
    narrator.finish()
    last = narrator.last
    assert last is not None  # a stream ends with a terminal event, or raises
    if last.type == "run.succeeded":
        if not narrator.has_said_output(last.fields.get("output")):
            click.echo(readable(last.fields.get("output")))
        return Exit.DONE
    return _show_error(str(last.fields.get("status") or last.type.removeprefix("run.")),
                       last.fields.get("error"), last.run, is_json=False)  # fmt: skip


def _cancel_and_leave(client: Client, run: str | None) -> int:
    """`run` None: the node has the run under an Idempotency-Key and has not told its id yet."""
    # From here on a second Ctrl-C must not interrupt the one request that matters.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if run is None:
        click.echo("Left before the node answered; a run may go on.", err=True)
        return Exit.INTERRUPTED
    try:
        client.cancel_run(run, "interrupted at the command line")
    except ApiError as error:
        click.echo(f"The run {run} goes on: it could not be cancelled ({error}).", err=True)
    else:
        click.echo(f"Asked the node to cancel {run}.", err=True)
    return Exit.INTERRUPTED


def show_end(run: Run, is_json: bool) -> int:
    """The output of a run, or why there is none."""
    if is_json:
        show_json(run)
        return exit_of_run(run.status)
    if run.status == "succeeded":
        click.echo(readable(run.output))
        return Exit.DONE
    if not run.is_terminal:
        click.echo(f"The run {run.id} is {run.status}.", err=True)
        click.echo(f"Next:  pilothouse runs watch {run.id}", err=True)
        return Exit.NOT_OVER
    return _show_error(run.status, run.error, run.id, is_json)


def _show_error(status: str, error: dict[str, Any] | None, run: str, is_json: bool) -> int:
    """Why a run ended as it did."""
    found = error or {}
    code = str(found.get("code", status))
    message = str(found.get("message") or f"The run {run} ended {status}.")
    say_failure(code, message, hint_for(code, str(found.get("hint", "")), run).replace("{id}", run), [], is_json)
    return exit_of_run(status)
