"""The saga: what a run did and would take back if the rest of it fails.

Each thing to be undone is told as soon as it is done. When the block is left by an error, these are undone in reverse
order, each as a step, so a run that is killed in the middle goes on with the next one and repeats none that ended. What
cannot be undone is a question to a person, who tries it again, has done it by hand, or leaves it; the run ends with the
error that began it all, or, when something was left, with one that says so.

A cancel undoes nothing: from then on the only end of a run is `cancelled`, and at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from pilothouse.domain.retry import Retry
from pilothouse.errors import LimitReached, NotUndone, PilothouseError

if TYPE_CHECKING:
    from pilothouse.domain.review import Answer

UNDO_RETRY = Retry(attempts=5, delay=0.5, max_delay=30.0)
UNDO_LIMIT = 1000
QUESTION = (
    "This run failed ({error}) and takes back what it did, but {name!r} failed too: {fault} "
    "approve: try it again. edit or respond: it was taken back by hand. reject: leave it as it is."
)


class Undoing(Protocol):
    """The attempt, as a saga sees it."""

    kept: bool

    def name_of_undo(self, fn: Callable[..., Any], name: str | None) -> str: ...

    def step(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None,
        retry: Retry | None,
        timeout: float | None,
        once: bool | None,
    ) -> Coroutine[Any, Any, Any]: ...

    def review(self, question: str, details: dict[str, Any] | None, within: Any) -> Coroutine[Any, Any, Answer]: ...

    def from_thread(self, begin: Callable[[], Any]) -> Any: ...


class _Undo:
    __slots__ = ("args", "function", "kwargs", "name", "retry", "timeout")

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str,
        retry: Retry | None, timeout: float | None,
    ) -> None:  # fmt: skip
        self.function, self.args, self.kwargs = function, args, kwargs
        self.name, self.retry, self.timeout = name, retry, timeout


class _Undos:
    """What both forms have in common."""

    def __init__(self, attempt: Undoing) -> None:
        self._attempt = attempt
        self._undos: list[_Undo] = []

    def undo(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        name: str | None = None,
        retry: Retry | None = UNDO_RETRY,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Calls `fn` with these arguments, as a step, if the block fails. Told before what it undoes, it also undoes
        what may or may not have happened, and must then bear that nothing did."""
        if len(self._undos) >= UNDO_LIMIT:
            raise LimitReached(what="What one saga would undo", limit=UNDO_LIMIT)
        self._undos.append(_Undo(fn, args, kwargs, self._attempt.name_of_undo(fn, name), retry, timeout))

    async def _unwind(self, error: Exception) -> None:
        """Raises `NotUndone` when a person has left something as it is."""
        left = []
        while self._undos:
            one = self._undos.pop()
            if not await self._undone(one, error):
                left.append(one.name)
        if left:
            raise NotUndone(names=", ".join(left), text=str(error)) from error

    async def _undone(self, one: _Undo, error: Exception) -> bool:
        while True:
            try:
                await self._attempt.step(one.function, one.args, one.kwargs, one.name, one.retry, one.timeout, None)
                return True
            except PilothouseError as fault:
                if not self._attempt.kept:  # nobody can be asked by a run that is gone when this process is
                    return False
                question = QUESTION.format(error=type(error).__name__, name=one.name, fault=fault.message)
                details = {"undo": one.name, "fault": fault.message, "after": str(error)}
            answer = await self._attempt.review(question[:QUESTION_SHOWN], details, None)
            if answer.verdict in ("edit", "respond"):
                return True
            if answer.verdict != "approve":
                return False


QUESTION_SHOWN = 4000


class Saga(_Undos):
    """`async with ctx.saga() as saga:`"""

    async def __aenter__(self) -> Saga:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            await self._unwind(error)


class BlockingSaga(_Undos):
    """`with ctx.saga() as saga:`, for sync agents."""

    def __enter__(self) -> BlockingSaga:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self._attempt.from_thread(lambda: self._unwind(error))
