"""The context: what an agent may ask of its run. Names are fixed by the contract.

It holds nothing but the attempt behind it, which does the work; so that importing it is cheap (no event loop), and the
blocking twin for sync agents is the same verbs, carried over to the loop. Every verb that has an effect reserves its
step key in the call itself, before anything is awaited: tasks that run side by side replay by the order in which they
asked, not in which they ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, overload
from uuid import UUID

from pilothouse.sdk.saga import BlockingSaga, Saga, Undoing

if TYPE_CHECKING:
    from pilothouse.domain.retry import Retry
    from pilothouse.domain.review import Answer
    from pilothouse.sdk.run import RunFacts
    from pilothouse.sdk.scratch import BlockingScratch, Scratch
    from pilothouse.sdk.session import SessionMemory

T = TypeVar("T")


class PoolWish(NamedTuple):
    """Where a heavy step is to run, and what it takes of that."""

    name: str
    cpus: float
    gpus: float


class Behind(Undoing, Protocol):
    """What the context needs of the attempt behind it."""

    @property
    def run(self) -> RunFacts: ...

    @property
    def session(self) -> SessionMemory: ...

    @property
    def is_cancelled(self) -> bool: ...

    @property
    def idempotency_key(self) -> str: ...

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
    ) -> Coroutine[Any, Any, Any]: ...

    def call_tool(self, tool: Callable[..., Any], args: dict[str, Any]) -> Coroutine[Any, Any, Any]: ...

    def call(self, agent: Any, input: Any) -> Coroutine[Any, Any, Any]: ...

    def call_all(
        self, agent: Any, inputs: Iterable[Any], at_once: int, return_exceptions: bool
    ) -> Coroutine[Any, Any, list[Any]]: ...

    def publish(self, topic: str, event: Any) -> Coroutine[Any, Any, str]: ...

    def sleep(self, span: timedelta | float) -> Coroutine[Any, Any, None]: ...

    def signal(self, name: str, timeout: timedelta | float | None) -> Coroutine[Any, Any, Any]: ...

    def review(
        self, question: str, details: dict[str, Any] | None, within: timedelta | float | None
    ) -> Coroutine[Any, Any, Answer]: ...

    def emit(self, delta: Any) -> Awaitable[None]: ...

    def now(self) -> datetime: ...

    def random(self) -> float: ...

    def uuid(self) -> UUID: ...

    @property
    def scratch(self) -> Scratch: ...

    def record_usage(self, **amounts: Any) -> None: ...

    def from_thread(self, begin: Callable[[], Any]) -> Any:
        """Runs `begin` on the loop, waits for what it returns, and gives that to the calling thread."""
        ...


class _Verbs:
    """What the context and its blocking twin have in common: what can be told without waiting."""

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Behind) -> None:
        self._attempt = attempt

    @property
    def run(self) -> RunFacts:
        """id, attempt, agent, release, mode, tenant, subject, retry_of, metadata."""
        return self._attempt.run

    @property
    def session(self) -> SessionMemory:
        """`history`, `state` and `key`; empty for a run without a session."""
        return self._attempt.session

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants this run to end."""
        return self._attempt.is_cancelled

    @property
    def idempotency_key(self) -> str:
        """Inside a step: the key of that step, the same on every try and every attempt. Outside: the run's."""
        return self._attempt.idempotency_key

    def record_usage(
        self,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        model_calls: int = 1,
        tool_calls: int = 0,
        cost_usd: float = 0.0,
    ) -> None:
        """Adds to the usage of the run. Inside a step it belongs to the step, and counts once."""
        self._attempt.record_usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            model_calls=model_calls,
            tool_calls=tool_calls,
            cost_usd=cost_usd,
        )


class Context(_Verbs):
    """What an agent may ask of its run."""

    __slots__ = ()

    @property
    def scratch(self) -> Scratch:
        """Short-term state of the session (or of the agent: `scratch.agent`) that may be lost at any moment: `get`,
        `put`, `delete`, `incr`. Not part of the journal."""
        return self._attempt.scratch

    @overload
    def step(
        self,
        fn: Callable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        name: str | None = ...,
        retry: Retry | None = ...,
        timeout: float | None = ...,
        once: bool | None = ...,
        pool: str | None = ...,
        cpus: float = ...,
        gpus: float = ...,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        name: str | None = ...,
        retry: Retry | None = ...,
        timeout: float | None = ...,
        once: bool | None = ...,
        pool: str | None = ...,
        cpus: float = ...,
        gpus: float = ...,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, T]: ...
    def step(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        name: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        once: bool | None = None,
        pool: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, Any]:
        """Calls `fn` and keeps what it returns: it never runs again once it ended, in this attempt or a later one.

        Raises `StepFailed` with what the function raised (`StepTimeout` past `timeout`), also on every replay. With
        `once`, a step whose end nobody saw is not repeated but asked about, and may raise `UnknownOutcome`.

        With `pool`, the function runs in a process of that pool with so many `cpus` and `gpus`: it must be one of a
        module, and begins again when its process dies.
        """
        wish = None if pool is None else PoolWish(pool, float(cpus), float(gpus))
        return self._attempt.step(fn, args, kwargs, name, retry, timeout, once, wish)

    @overload
    def call_tool(self, tool: Callable[..., Coroutine[Any, Any, T]], /, **args: Any) -> Coroutine[Any, Any, T]: ...
    @overload
    def call_tool(self, tool: Callable[..., T], /, **args: Any) -> Coroutine[Any, Any, T]: ...
    def call_tool(self, tool: Callable[..., Any], /, **args: Any) -> Coroutine[Any, Any, Any]:
        """Calls a tool as a step, with the retry, timeout and `once` that the tool declares."""
        return self._attempt.call_tool(tool, args)

    def call(self, agent: Any, input: Any = None) -> Coroutine[Any, Any, Any]:
        """Runs another agent, by name or definition, and gives its output. Raises `CallFailed`."""
        return self._attempt.call(agent, input)

    def call_all(
        self, agent: Any, inputs: Iterable[Any], *, at_once: int = 16, return_exceptions: bool = False
    ) -> Coroutine[Any, Any, list[Any]]:
        """Runs another agent on each input, `at_once` of them at a time, and gives the outputs in that order. Once all
        have ended it raises the first `CallFailed`, or gives it in place of its output."""
        return self._attempt.call_all(agent, inputs, at_once, return_exceptions)

    def publish(self, topic: str, event: Any = None) -> Coroutine[Any, Any, str]:
        """Publishes an event once, whatever happens to this run: agents and receivers that listen to the topic get it.
        Returns its id when it is durable. Raises `ValueError` for what is no topic, `TooLarge`, `NotKept`."""
        return self._attempt.publish(topic, event)

    def saga(self) -> Saga:
        """`async with ctx.saga() as saga:` takes back what was told to `saga.undo(...)` if the block fails."""
        return Saga(self._attempt)

    def sleep(self, span: timedelta | float) -> Coroutine[Any, Any, None]:
        """Waits, a second or a month; a long sleep holds no worker."""
        return self._attempt.sleep(span)

    def signal(self, name: str, timeout: timedelta | float | None = None) -> Coroutine[Any, Any, Any]:
        """The payload of the next signal of this name. Raises `SignalTimeout`."""
        return self._attempt.signal(name, timeout)

    def review(
        self, question: str, details: dict[str, Any] | None = None, within: timedelta | float | None = None
    ) -> Coroutine[Any, Any, Answer]:
        """Asks a person; the answer has `verdict`, `edited`, `response`, `reason` and `by`. Past `within` the verdict
        is `expired`."""
        return self._attempt.review(question, details, within)

    def emit(self, delta: Any) -> Awaitable[None]:
        """Sends an `output.delta` to whoever watches. It is on its way when the call returns; awaiting it lets a fast
        agent wait for a slow link."""
        return self._attempt.emit(delta)

    def now(self) -> datetime:
        """The time in UTC, the same on every replay."""
        return self._attempt.now()

    def random(self) -> float:
        """A number in [0, 1), the same on every replay."""
        return self._attempt.random()

    def uuid(self) -> UUID:
        """A random UUID, the same on every replay."""
        return self._attempt.uuid()


class BlockingContext(_Verbs):
    """The context of a sync agent: the same verbs, and each returns when it is done."""

    __slots__ = ()

    @property
    def scratch(self) -> BlockingScratch:
        """As `Context.scratch`."""
        from pilothouse.sdk.scratch import BlockingScratch

        return BlockingScratch(self._attempt.from_thread, self._attempt.scratch)

    @overload
    def step(self, fn: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **options: Any) -> T: ...
    @overload
    def step(self, fn: Callable[..., T], /, *args: Any, **options: Any) -> T: ...
    def step(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        name: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        once: bool | None = None,
        pool: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        **kwargs: Any,
    ) -> Any:
        """As `Context.step`."""
        behind = self._attempt
        wish = None if pool is None else PoolWish(pool, float(cpus), float(gpus))
        return behind.from_thread(lambda: behind.step(fn, args, kwargs, name, retry, timeout, once, wish))

    def call_tool(self, tool: Callable[..., Any], /, **args: Any) -> Any:
        """As `Context.call_tool`."""
        return self._attempt.from_thread(lambda: self._attempt.call_tool(tool, args))

    def call(self, agent: Any, input: Any = None) -> Any:
        """As `Context.call`."""
        return self._attempt.from_thread(lambda: self._attempt.call(agent, input))

    def call_all(
        self, agent: Any, inputs: Iterable[Any], *, at_once: int = 16, return_exceptions: bool = False
    ) -> list[Any]:
        """As `Context.call_all`."""
        begin = partial(self._attempt.call_all, agent, inputs, at_once, return_exceptions)
        outputs: list[Any] = self._attempt.from_thread(begin)
        return outputs

    def publish(self, topic: str, event: Any = None) -> str:
        """As `Context.publish`."""
        id: str = self._attempt.from_thread(lambda: self._attempt.publish(topic, event))
        return id

    def saga(self) -> BlockingSaga:
        """As `Context.saga`, for `with`."""
        return BlockingSaga(self._attempt)

    def sleep(self, span: timedelta | float) -> None:
        """As `Context.sleep`."""
        self._attempt.from_thread(lambda: self._attempt.sleep(span))

    def signal(self, name: str, timeout: timedelta | float | None = None) -> Any:
        """As `Context.signal`."""
        return self._attempt.from_thread(lambda: self._attempt.signal(name, timeout))

    def review(
        self, question: str, details: dict[str, Any] | None = None, within: timedelta | float | None = None
    ) -> Answer:
        """As `Context.review`."""
        answer: Answer = self._attempt.from_thread(lambda: self._attempt.review(question, details, within))
        return answer

    def emit(self, delta: Any) -> None:
        """As `Context.emit`; waits while the link is slow."""
        self._attempt.from_thread(lambda: self._attempt.emit(delta))

    def now(self) -> datetime:
        """As `Context.now`."""
        at: datetime = self._attempt.from_thread(self._attempt.now)
        return at

    def random(self) -> float:
        """As `Context.random`."""
        drawn: float = self._attempt.from_thread(self._attempt.random)
        return drawn

    def uuid(self) -> UUID:
        """As `Context.uuid`."""
        made: UUID = self._attempt.from_thread(self._attempt.uuid)
        return made
