"""How a run ends, as one Change: the end, its event, the turn of its session, the answer to the run that called it.

Pure: values in, statements out. What of it falls (the caller has ended meanwhile, a cancel was asked for) is decided
by who hands it over.
"""

from msgspec import Struct

from pilothouse.domain.event import line
from pilothouse.domain.journal import ENDED, StepRow
from pilothouse.domain.run import Run
from pilothouse.domain.session import Trail
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import decode, encode, error_json, instant, raw, step_finished
from pilothouse.errors import CallFailed
from pilothouse.ports.change import (
    Act,
    AdvanceSession,
    AppendEvents,
    CancelReviews,
    ResolveStep,
    Row,
    TakeTurn,
    WakeRun,
)


class Ending(Struct):
    """The end that a run is to have. `keeps_turn`: it becomes part of the history of its session."""

    status: str
    at: int
    output: bytes | None = None
    error: bytes | None = None
    usage: bytes | None = None
    state: bytes | None = None
    version: int = 0
    keeps_turn: bool = False
    expires_at: int | None = None
    tells_parent: bool = True
    trail: Trail | None = None
    by: str = NODE
    """Who gave it this end, for the audit log."""
    digest: str | None = None
    """Of the output, under the key of the subject."""
    unknown: dict[str, str] = {}
    """Actions that were allowed and whose end nobody saw, by step: of a run whose attempt is gone."""


def terminal_line(ending: Ending) -> bytes:
    """The last event of the run: what a caller who streams needs to know of the end."""
    body: dict[str, object] = {"status": ending.status}
    if ending.status == "succeeded":
        body["output"] = raw(ending.output)
    else:
        body["error"] = raw(ending.error)
    if ending.usage is not None:
        body["usage"] = raw(ending.usage)
    return line(f"run.{ending.status}", encode(body))


def ending_acts(run: Run, ending: Ending) -> tuple[list[Act], list[Row]]:
    """Everything that goes with the end, but the end itself and the events of the run."""
    acts: list[Act] = []
    rows: list[Row] = [CancelReviews(run.tenant, run.id, ending.at, _unasked(run, ending)), _end_entry(run, ending)]
    for step, action in ending.unknown.items():
        rows.append(entry(run.tenant, action, ending.at, "action.unknown", NODE, run=run.id, step=step))
    if run.session is not None:
        if ending.keeps_turn:
            acts.append(
                TakeTurn(
                    run.tenant,
                    run.session,
                    run.agent,
                    run.id,
                    ending.version,
                    ending.state,
                    ending.at,
                    ending.expires_at,
                    None if ending.trail is None else ending.trail.content,
                    ending.trail is not None and ending.trail.is_whole,
                )
            )
        rows.append(AdvanceSession(run.tenant, run.session, run.agent, ending.at))
    if run.parent is not None and run.parent_key is not None and ending.tells_parent:
        row = call_row(run, ending)
        acts.append(ResolveStep(run.tenant, run.parent, row))
        acts.append(WakeRun(run.tenant, run.parent))
        rows.append(AppendEvents(run.tenant, run.parent, ending.at, 1, line("step.finished", step_finished(row))))
    return acts, rows


def _end_entry(run: Run, ending: Ending) -> Row:
    code = None if ending.error is None else decode(ending.error).get("code")
    kind = f"run.{ending.status}"
    return entry(run.tenant, run.id, ending.at, kind, ending.by, output=ending.digest, error=code, attempt=run.attempt)


def _unasked(run: Run, ending: Ending) -> bytes:
    """What the log says of each review that was open when the run ended: who ended the run, and how."""
    told = {"at": instant(ending.at), "kind": "review.cancelled", "by": ending.by, "run": run.id}
    return encode(told | {"reason": f"run.{ending.status}"})


def call_row(run: Run, ending: Ending) -> StepRow:
    """The end of the step of the caller, from the end of the run that was called."""
    error = None
    if ending.status != "succeeded":
        text = _message(ending.error)
        error = error_json(CallFailed(agent=run.agent, status=ending.status, text=text, run=run.id))
    return StepRow(
        key=run.parent_key or "",
        kind="call",
        name=run.agent,
        phase=ENDED,
        status="succeeded" if ending.status == "succeeded" else "failed",
        output=ending.output if ending.status == "succeeded" else None,
        error=error,
        usage=ending.usage,
        started_at=run.created_at,
        finished_at=ending.at,
    )


def _message(error: bytes | None) -> str:
    if error is None:
        return "no reason was given"
    return str(decode(error).get("message", ""))
