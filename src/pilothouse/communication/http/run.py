"""The routes of runs: a request becomes a command, what the verb returns becomes the view of the contract.

`start_run` is the hot path of the house and is called without a router. How a caller wants its answer (`Prefer`,
`Accept`) is decided here, once; what that means for keeping the run is the verb's business.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from msgspec import Meta, Struct

from pilothouse.communication.http.body import check_payload, digest_request
from pilothouse.communication.http.call import Call, check_cursor, principal_of, tenant_of
from pilothouse.communication.http.deadline import POLL, RUN, EarlyEnd
from pilothouse.communication.http.delivery import read_webhook
from pilothouse.communication.http.header import (
    IDEMPOTENCY_KEY,
    WAIT_LIMIT,
    Preference,
    read_position,
    read_prefer,
    wants_stream,
)
from pilothouse.communication.http.stream import Stream, cancel_gone, cancels_when_gone
from pilothouse.domain import ids
from pilothouse.domain.event import Segment
from pilothouse.domain.journal import StepKind
from pilothouse.domain.run import Run, Status
from pilothouse.engine import cancel, event, journal, retry, signal
from pilothouse.engine import run as verbs
from pilothouse.engine.obstacle import find_obstacle
from pilothouse.engine.run import Idempotent, Started, StartRun, Wants
from pilothouse.engine.unkept import InMemory, Unkept
from pilothouse.errors import (
    BadCursor,
    Draining,
    InvalidInput,
    MalformedRequest,
    RunNotFound,
)
from pilothouse.ports.records import RunFilter
from pilothouse.wire.event import encode_page
from pilothouse.wire.run import (
    CancelNoted,
    CancelRequest,
    ForkRequest,
    RetryRequest,
    RunPage,
    RunRequest,
    SignalRequest,
    StepPage,
    encode_run,
    run_now,
    run_view,
    short_view,
    step_view,
)

Limit = Annotated[int, Meta(ge=1, le=200)]
Cursor = Annotated[str, Meta(max_length=512)]
PAGE = 50


class RunQuery(Struct, forbid_unknown_fields=True):
    wait: Annotated[float, Meta(ge=0, le=WAIT_LIMIT)] = 0.0


class RunsQuery(Struct, forbid_unknown_fields=True):
    agent: Annotated[str, Meta(max_length=256)] | None = None
    session: Annotated[str, Meta(max_length=256)] | None = None
    status: list[Status] = []
    parent: Annotated[str, Meta(max_length=256)] | None = None
    payloads: Annotated[
        Literal["whole", "short"],
        Meta(description="`short`: what is longer than 2 KiB is left out, for lists that are looked at."),
    ] = "whole"
    cursor: Cursor | None = None
    limit: Limit = PAGE


class StepsQuery(Struct, forbid_unknown_fields=True):
    kind: list[StepKind] = []
    """Which; without it all but what a framework keeps of its own progress (`checkpoint`)."""
    cursor: Cursor | None = None
    limit: Limit = PAGE


After = Annotated[int, Meta(ge=0, le=2**53)] | None


class EventsQuery(Struct, forbid_unknown_fields=True):
    after: After = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


# --- starting -------------------------------------------------------------------------------------------------------

MORE_TO_DO = frozenset({b"prefer", b"idempotency-key", b"last-event-id", b"x-cancel-on-disconnect"})
"""Headers of a caller who wants more than the end of a run."""
Ended = Callable[[Call, Exception | None], None]


class AtOnce:
    """A caller who waits for the end of a run that is not kept, without a task to wait in. `then` is called once."""

    __slots__ = ("_call", "_then", "_unkept")

    def __init__(self, call: Call, unkept: Unkept, then: Ended) -> None:
        self._call, self._unkept, self._then = call, unkept, then
        unkept.on_end = self._ended
        patience = call.patience
        patience.reason, patience.until = RUN, call.began_at + call.front.options.end_within
        patience.on_told = self._told

    def _ended(self) -> None:
        error: Exception | None = self._unkept.problem
        if error is None:
            try:
                self._call.reply(200, encode_run(self._unkept.run))
            except Exception as other:
                error = other
        self._leave(error)

    def _told(self) -> None:
        """The time is over, or the node shuts down."""
        if self._unkept.on_end is not None:  # the end may have come since
            self._leave(Draining())

    def _leave(self, error: Exception | None) -> None:
        self._unkept.on_end = self._call.patience.on_told = None
        self._then(self._call, error)


def start_at_once(call: Call, agent: str, body: RunRequest, raw: bytes, then: Ended) -> bool:
    """Whether a run began whose end is the answer; `then` hears when that is given, or why it cannot be. Most stateless
    runs need no more. False: nothing has begun, see `start_run`."""
    headers, world = call.headers, call.front.world
    if not MORE_TO_DO.isdisjoint(headers) or wants_stream(headers.get(b"accept")):
        return False
    known = world.worker.find(agent)
    if known is None or known.mode != "stateless":
        return False
    unkept = verbs.start_at_once(world, make_command(call, agent, body, raw, "end"))
    if unkept is None:
        return False
    AtOnce(call, unkept, then)
    return True


async def start_run(call: Call, agent: str, body: RunRequest, raw: bytes) -> None:
    """Starts a run and answers as the caller asked."""
    world = call.front.world
    cancels = cancels_when_gone(call)
    seen = call.headers.get(b"last-event-id")
    position = 0 if seen is None else read_position(seen)
    prefer = read_prefer(call.headers.get(b"prefer"))
    is_stream = wants_stream(call.headers.get(b"accept"))
    known = world.worker.find(agent)
    mode = "stateless" if known is None else known.mode
    wants: Wants = "end"
    if is_stream:
        wants = "stream"
    elif prefer.asks:
        wants = "later"
    elif mode == "event":
        wants, prefer = "later", Preference(respond_async=True)
    if wants != "end" or mode != "stateless":
        check_payload(bytes(body.input))  # of the others the host says so before anything was promised
    started = await verbs.start_run(world, make_command(call, agent, body, raw, wants))
    if is_stream:
        await _stream_started(call, started, position)
    elif started.unkept is not None and not cancels:
        await _answer_unkept(call, started, started.unkept)
    else:
        await _answer_started(call, started, prefer, cancels)


def make_command(call: Call, agent: str, body: RunRequest, raw: bytes, wants: Wants) -> StartRun:
    """What the types of the body cannot say is checked here."""
    faults = []
    if body.session is not None and not ids.valid_session_key(body.session):
        faults.append({"path": "$.session", "message": "expected 1 to 256 printable characters"})
    if body.run_id is not None and not ids.RUN_ID.match(body.run_id):
        faults.append({"path": "$.run_id", "message": "expected `run_` and 1 to 64 letters, digits, `_` or `-`"})
    if faults:
        raise InvalidInput(faults=faults)
    key = call.headers.get(b"idempotency-key")
    return StartRun(
        tenant=tenant_of(call),
        agent=agent,
        input=bytes(body.input),
        session=body.session,
        subject=body.subject,
        metadata=bytes(body.metadata),
        priority=body.priority,
        delay_seconds=body.delay_seconds,
        deadline_seconds=body.deadline_seconds,
        on_busy=body.on_busy,
        run_id=body.run_id,
        idempotency=None if key is None else _idempotent(call, key, raw),
        wants=wants,
        by=principal_of(call),
        principal=call.principal,
        webhook=None if body.webhook is None else read_webhook(call, body.webhook),
        traceparent=None if call.traceparent is None else call.traceparent.decode(),
    )


def _idempotent(call: Call, key: bytes, raw: bytes) -> Idempotent:
    if not IDEMPOTENCY_KEY.match(key):
        raise MalformedRequest(reason="an Idempotency-Key is 1 to 255 visible ASCII characters")
    return Idempotent(key.decode(), digest_request(call.exchange.path, raw))


async def _stream_started(call: Call, started: Started, position: int) -> None:
    run = started.run
    if position and not started.fresh:  # the same request again, after its stream broke off
        await _stream_from(call, run.id, position)
        return
    follower = await event.follow_started(call.front.world, started)
    await Stream(call, follower, run.id, 0).send([(b"location", _location(run))])


async def _answer_unkept(call: Call, started: Started, unkept: InMemory) -> None:
    """What `_answer_started` does, for the run that most callers want: at its end, and of nothing else."""
    with EarlyEnd(call.patience, RUN, call.began_at + call.front.options.end_within) as waiting:
        await unkept.ended
    if waiting.was_told:
        raise Draining()
    if unkept.problem is not None:
        raise unkept.problem
    call.reply(200, encode_run(unkept.run))


async def _answer_started(call: Call, started: Started, prefer: Preference, cancels: bool = False) -> None:
    run = started.run
    if prefer.asks and prefer.wait is None:
        pass
    elif cancels:
        call.exchange.when_gone(partial(cancel_gone, call, run.id))
        run = await _wait_end(call, started, prefer.wait)
        call.exchange.when_gone(None)
    else:
        run = await _wait_end(call, started, prefer.wait)
    applied = [(b"preference-applied", prefer.applied)] if prefer.asks and b"prefer" in call.headers else []
    if run.is_terminal and (prefer.wait is not None or not prefer.asks):
        await call.answer(200, encode_run(run), applied)
    else:
        await call.answer(202, encode_run(run), [(b"location", _location(run)), *applied])


async def _wait_end(call: Call, started: Started, within: float | None) -> Run:
    """The run at its end, or as it is when the time is over or the node shuts down."""
    world = call.front.world
    if within is None:
        with EarlyEnd(call.patience, RUN, call.began_at + call.front.options.end_within):
            return await verbs.wait_started(world, started, None)
    else:
        with EarlyEnd(call.patience, POLL):
            return await verbs.wait_started(world, started, within)
    if started.unkept is not None:
        raise Draining()
    return await verbs.get_run(world, started.run.tenant, started.run.id)


def _location(run: Run) -> bytes:
    return b"/v1/runs/" + run.id.encode()


# --- asking ---------------------------------------------------------------------------------------------------------


def check_run_id(run: str) -> None:
    """An id that no run can have is answered like one that no run has."""
    if not ids.RUN_ID.match(run):
        raise RunNotFound(run=run[:80])


async def get_run(call: Call, run: str, query: RunQuery) -> None:
    """One run, now or when it has ended."""
    check_run_id(run)
    front, tenant = call.front, tenant_of(call)
    found: Run | None = None
    if query.wait > 0 and not front.world.is_draining:
        with EarlyEnd(call.patience, POLL):
            found = await verbs.wait_run(front.world, tenant, run, query.wait)
    if found is None:
        found = await verbs.get_run(front.world, tenant, run)
    await call.show(run_now(found, await find_obstacle(front.world, found)))


async def list_runs(call: Call, query: RunsQuery) -> None:
    check_cursor(query.cursor)
    where = RunFilter(query.agent, query.session, tuple(query.status), query.parent)
    page = await verbs.list_runs(call.front.world, tenant_of(call), where, query.cursor, query.limit)
    view = run_view if query.payloads == "whole" else short_view
    await call.show(RunPage([view(one) for one in page.items], page.next_cursor))


async def list_steps(call: Call, run: str, query: StepsQuery) -> None:
    """A page may have fewer steps than were asked for, and the next one more: kinds are left out page by page."""
    check_run_id(run)
    check_cursor(query.cursor)
    rows, cursor = await journal.list_steps(call.front.world, tenant_of(call), run, query.cursor, query.limit)
    shown = [row for row in rows if (row.kind in query.kind if query.kind else row.kind != "checkpoint")]
    await call.show(StepPage([step_view(row) for row in shown], cursor))


async def read_events(call: Call, run: str, query: EventsQuery) -> None:
    """The events as a stream, or a page of them."""
    check_run_id(run)
    cancels_when_gone(call)
    accept = call.headers.get(b"accept", b"")
    seen = call.headers.get(b"last-event-id")
    after = query.after or 0 if seen is None else read_position(seen)
    is_page = query.after is not None or b"application/json" in accept
    if is_page and not wants_stream(accept):
        await _show_events(call, run, after, query.limit)
    else:
        await _stream_from(call, run, after)


async def _show_events(call: Call, run: str, after: int, limit: int) -> None:
    await _find_event(call, run, after)
    segments = await event.read_events(call.front.world, tenant_of(call), run, after, limit)
    await call.answer(200, encode_page(segments, after, limit, is_last=not event.is_full(segments, limit)))


async def _stream_from(call: Call, run: str, after: int) -> None:
    """204 when there is nothing after the position and never will be, which tells an EventSource to stop."""
    world = call.front.world
    seen = await _find_event(call, run, after)
    if seen is not None and seen.is_terminal and seen.last == after:
        await call.answer_empty(204)
        return
    if world.is_draining:
        raise Draining()
    follower = await event.follow_run(world, tenant_of(call), run, after)
    await Stream(call, follower, run, after).send()


async def _find_event(call: Call, run: str, position: int) -> Segment | None:
    """The segment of the event that a client says it has seen. Raises `BadCursor` when there is no such event, so that
    nobody waits for the sequel of something that never was."""
    if position == 0:
        return None
    for segment in await event.read_events(call.front.world, tenant_of(call), run, position - 1, 1):
        if segment.seq <= position <= segment.last:
            return segment
    raise BadCursor(
        f"The run {run!r} has no event {position}.",
        hint="Read the events from the first, without Last-Event-ID or after.",
    )


# --- changing -------------------------------------------------------------------------------------------------------


async def cancel_run(call: Call, run: str, body: CancelRequest) -> None:
    check_run_id(run)
    reason = body.reason or "asked by a caller"
    found = await cancel.cancel_run(call.front.world, tenant_of(call), run, reason, by=principal_of(call))
    if found is None:
        await call.show(CancelNoted(id=run), 202)
    else:
        await call.answer(200 if found.is_terminal else 202, encode_run(found))


async def retry_run(call: Call, run: str, body: RetryRequest) -> None:
    check_run_id(run)
    await _answer_made(call, await retry.retry_run(call.front.world, tenant_of(call), run, principal_of(call)))


async def fork_run(call: Call, run: str, body: ForkRequest) -> None:
    check_run_id(run)
    replace = {key: bytes(output) for key, output in body.replace.items()}
    world, by = call.front.world, principal_of(call)
    await _answer_made(call, await retry.fork_run(world, tenant_of(call), run, body.after, replace, by, body.reason))


async def _answer_made(call: Call, started: Started) -> None:
    """A new run made from another one is background work, unless the caller prefers to wait."""
    prefer = read_prefer(call.headers.get(b"prefer"))
    await _answer_started(call, started, prefer if prefer.asks else Preference(respond_async=True))


async def send_signal(call: Call, run: str, name: str, body: SignalRequest) -> None:
    check_run_id(run)
    if not ids.SIGNAL_NAME.match(name):
        fault = {"path": "path.name", "message": "expected letters, digits, `_`, `.`, `:` or `-`, at most 128"}
        raise InvalidInput("The name of the signal does not fit.", faults=[fault])
    found = await signal.send_signal(
        call.front.world, tenant_of(call), run, name, bytes(body.payload), principal_of(call)
    )
    await call.answer(202, encode_run(found))
