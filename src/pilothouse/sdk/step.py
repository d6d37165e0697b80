"""A step: run a function once, keep what it gave, and give that back ever after.

The order is what counts. A step that ended is answered from its row and its function is not touched. A new one runs
only after the values given out before it are durable; a `once` step only after its own intent is. The agent gets the
result after the row is durable, and always as what is read from the row, so that the first run and a replay see the
same types. Tries within a step are not rows: only the last outcome is.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from inspect import isawaitable
from typing import Any, Protocol

from msgspec import Struct

from pilothouse.domain.journal import BEGUN, ENDED, StepKind, StepRow
from pilothouse.domain.retry import Retry
from pilothouse.domain.review import Answer
from pilothouse.errors import InvalidInput, PilothouseError, StepFailed, StepTimeout, TooLarge, UnknownOutcome
from pilothouse.sdk.failure import failure_in, kinds_of, original_in, plain_attributes, step_failure, write_failure
from pilothouse.sdk.journal import AttemptJournal
from pilothouse.sdk.schema import Codec, NotJson, read_json, type_name, write_json
from pilothouse.sdk.scope import Scope, step_here

RESULT_LIMIT = 32 * 1024 * 1024
ARGUMENTS_LIMIT = 1024 * 1024
"""Bytes of arguments that a row keeps to be looked at; more are digested and left out."""

DRAW = random.Random()
"""For backoff. Its own, so that a user's `random.seed` neither changes it nor is used up by it."""


class Shape(Protocol):
    """What a step must know of its function."""

    @property
    def is_async(self) -> bool: ...

    def codec(self, function: Callable[..., Any]) -> Codec:
        """How a kept result is read."""
        ...


class StepCall(Struct):
    """One step that was asked for, with its key reserved. `input` is what its rows show of the arguments.

    `dump` makes a result what JSON can hold; None: it is that already. What is of a `passing` type is raised through
    without an end: the step has not happened, and is asked for again. With `revives`, a failure is raised as the
    exception that it was, as far as it can be made again; else as `StepFailed`."""

    kind: StepKind
    name: str
    key: str
    function: Callable[..., Any]
    facts: Shape
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    input: bytes | None
    retry: Retry | None = None
    timeout: float | None = None
    once: bool = False
    dump: Callable[[Any], Any] | None = None
    passing: tuple[type[BaseException], ...] = ()
    revives: bool = False
    place: Callable[..., Coroutine[Any, Any, Any]] | None = None
    """Runs it elsewhere: in a pool."""
    risk: str = ""
    """Of a tool whose call is to be decided by the node before it runs; empty: nobody decides."""
    proposed: bytes = b""
    """The arguments that are decided about, as JSON."""

    @property
    def action(self) -> str:
        return self.name

    def use(self, arguments: dict[str, Any]) -> None:
        """Other arguments of a tool than it was called with: a person or a policy has edited them."""
        if self.revives:
            self.args = (arguments,)
        else:
            self.kwargs = arguments

    def failure(self, row: StepRow) -> BaseException:
        """What a recorded failure raises: the same each time."""
        return original_in(row) if self.revives else failure_in(row)


class EffectShape:
    """The shape of a body that a bridge runs: a coroutine function whose result `load` makes again of JSON."""

    is_async = True
    schema = b"{}"
    is_free = True
    is_text = False
    is_exact = False

    def __init__(self, load: Callable[[Any], Any] | None) -> None:
        self._load = load

    def codec(self, function: Callable[..., Any]) -> "EffectShape":
        return self

    def read(self, raw: bytes) -> Any:
        value = read_json(raw)
        return value if self._load is None else self._load(value)

    def write(self, value: object) -> bytes:
        return write_json(value)


class Performer(Protocol):
    """The attempt, as a step sees it."""

    kept: bool

    @property
    def journal(self) -> AttemptJournal: ...

    def clock(self) -> int: ...

    async def pause(self, seconds: float) -> None: ...

    def step_began(self) -> "asyncio.Task[Any] | None":
        """Notes the task in which a function runs, and gives it back for `step_ended`."""
        ...

    def step_ended(self, task: "asyncio.Task[Any] | None") -> None: ...

    def idempotency_key_of(self, key: str) -> str: ...

    async def in_step_thread(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any: ...

    async def ask_outcome(self, call: StepCall, intent: StepRow) -> Answer:
        """Asks a person what became of a step that began."""
        ...

    async def pass_gate(self, call: StepCall) -> StepRow | None:
        """Asks the node whether a tool may run. None: it may; else how it ended without running."""
        ...

    @property
    def is_ending(self) -> bool: ...

    @property
    def asks(self) -> frozenset[str]:
        """The kinds of steps that the node is asked before."""
        ...

    async def may_begin(self, kind: StepKind) -> None:
        """Returns when the node allows the step; it may end the run instead."""
        ...


def encode_arguments(named: dict[str, Any]) -> bytes:
    """The arguments of a step as JSON, for its key and for people.

    What JSON cannot hold is written as `<module.Type>`, a function or a class as `<module.name>`: never anything that
    differs from process to process. Two objects of one type are then told apart by the order of the calls only.
    """
    try:
        return write_json(named, in_order=True)
    except NotJson:
        return write_json({name: _shown(value) for name, value in named.items()}, in_order=True)


def shown(encoded: bytes) -> bytes | None:
    """What a row keeps of the arguments."""
    return encoded if len(encoded) <= ARGUMENTS_LIMIT else None


def _shown(value: Any) -> Any:
    try:
        return read_json(write_json(value))
    except NotJson:
        pass
    if isinstance(value, str | int | float):
        return repr(value)
    named = value if hasattr(value, "__qualname__") and hasattr(value, "__module__") else type(value)
    return f"<{type_name(named)}>"


async def perform(attempt: Performer, call: StepCall, row: StepRow | None) -> Any:
    """The result of a step. `row` is its recorded end, when there is one."""
    if row is not None:
        return _outcome(row, call)
    journal = attempt.journal
    if journal.strict:
        await journal.admit(call.key)
    if journal.has_unsettled:
        await journal.settled()
    if attempt.asks and call.kind in attempt.asks:
        await attempt.may_begin(call.kind)
    if not attempt.kept:
        if call.risk and (ended := await attempt.pass_gate(call)) is not None:
            return _outcome(ended, call)
        return await _execute_unkept(attempt, call)
    intent, once = call.key, call.once
    begun = journal.begun(call.key, call.kind)
    if begun is not None and begun.once:
        found = await _clear_up(attempt, call, begun)
        if isinstance(found, StepRow):
            return _outcome(found, call)
        intent, once = found, True
    if call.risk and (ended := await attempt.pass_gate(call)) is not None:
        return _outcome(ended, call)
    return await _execute(attempt, call, intent, once)


async def _clear_up(attempt: Performer, call: StepCall, begun: StepRow) -> StepRow | str:
    """What became of a `once` step whose end nobody saw: its end, as a person tells it, or the key under which it may
    run again. A second run is an intent of its own, so that its loss is asked about too."""
    journal, intent, runs = attempt.journal, begun, 1
    while True:
        answer = await attempt.ask_outcome(call, intent)
        match answer.verdict:
            case "approve":
                runs += 1
                key = f"{call.key}.again-{runs}"
                row = journal.recorded(key, call.kind)
                if row is not None:
                    return row
                again = journal.begun(key, call.kind)
                if again is None:
                    return key
                intent = again
                continue
            case "edit":
                end = _end(intent, attempt.clock(), output=write_json(answer.edited))
            case "respond":
                end = _end(intent, attempt.clock(), output=write_json(answer.response))
            case _:
                end = _end(intent, attempt.clock(), error=UnknownOutcome(step=call.key))
        return await journal.end(journal.next_ref(), end, started=True)


async def _execute(attempt: Performer, call: StepCall, intent: str, once: bool) -> Any:
    journal = attempt.journal
    ref, began_at = journal.next_ref(), attempt.clock()
    begun = StepRow(intent, call.kind, call.name, BEGUN, "started", once=once, input=call.input, started_at=began_at)
    if once:
        await journal.begin(ref, begun)
    else:
        journal.told(ref, begun)
    scope = Scope(attempt, call.key, call.kind)
    task = attempt.step_began()
    try:
        result, cause, tries = await _try(attempt, call, scope, once)
    finally:
        attempt.step_ended(task)
    output, cause = _encoded_result(call, result, cause)
    error = None if cause is None else step_failure(call.key, cause)
    row = _end(begun, attempt.clock(), output, error, tries, _usage(call, scope))
    if error is not None and cause is not None and call.revives:
        row.error = write_failure(error, plain_attributes(cause))
    other = await journal.send_end(ref, row, started=True)
    if other is None:
        journal.note_usage(row)
    else:
        row = other
    if row.error is not None:
        raise call.failure(row) from cause
    return _outcome(row, call)


async def _execute_unkept(attempt: Performer, call: StepCall) -> Any:
    """The same without rows: results and failures are what they would be in a run that is kept."""
    scope = Scope(attempt, call.key, call.kind)
    task = attempt.step_began()
    try:
        result, cause, _ = await _try(attempt, call, scope, call.once)
    finally:
        attempt.step_ended(task)
    output, cause = _encoded_result(call, result, cause)
    usage = _usage(call, scope)
    if usage is not None:
        attempt.journal.count(usage)
    if cause is not None:
        if call.revives:
            raise cause
        raise step_failure(call.key, cause) from cause
    return _read(call, output or b"null")


def perform_at_once(attempt: Performer, call: StepCall, row: StepRow | None) -> Any:
    """The same for code that blocks the event loop and so cannot wait for its row: the result is given out at once, as
    a value is. One try, no limit of time."""
    if row is not None:
        return _outcome(row, call)
    scope, began_at = Scope(attempt, call.key, call.kind), attempt.clock()
    token = step_here.set(scope)
    result: Any = None
    cause: BaseException | None = None
    try:
        result = call.function(*call.args, **call.kwargs)
    except call.passing:
        raise
    except Exception as raised:
        cause = raised
    finally:
        step_here.reset(token)
    output, cause = _encoded_result(call, result, cause)
    usage = _usage(call, scope)
    if not attempt.kept:
        if usage is not None:
            attempt.journal.count(usage)
        if cause is not None:
            raise cause
        return _read(call, output or b"null")
    begun = StepRow(call.key, call.kind, call.name, BEGUN, "started", input=call.input, started_at=began_at)
    error = None if cause is None else step_failure(call.key, cause)
    end = _end(begun, attempt.clock(), output, error, usage=usage)
    if error is not None and cause is not None:
        end.error = write_failure(error, plain_attributes(cause))
    attempt.journal.give_out(end)
    attempt.journal.note_usage(end)
    if cause is not None:
        raise call.failure(end) from cause
    return _outcome(end, call)


def _usage(call: StepCall, scope: Scope) -> bytes | None:
    if call.kind == "tool":
        scope.usage.tool_calls += 1
    total = scope.total()
    return None if total is None else total.encoded()


def _end(
    begun: StepRow,
    at: int,
    output: bytes | None = None,
    error: PilothouseError | None = None,
    tries: int = 1,
    usage: bytes | None = None,
) -> StepRow:
    return StepRow(
        begun.key,
        begun.kind,
        begun.name,
        ENDED,
        "succeeded" if error is None else "failed",
        tries,
        begun.once,
        begun.input,
        output,
        None if error is None else write_failure(error),
        usage,
        started_at=begun.started_at,
        finished_at=at,
    )


async def _try(attempt: Performer, call: StepCall, scope: Scope, once: bool) -> tuple[Any, BaseException | None, int]:
    """(result, what was raised, tries). Raises only when the attempt or the step's own task is cancelled."""
    tries = 0
    while True:
        tries += 1
        token = step_here.set(scope)
        try:
            if call.timeout is None and call.facts.is_async and call.place is None:
                return await call.function(*call.args, **call.kwargs), None, tries
            return await _call(attempt, call), None, tries
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if attempt.is_ending or (task is not None and task.cancelling()):
                raise
            return None, error, tries
        except GeneratorExit:
            raise
        except call.passing:
            raise
        except Exception as error:
            delay = None if call.retry is None else _delay(call.retry, error, tries, once)
            if delay is None:
                return None, error, tries
        except BaseException as error:  # SystemExit, KeyboardInterrupt: the function's failure, not the host's
            return None, error, tries
        finally:
            step_here.reset(token)
        await attempt.pause(delay)


def _delay(retry: Retry, error: Exception, tries: int, once: bool) -> float | None:
    """Seconds until the next try. A `once` step that ran out of time may have happened: only who names the timeout
    among the errors to retry wants it repeated."""
    kinds = tuple(kinds_of(error))
    if not retry.covers(kinds) or (once and isinstance(error, StepTimeout) and not retry.on):
        return None
    return retry.delay_before(tries, DRAW.random())


async def _call(attempt: Performer, call: StepCall) -> Any:
    if call.timeout is None:
        return await _run_function(attempt, call)
    limit = asyncio.timeout(call.timeout)
    try:
        async with limit:
            return await _run_function(attempt, call)
    except TimeoutError:
        if not limit.expired():
            raise
        seconds = f"{call.timeout:g}"
        raise StepTimeout(step=call.key, seconds=seconds, kind="StepTimeout", text=f"over {seconds} s") from None


async def _run_function(attempt: Performer, call: StepCall) -> Any:
    if call.place is not None:
        return await call.place(call.function, call.args, call.kwargs)
    if call.facts.is_async:
        return await call.function(*call.args, **call.kwargs)
    result = await attempt.in_step_thread(call.function, call.args, call.kwargs)
    return await result if isawaitable(result) else result


def _encoded_result(
    call: StepCall, result: Any, cause: BaseException | None
) -> tuple[bytes | None, BaseException | None]:
    """(the result as JSON, what went wrong): one of them."""
    if cause is not None:
        return None, cause
    try:
        encoded = write_json(result if call.dump is None else call.dump(result))
    except NotJson as error:
        text = f"the step {call.name!r} returned {error}; return what JSON can hold, or a part of it"
        return None, NotJson(text)
    except Exception as error:  # a framework's own `dump`
        return None, error
    if len(encoded) > RESULT_LIMIT:
        return None, TooLarge(what=f"The result of the step {call.name!r}", limit=RESULT_LIMIT)
    return encoded, None


def _outcome(row: StepRow, call: StepCall) -> Any:
    """What a recorded end gives to the agent."""
    if row.status == "failed":
        raise call.failure(row)
    return _read(call, row.output or b"null")


def _read(call: StepCall, output: bytes) -> Any:
    """A result that is not what the function's annotation says stays in the journal, and is an error each time it is
    read."""
    try:
        return call.facts.codec(call.function).read(output)
    except InvalidInput as error:
        faults = "; ".join(f"{fault['message']} at {fault['path']}" for fault in error.faults)
        text = f"its result does not fit the annotation of the function: {faults}"
        raise StepFailed(step=call.key, kind="InvalidResult", text=text) from None
