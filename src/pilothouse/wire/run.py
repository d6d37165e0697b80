"""The run and its steps as JSON: what a caller sends to start one, and how it looks everywhere.

`RunView` has the fields of the contract in the order of the contract; everything after `usage` was added. Requests
refuse unknown fields, so that a misspelt option is told and not ignored. What the types cannot say (the form of an id,
of a session key) is checked by `communication.http.run`.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field
from msgspec.structs import astuple

from pilothouse.domain.delivery import ToldEvent
from pilothouse.domain.journal import StepKind, StepRow, StepStatus
from pilothouse.domain.obstacle import Obstacle, ObstacleKind
from pilothouse.domain.run import Mode, OnBusy, Run, Status
from pilothouse.wire.instant import stamp, stamp_if
from pilothouse.wire.override import OverrideView, Reason, mark_overridden
from pilothouse.wire.payload import AnyJson, ErrorJson, Instant, JsonObject, empty_object, null, raw_if

YEAR = 366 * 24 * 3600.0
RUN_ID_PATTERN = "^run_[A-Za-z0-9_-]{1,64}$"

_encode = msgspec.json.Encoder().encode


class WebhookRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Tell this address of the run, signed after Standard Webhooks. `events`: at its end when left out. `ordered`: one
    after the other, each only when the one before was taken."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    events: list[ToldEvent] | None = None
    ordered: bool = False


class RunRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """What starts a run. Every field may be left out."""

    input: AnyJson = field(default_factory=null)
    session: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    metadata: JsonObject = field(default_factory=empty_object)
    subject: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    delay_seconds: Annotated[float, Meta(ge=0, le=YEAR)] = 0.0
    deadline_seconds: Annotated[float, Meta(gt=0, le=YEAR)] | None = None
    on_busy: OnBusy = "enqueue"
    webhook: WebhookRequest | None = None
    run_id: Annotated[str, Meta(pattern=RUN_ID_PATTERN)] | None = None


class CancelRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None


class RetryRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Nothing: a retry takes all from the run."""


class ForkRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A new run that keeps the finished steps up to `after` (null: all of them), some with another output."""

    after: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    reason: Reason | None = None
    replace: dict[Annotated[str, Meta(max_length=1000)], AnyJson] = {}


class SignalRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    payload: AnyJson = field(default_factory=null)


class Usage(Struct, kw_only=True):
    """What a run spent. All zero when nothing was counted."""

    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    cost_usd: float = 0.0


SHORT = 2048
"""Bytes of a payload that a short view still shows."""

NO_USAGE = Usage()
_decode_usage = msgspec.json.Decoder(Usage).decode


class RunView(Struct):
    """A run, everywhere the same."""

    id: str
    agent: str
    release: str
    mode: Mode
    session: str | None
    status: Status
    input: AnyJson
    output: AnyJson | None
    error: ErrorJson | None
    attempt: int
    metadata: JsonObject
    tenant: str
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    usage: Usage
    subject: str | None
    priority: int
    due_at: Instant | None
    deadline_at: Instant | None
    parent: str | None
    origin: str | None
    override: OverrideView | None = None


class ObstacleView(Struct):
    """Why a run does not go on now. `kind` is stable, `message` is for people; `on` is the id of a review, a run or a
    hold, or the name of a release."""

    kind: ObstacleKind
    message: str
    on: str | None


class RunNow(RunView):
    """A run that was asked for by its id. `waits_for` is there while it is neither at work nor over."""

    waits_for: ObstacleView | UnsetType = UNSET


def run_now(run: Run, obstacle: Obstacle | None) -> RunNow:
    view = RunNow(*astuple(run_view(run)))
    if obstacle is not None:
        view.waits_for = ObstacleView(obstacle.kind, obstacle.message, obstacle.on)
    return view


def run_view(run: Run) -> RunView:
    """By position and not by name: that saves a third of what a run costs on the hot path."""
    view = RunView(
        run.id,
        run.agent,
        run.release,
        run.mode,
        run.session,
        run.status,
        Raw(run.input),
        None if run.output is None else Raw(run.output),
        None if run.error is None else Raw(run.error),
        run.attempt,
        Raw(run.metadata),
        run.tenant,
        stamp(run.created_at),
        None if run.started_at is None else stamp(run.started_at),
        None if run.finished_at is None else stamp(run.finished_at),
        NO_USAGE if run.usage is None else _decode_usage(run.usage),
        run.subject,
        run.priority,
        None if run.due_at is None else stamp(run.due_at),
        None if run.deadline_at is None else stamp(run.deadline_at),
        run.parent,
        run.origin,
    )
    if run.overrides is not None:
        view.output, view.override = mark_overridden(run.output, run.overrides)
    return view


def short_view(run: Run) -> RunView:
    """A run in a list that is looked at: what is long is null, and is read with the run itself."""
    view = run_view(run)
    if len(run.input) > SHORT:
        view.input = Raw(b"null")
    if run.output is not None and len(run.output) > SHORT:
        view.output = None
    if len(run.metadata) > SHORT:
        view.metadata = Raw(b"{}")
    return view


def encode_run(run: Run) -> bytes:
    return _encode(run_view(run))


class RunPage(Struct):
    """Newest first."""

    items: list[RunView]
    next_cursor: str | None


class CancelNoted(Struct, kw_only=True):
    """The answer to a cancel of a run that is not known yet: should it come, it is cancelled at once."""

    id: str
    remembered: bool = True


class StepView(Struct, kw_only=True):
    """A step of the journal. `attempt` counts the executions this record stands for."""

    key: str
    kind: StepKind
    name: str
    status: StepStatus
    attempt: int
    input: AnyJson | None
    output: AnyJson | None
    error: ErrorJson | None
    started_at: Instant
    finished_at: Instant | None
    once: bool
    due_at: Instant | None


class StepPage(Struct):
    """In the order in which the steps were written."""

    items: list[StepView]
    next_cursor: str | None


def step_view(row: StepRow) -> StepView:
    return StepView(
        key=row.key,
        kind=row.kind,
        name=row.name,
        status=row.status,
        attempt=row.tries,
        input=raw_if(row.input),
        output=raw_if(row.output),
        error=raw_if(row.error),
        started_at=stamp(row.started_at),
        finished_at=stamp_if(row.finished_at),
        once=row.once,
        due_at=stamp_if(row.due_at),
    )
