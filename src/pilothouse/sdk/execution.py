"""What the context asks for, done: each verb checks that the attempt lives, reserves its key, and hands over.

`Context` and `BlockingContext` are faces of this; the attempt's life is not its business.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import CancelledError as ThreadCancelled
from concurrent.futures import Future
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from inspect import isawaitable
from math import isfinite
from typing import Any, Literal
from uuid import UUID, uuid4

from pilothouse.domain.event import FRAMEWORK_EVENT
from pilothouse.domain.journal import StepRow
from pilothouse.domain.retry import Retry
from pilothouse.domain.review import Answer
from pilothouse.errors import LimitReached, TooLarge
from pilothouse.sdk.agent import ToolDefinition, checked_retry, checked_timeout
from pilothouse.sdk.attempt import Attempt
from pilothouse.sdk.context import BlockingContext, Context, PoolWish
from pilothouse.sdk.function import facts_of, step_name, takes_context
from pilothouse.sdk.gate import risk_of
from pilothouse.sdk.publication import publish
from pilothouse.sdk.schema import read_json, shown_as_json, write_json
from pilothouse.sdk.scope import step_here
from pilothouse.sdk.scratch import Scratch
from pilothouse.sdk.step import DRAW, EffectShape, StepCall, encode_arguments, perform, perform_at_once, shown
from pilothouse.sdk.surroundings import Pace
from pilothouse.sdk.usage import Usage
from pilothouse.wire.frames import Emit

DELTA_LIMIT = 4 * 1024 * 1024
EVENT_LIMIT = 256 * 1024
"""Bytes of one event of a framework; a larger one is left out, since none is part of the output."""

TICK_EVERY = 16
"""Awaited deltas of one attempt for each turn of the loop: a fast generator must not keep the others waiting."""

THREAD_ENDS_WITHIN = 2.0
"""Seconds that the end of an attempt waits for a thread that runs a sync agent."""

EffectKind = Literal["model", "tool", "step"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNKNOWN_OUTCOME = (
    "The step {name!r} was started once, and its end was not seen. Did it happen? "
    "approve: it did not happen, run it. edit or respond: it happened, and this is its result. reject: give it up."
)


class Execution(Attempt):
    """An attempt with the verbs of its context."""

    _emitted = 0

    # --- steps ---

    def step(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None,
        retry: Retry | None,
        timeout: float | None,
        once: bool | None,
        pool: PoolWish | None = None,
    ) -> Coroutine[Any, Any, Any]:
        self.check_alive()
        facts = facts_of(fn)
        if isinstance(fn, ToolDefinition):
            retry = fn.retry if retry is None else retry
            timeout = fn.timeout if timeout is None else timeout
            once = fn.once if once is None else once
        place = None if pool is None else self._place(fn, pool, once)
        label = facts.name if name is None else step_name(name)
        encoded = encode_arguments(facts.named(args, kwargs))
        key = self.journal.reserve("step", label, encoded)
        if retry is not None or timeout is not None:
            retry, timeout = checked_retry(retry), checked_timeout(timeout)
        call = StepCall("step", label, key, fn, facts, args, kwargs, shown(encoded), retry, timeout, bool(once))
        call.place = place
        if isinstance(fn, ToolDefinition):
            return self._perform_tool(call, facts.named(args, kwargs))
        return self._perform(call)

    def _place(self, fn: Callable[..., Any], wish: PoolWish, once: bool | None) -> Callable[..., Any]:
        """Runs the function in a pool. Raises `ValueError` for what no pool can do, before anything is written."""
        if once:
            raise ValueError("a step of a pool cannot be `once`: it begins again when its process dies")
        found = self.surroundings.pool(wish.name, wish.cpus, wish.gpus)
        found.check_function(fn)
        return partial(found.run, cpus=wish.cpus, gpus=wish.gpus)

    def call_tool(self, tool: Callable[..., Any], args: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        self.check_alive()
        facts = facts_of(tool)
        first: tuple[Any, ...] = ()
        if takes_context(tool):
            first = (Context(self) if facts.is_async else BlockingContext(self),)
        encoded = encode_arguments(args)
        if isinstance(tool, ToolDefinition):
            label, retry, timeout, once = step_name(tool.name), tool.retry, tool.timeout, tool.once
        else:
            label, retry, timeout, once = facts.name, None, None, False
        key = self.journal.reserve("tool", label, encoded)
        call = StepCall("tool", label, key, tool, facts, first, args, shown(encoded), retry, timeout, once)
        return self._perform_tool(call, args)

    def effect(
        self,
        kind: EffectKind,
        name: str,
        arguments: dict[str, Any],
        body: Callable[[dict[str, Any]], Coroutine[Any, Any, Any]],
        *,
        dump: Callable[[Any], Any] | None = None,
        load: Callable[[Any], Any] | None = None,
        call_id: str = "",
        scope: str = "",
        once: bool = False,
        retry: Retry | None = None,
        timeout: float | None = None,
        passing: tuple[type[BaseException], ...] = (),
    ) -> Coroutine[Any, Any, Any]:
        """A model call or a tool call that a bridge makes for its framework, as a step: run once, kept as `dump` makes
        it JSON, given back as `load` reads it. `body` gets the arguments, which a policy may have edited.

        The key is reserved in this call: of `name`, of `call_id` (the framework's own name of the call, the same in
        every attempt) or else the arguments, of `scope` (where in the framework it happens, when calls there are
        counted by themselves), and of the occurrence.
        A failure is raised as the exception that it was, now and on every replay. What is of a `passing` type (how a
        framework interrupts itself) goes through, and the step has no end. Raises `CancelledError` as every verb does.
        """
        call = self._effect_call(kind, name, arguments, body, call_id, scope, dump, load, passing)
        call.once, call.retry, call.timeout = once, checked_retry(retry), checked_timeout(timeout)
        return self._perform_tool(call, arguments) if kind == "tool" else self._perform(call)

    def effect_at_once(
        self,
        kind: EffectKind,
        name: str,
        arguments: dict[str, Any],
        function: Callable[[], Any],
        *,
        dump: Callable[[Any], Any] | None = None,
        load: Callable[[Any], Any] | None = None,
        call_id: str = "",
        scope: str = "",
        passing: tuple[type[BaseException], ...] = (),
    ) -> Any:
        """An effect of code that blocks the event loop: its result is given out before it is durable, as values are.
        Raises `RuntimeError` for a tool, about which nobody could be asked here."""
        if kind == "tool":
            raise RuntimeError(f"the tool {name!r} was called on the event loop without await; call it with await")
        call = self._effect_call(kind, name, arguments, function, call_id, scope, dump, load, passing)
        call.args = ()
        return perform_at_once(self, call, self.journal.recorded(call.key, kind) if self.kept else None)

    def _effect_call(
        self,
        kind: EffectKind,
        name: str,
        arguments: dict[str, Any],
        function: Callable[..., Any],
        call_id: str,
        scope: str,
        dump: Callable[[Any], Any] | None,
        load: Callable[[Any], Any] | None,
        passing: tuple[type[BaseException], ...],
    ) -> StepCall:
        self.check_alive()
        label = step_name(name)
        encoded = encode_arguments(arguments)
        mark = b"id\n%b" % call_id.encode() if call_id else encoded
        key = self.journal.reserve(kind, label, b"%b\n%b" % (mark, scope.encode()) if scope else mark)
        made = StepCall(kind, label, key, function, EffectShape(load), (arguments,), {}, shown(encoded))
        made.dump, made.passing, made.revives = dump, passing, True
        return made

    def _perform_tool(self, call: StepCall, arguments: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """The one door of tool steps, those of `ctx.call_tool` and those of every bridge: what is to be decided before
        a tool runs is decided here. Other arguments are given to it with `call.use`."""
        known = self._callee.tools.get(call.name)
        if known is not None and known.once:
            call.once = True
        if self.surroundings.is_gated:
            risk = risk_of(call.name, call.function) if known is None else known.risk
            if risk != "read":
                call.risk, call.proposed = risk, encode_arguments(arguments)
        return self._perform(call)

    def name_of_undo(self, fn: Callable[..., Any], name: str | None) -> str:
        return step_name(f"undo.{name or facts_of(fn).name}")

    def _perform(self, call: StepCall) -> Coroutine[Any, Any, Any]:
        """Looks into the journal in the call itself, before anything is awaited."""
        return perform(self, call, self.journal.recorded(call.key, call.kind) if self.kept else None)

    def ask_outcome(self, call: StepCall, intent: StepRow) -> Coroutine[Any, Any, Answer]:
        """Asks a person what became of a step that began."""
        self.check_alive()
        details = {
            "step": intent.key,
            "name": call.name,
            "arguments": None if intent.input is None else read_json(intent.input),
            "idempotency_key": self.idempotency_key_of(call.key),
            "started_at": EPOCH + timedelta(microseconds=intent.started_at),
        }
        return self.waits.ask(UNKNOWN_OUTCOME.format(name=call.name), details, "unknown_outcome", None)

    # --- waits ---

    def call(self, agent: Any, input: Any) -> Coroutine[Any, Any, Any]:
        self.check_alive()
        return self.waits.call(agent, input)

    def call_all(
        self, agent: Any, inputs: Iterable[Any], at_once: int, return_exceptions: bool
    ) -> Coroutine[Any, Any, list[Any]]:
        self.check_alive()
        return self.waits.call_all(agent, inputs, at_once, return_exceptions)

    def publish(self, topic: str, event: Any) -> Coroutine[Any, Any, str]:
        self.check_alive()
        return publish(self, topic, event)

    def sleep(self, span: timedelta | float) -> Coroutine[Any, Any, None]:
        self.check_alive()
        return self.waits.sleep(span)

    def signal(self, name: str, timeout: timedelta | float | None) -> Coroutine[Any, Any, Any]:
        self.check_alive()
        return self.waits.signal(name, timeout)

    def review(
        self, question: str, details: dict[str, Any] | None, within: timedelta | float | None
    ) -> Coroutine[Any, Any, Answer]:
        self.check_alive()
        return self.waits.review(question, details, within)

    # --- values ---

    def now(self) -> datetime:
        self.check_alive()
        return self.journal.value("now", self._read_clock, datetime.fromisoformat)

    def _read_clock(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.clock())

    def random(self) -> float:
        self.check_alive()
        return self.journal.value("random", DRAW.random, float)

    def uuid(self) -> UUID:
        self.check_alive()
        return self.journal.value("uuid", uuid4, UUID)

    # --- what needs no step ---

    def emit(self, delta: Any) -> Pace:
        """Also from the thread of a sync step. While recorded steps are still to be asked for, what is emitted has been
        emitted by the attempt that recorded them, and is not sent again."""
        if threading.get_ident() != self.surroundings.thread and not self.is_ending:
            raw = self._encoded_delta(delta)
            if not self.surroundings.is_writable:
                self.from_thread(self.surroundings.wait_writable)
            self.loop.call_soon_threadsafe(self._send_delta_of_thread, raw)
            return self.surroundings.pace
        self.check_alive()
        raw = write_json(delta)
        if len(raw) > DELTA_LIMIT:
            raise TooLarge(what="One delta", limit=DELTA_LIMIT)
        start = self.start
        if start.stream and not (start.journal and self.journal.is_repeating):
            self._quiet_at = self.loop.time()
            self.surroundings.send_delta(Emit(self.slot, raw), len(raw))
        self._emitted += 1
        return self.surroundings.pace if self._emitted % TICK_EVERY else self.surroundings.turn

    def emit_event(self, framework: str, name: str, body: Any) -> Pace:
        """Tells what a framework tells beside its output, as a `framework.event`. What JSON cannot hold is shown as
        text. Not repeated, as deltas are not."""
        self.check_alive()
        if self._is_heard():
            raw = write_json({"framework": framework, "name": name, "body": shown_as_json(body)})
            if len(raw) <= EVENT_LIMIT:
                self.touch()
                self.surroundings.send_delta(Emit(self.slot, raw, FRAMEWORK_EVENT), len(raw))
        self._emitted += 1
        return self.surroundings.pace if self._emitted % TICK_EVERY else self.surroundings.turn

    def tell_call(self, event: str, body: dict[str, Any]) -> None:
        """An event about a call that came to nothing, or took two. Not repeated: what is replayed was not called."""
        if self._is_heard():
            raw = write_json(body)
            self.surroundings.send_delta(Emit(self.slot, raw, event), len(raw))

    def _is_heard(self) -> bool:
        return not self.is_ending and self.start.stream and not (self.start.journal and self.journal.is_repeating)

    def _encoded_delta(self, delta: Any) -> bytes:
        raw = write_json(delta)
        if len(raw) > DELTA_LIMIT:
            raise TooLarge(what="One delta", limit=DELTA_LIMIT)
        return raw

    def _send_delta(self, raw: bytes) -> None:
        if not self._is_heard():
            return
        self.touch()
        self.surroundings.send_delta(Emit(self.slot, raw), len(raw))

    def _send_delta_of_thread(self, raw: bytes) -> None:
        try:
            self._send_delta(raw)
        except LimitReached as error:  # the thread that emitted is elsewhere by now
            self.fail(error)

    @property
    def scratch(self) -> Scratch:
        return Scratch(self.scratch_desk)

    def record_usage(self, **amounts: Any) -> None:
        for name, amount in amounts.items():
            if not isfinite(amount) or amount < 0:
                raise ValueError(f"{name} is {amount!r}; usage is a number from 0")
            amounts[name] = float(amount) if name == "cost_usd" else int(amount)
        scope = step_here.get()
        if scope is not None:
            scope.usage.add(Usage(**amounts))
            return
        if self.outside_usage is None:
            self.outside_usage = Usage()
        self.outside_usage.add(Usage(**amounts))

    @property
    def idempotency_key(self) -> str:
        scope = step_here.get()
        return self.start.retry_of or self.run_id if scope is None else scope.idempotency_key

    def idempotency_key_of(self, key: str) -> str:
        """A retry of a run repeats the same effects, so it shows the outside the keys of the run that it retries."""
        return f"{self.start.retry_of or self.run_id}:{key}"

    # --- threads ---

    def from_thread(self, begin: Callable[[], Any]) -> Any:
        if threading.get_ident() == self.surroundings.thread:
            raise RuntimeError("this context blocks: it is for sync agents, never on the event loop")
        job = asyncio.run_coroutine_threadsafe(_awaited(begin), self.loop)
        try:
            return job.result()
        except ThreadCancelled:
            raise asyncio.CancelledError from None

    async def in_step_thread(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs a sync step. A step that is cancelled or out of time leaves its thread to end by itself, unheard."""
        run = copy_context().run
        return await self.loop.run_in_executor(
            self.surroundings.step_threads, lambda: run(_called, function, args, kwargs)
        )

    async def in_agent_thread(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs a sync agent. At a cancel its next call of the context ends it; for a moment that is waited for."""
        job = self.surroundings.agent_threads.submit(copy_context().run, _called, function, args, kwargs)
        outcome = asyncio.wrap_future(job, loop=self.loop)
        outcome.add_done_callback(_retrieved)
        try:
            return await asyncio.shield(outcome)
        except asyncio.CancelledError:
            if not job.cancel():
                await asyncio.wait((outcome,), timeout=THREAD_ENDS_WITHIN)
            raise


def _retrieved(outcome: "asyncio.Future[Any] | Future[Any]") -> None:
    """Takes note of a failure that nobody may wait for any more."""
    if not outcome.cancelled():
        outcome.exception()


def _called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return function(*args, **kwargs)
    except StopIteration as error:  # a future cannot carry it: whoever waits would wait for ever
        raise RuntimeError("the function raised StopIteration") from error


async def _awaited(begin: Callable[[], Any]) -> Any:
    result = begin()
    return await result if isawaitable(result) else result
