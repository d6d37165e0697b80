"""Ending an await early: because it takes too long, or because the node shuts down.

`asyncio.timeout` costs 7.8 us each time and is hardly ever needed: nearly every body is there when it is asked for,
nearly every chunk goes out at once. So a call only writes down until when it may wait, and a sweep once a second ends
those that are overdue. A limit is kept to within that second, never early. A call waits for one thing at a time, so
what it waits for is a few fields of its `Patience`, written by the blocks below.
"""

import asyncio
from collections.abc import Callable
from math import inf
from types import TracebackType

SWEEP_EVERY = 1.0

# Why a call waits, and so when it may be ended: only by its time, by a drain, or at the end of the grace of a drain.
TIMED, POLL, RUN = 0, 1, 2


class Patience:
    """How long one call goes on waiting for what it awaits now."""

    __slots__ = ("on_told", "reason", "task", "until", "was_told")

    def __init__(self, task: "asyncio.Task[None] | None" = None) -> None:
        self.task = task
        self.on_told: Callable[[], None] | None = None
        """Of a call that waits without a task: told instead."""
        self.until = inf
        self.reason = TIMED
        self.was_told = False

    def tell(self) -> None:
        """Cancels what is awaited."""
        if self.was_told:
            return
        self.was_told = True
        if self.task is not None:
            self.task.cancel()
        elif self.on_told is not None:
            asyncio.get_running_loop().call_soon(self.on_told)  # as late as a task would hear of it

    def end(self, kind: type[BaseException] | None) -> bool:
        """What was awaited is over. Whether that is because of `tell`, and for nobody else's cancellation."""
        self.until = inf
        self.reason = TIMED
        if not self.was_told:
            return False
        self.was_told = False
        assert self.task is not None
        return self.task.uncancel() == 0 and kind is asyncio.CancelledError


class Within:
    """`with Within(patience, until): await one_thing()` raises TimeoutError when that is not over by then."""

    __slots__ = ("_patience",)

    def __init__(self, patience: Patience, until: float) -> None:
        self._patience = patience
        patience.until = until

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._patience.end(kind):
            raise TimeoutError from error


class EarlyEnd:
    """`with EarlyEnd(patience, POLL or RUN, until) as end: await one_thing()` goes on after the block when the time is
    over or the node shuts down; `end.was_told` says that it was so."""

    __slots__ = ("_patience", "was_told")

    def __init__(self, patience: Patience, reason: int, until: float = inf) -> None:
        self._patience = patience
        patience.until = until
        patience.reason = reason
        self.was_told = False

    def __enter__(self) -> "EarlyEnd":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self.was_told = self._patience.end(kind)
        return self.was_told


class Patiences:
    """Those of all calls that are being answered. The sweep runs only while there are any."""

    def __init__(self) -> None:
        self.all: set[Patience] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, one: Patience, loop: asyncio.AbstractEventLoop) -> None:
        self.all.add(one)
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_EVERY, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for one in list(self.all):
            if one.until <= now:
                one.tell()
        self._timer = loop.call_later(SWEEP_EVERY, self._sweep, loop) if self.all else None

    def end_early(self, *, polls_only: bool) -> None:
        """The node shuts down: `polls_only` leaves those in peace who wait for the end of a run."""
        for one in list(self.all):
            if one.reason == POLL or (one.reason == RUN and not polls_only):
                one.tell()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
