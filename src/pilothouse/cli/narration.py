"""Tells a person what a run does while it does it: its output on stdout, the rest as notes on stderr.

Pieces of text are written as they come, without a line end between them. Notes are for a person at the terminal only:
when stderr is not one, only what a person must act on (a review) is told.
"""

import sys
from datetime import UTC, datetime
from typing import Any

import click

from pilothouse.cli.show import on_one_line, printable, readable, styled
from pilothouse.client import Event

NOTE_LIMIT = 200


class Narrator:
    """`tell` each event, then `finish`. `last` is the event told last; `opening` is said with the first one."""

    def __init__(self, opening: str = "") -> None:
        self._opening = opening
        self.last: Event | None = None
        self._pieces: list[str] = []
        self._has_values = False
        self._is_mid_line = False
        self._is_watched = sys.stderr.isatty()

    def tell(self, event: Event) -> None:
        self.last = event
        if event.type == "output.delta":
            self._write(event.fields.get("delta"))
            return
        note = describe(event) + (self._opening if event.seq == 1 else "")
        if note and (self._is_watched or event.type == "review.requested"):
            self._end_line()
            click.echo(note if event.type == "review.requested" else styled(note, dim=True), err=True)

    def finish(self) -> None:
        self._end_line()

    def has_said_output(self, output: Any) -> bool:
        """Whether what was written already is the output of the run, or it has none."""
        said = "".join(self._pieces)
        if isinstance(output, str):
            return said == output and not self._has_values
        return (output is None and bool(said or self._has_values)) or output == self._pieces

    def _write(self, delta: Any) -> None:
        if isinstance(delta, str):
            self._pieces.append(delta)
            click.echo(printable(delta) if sys.stdout.isatty() else delta, nl=False)
            if delta:
                self._is_mid_line = not delta.endswith("\n")
        else:
            self._has_values = True
            self._end_line()
            click.echo(readable(delta))

    def _end_line(self) -> None:
        if self._is_mid_line:
            click.echo()
            self._is_mid_line = False


def describe(event: Event) -> str:
    """One line about an event; empty for what speaks for itself."""
    fields = event.fields
    match event.type:
        case "run.queued" if event.seq == 1:
            return f"{event.run}{_until(fields)}"
        case "run.queued":
            return f"{event.run} is queued again{_because(fields)}{_until(fields)}"
        case "run.waiting":
            return f"{event.run} waits{_until(fields)}"
        case "run.resumed":
            return f"{event.run} goes on"
        case "step.started" if fields.get("kind") != "value":
            return f"  {_step(fields)}"
        case "step.finished" if fields.get("status") == "failed":
            return f"  {_step(fields)} failed{_because(fields)}"
        case "model.failed" | "model.hedged":
            return f"  {_call(fields)}"
        case "review.requested":
            review = printable(str(fields.get("review", "")))
            question = on_one_line(str(fields.get("question", "")))[:NOTE_LIMIT]
            return f"A person is asked: {question}\n  pilothouse reviews decide {review} approve|edit|reject|respond"
        case "review.decided":
            return f"The review is answered: {fields.get('verdict', '')}"
        case "run.log":
            return f"  {on_one_line(str(fields.get('text', '')))[:NOTE_LIMIT]}"
    return ""


def _step(fields: dict[str, Any]) -> str:
    return printable(str(fields.get("name") or fields.get("key") or "a step"))


def _call(fields: dict[str, Any]) -> str:
    """What became of a request to a model that did not bring the answer, or of two."""
    model = printable(f"{fields.get('provider', '')}: {fields.get('model', '')}")
    if "won" in fields:
        return f"{model} was asked twice, and the {fields['won']} request answered"
    reason = on_one_line(str(fields.get("reason", "")))[:NOTE_LIMIT]
    wait = fields.get("wait")
    then = {"again": f", again in {wait or 0:g} s", "fallback": ", another one is asked"}.get(
        fields.get("then", ""), ""
    )
    return f"{model} failed ({fields.get('status') or 'no answer'}){then}: {reason}"


def _because(fields: dict[str, Any]) -> str:
    error = fields.get("error")
    if not isinstance(error, dict):
        return ": its worker was lost" if fields.get("reason") == "worker_lost" else ""
    return f": {on_one_line(str(error.get('message', '')))[:NOTE_LIMIT]}"


def _until(fields: dict[str, Any]) -> str:
    """Until when a wait goes on at the longest, when that is known."""
    due_at = fields.get("due_at")
    if isinstance(due_at, int):
        due_at = datetime.fromtimestamp(due_at / 1e6, UTC).isoformat(timespec="seconds")
    return f" until {due_at}" if due_at else ""
