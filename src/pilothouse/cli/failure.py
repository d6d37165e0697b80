"""Shows what went wrong: one sentence, what to do next, and never anything internal.

An error of ours has both already; the hints that speak of HTTP are said anew for people at a terminal. Anything else is
a fault of Pilothouse: one line, and the traceback only for who asks for it with PILOTHOUSE_DEBUG=1.
"""

import os
import traceback

import click
import msgspec

from pilothouse.cli.exits import Exit, exit_of_error
from pilothouse.cli.show import printable, styled
from pilothouse.errors import InvalidInput, PilothouseError

HINTS = {
    "agent_not_found": "`pilothouse agents` lists the agents of this node.",
    "run_not_found": "`pilothouse runs` lists the kept runs. A stateless run is kept only when its agent or the "
    "request asks for it.",
    "review_not_found": "`pilothouse reviews` lists the reviews that wait for a decision.",
    "step_not_found": "`pilothouse runs steps RUN` lists the steps with their keys.",
    "run_ended": "`pilothouse runs show RUN` tells how it ended.",
    "invalid_input": "Mend what is named above; `pilothouse agents show AGENT` tells what an agent takes.",
    "run_exists": "Choose another --run-id, or look at the run with `pilothouse runs show`.",
    "cancelled": "`pilothouse runs retry RUN` makes a new run that keeps the finished steps.",
    "agent_failed": "`pilothouse runs steps RUN` shows what it did before; mend the cause, then "
    "`pilothouse runs retry RUN`.",
    "step_failed": "`pilothouse runs steps RUN` shows what it did before; mend the cause, then "
    "`pilothouse runs retry RUN`.",
    "session_busy": "Wait for the turn to end, or use --on-busy enqueue, interrupt or rollback.",
    "idempotency_mismatch": "Use another --key for another request.",
    "state_conflict": "Read the state again, then write with its version in --if-version.",
    "bad_cursor": "Start again without --cursor.",
    "review_closed": "`pilothouse reviews show REVIEW` tells its answer.",
}
"""For people at a terminal, by code, where the hint of the error is meant for programs."""


class FilesExist(PilothouseError):
    """There is already {names} in {folder}; nothing was written."""

    code = "files_exist"
    hint_text = "Name another folder, or move these files away."


def hint_for(code: str, hint: str, run: str | None = None) -> str:
    is_own = code == InvalidInput.code and hint != InvalidInput.hint_text  # said for this very input
    said = hint if is_own else HINTS.get(code, hint)
    return said.replace("RUN", run) if run else said


def show_failure(error: Exception, is_json: bool) -> Exit | None:
    """Shows an error of ours or of the node; returns None, having said nothing, for anything else."""
    if isinstance(error, PilothouseError):
        faults = [f"{one['path']}: {one['message']}" for one in getattr(error, "faults", [])]
        code, message, hint, run, status = error.code, error.message, error.hint, None, 0
    else:
        from pilothouse.client import ApiError  # only a command that talks to a node can have raised it

        if not isinstance(error, ApiError):
            return None
        faults = [f"{fault.path}: {fault.message}" for fault in error.faults]
        code, message, hint, run, status = error.code, str(error), error.hint, error.run, error.status
    say_failure(code, message, hint_for(code, hint, run), faults, is_json)
    return exit_of_error(code, status)


def say_failure(code: str, message: str, hint: str, faults: list[str], is_json: bool) -> None:
    if is_json:
        problem = {"code": code, "message": message, "hint": hint} | ({"faults": faults} if faults else {})
        click.echo(msgspec.json.encode({"error": problem}).decode(), err=True)
        return
    click.echo(f"{styled('Error:', fg='red')} {printable(message)}", err=True)
    for fault in faults:
        click.echo(f"  {printable(fault)}", err=True)
    if hint:
        click.echo(f"Next:  {printable(hint)}", err=True)


def show_fault(error: Exception, is_json: bool) -> Exit:
    """A fault of Pilothouse itself."""
    if os.environ.get("PILOTHOUSE_DEBUG"):
        traceback.print_exception(error)
    say_failure(
        "internal",
        f"Something in Pilothouse went wrong ({type(error).__name__}).",
        "Run the command again with PILOTHOUSE_DEBUG=1 to see where, and report it.",
        [],
        is_json,
    )
    return Exit.FAULT
