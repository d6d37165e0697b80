"""The order in which a model call is made, for async clients, for sync clients in threads, and for those on the loop.

Each adapter of a client library says how bytes are sent and how a response of its own kind is made; what to do when is
here, once for `await` and once without. An answer that is not a stream is read whole before the client sees it, so that
one that is cut off or garbled can be asked for again. A stream passes as it comes and is never begun anew.

A call that is hedged has two requests under way: the first good answer is taken. The loser's task is cancelled; a
loser in a thread cannot be, so it is left there and closed as soon as its answer begins.
"""

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol

from msgspec import Struct

from pilothouse.sdk.egress.call import ModelCall
from pilothouse.sdk.egress.exchange import Answer, Headers, Outgoing, is_sound, is_streamed
from pilothouse.sdk.egress.flight import Flight, Landed
from pilothouse.sdk.egress.stream import StreamCopy

NOT_SOUND = ValueError("what came is no stream of this kind")


class Got(Struct):
    """The beginning of an answer. `response` is the client library's own."""

    status: int
    headers: Headers
    response: Any

    def is_stream(self, call: ModelCall) -> bool:
        """A page is none, whatever was asked for: it is read whole, and found to be no answer before the client sees
        it."""
        is_asked = call.facts.is_stream and "html" not in self.content_type
        return self.status < 400 and (is_asked or is_streamed(self.headers))

    @property
    def content_type(self) -> str:
        return next((value for name, value in self.headers if name.lower() == "content-type"), "")


class AsyncWire(Protocol):
    """`failures`: what the client raises when there is no answer."""

    failures: tuple[type[BaseException], ...]

    async def send(self, request: Outgoing) -> Got: ...

    async def read(self, got: Got) -> bytes: ...

    async def drop(self, got: Got) -> None:
        """Nobody reads this answer: its connection goes."""
        ...

    def pass_on(self, got: Got, call: ModelCall) -> Any:
        """A response whose body is an `AsyncPassing`."""
        ...

    def make(self, answer: Answer, got: Got | None) -> Any:
        """A response with this answer. `got`: what it was read from."""
        ...


class Wire(Protocol):
    failures: tuple[type[BaseException], ...]

    def send(self, request: Outgoing) -> Got: ...

    def read(self, got: Got) -> bytes: ...

    def drop(self, got: Got) -> None: ...

    def pass_on(self, got: Got, hand: "Hand") -> Any: ...

    def make(self, answer: Answer, got: Got | None) -> Any: ...


async def drive(call: ModelCall, wire: AsyncWire) -> Any:
    """The client library's response."""
    recorded = await call.begin()
    if recorded is not None:
        return wire.make(recorded, None)
    try:
        while True:
            after = call.hedge_after
            landed = await (_land(call, call.flight, wire) if after is None else _race(call, wire, after))
            again: Answer | bool
            if landed.is_good:
                if landed.answer is None:
                    return wire.pass_on(landed.got, call)
                await call.complete(landed.answer)
                again = False
            else:
                again = await call.failed(landed)
            if isinstance(again, Answer):
                return wire.make(again, None)
            if not again:
                return wire.make(_answer_of(landed), landed.got)
    except BaseException:
        call.close()
        raise


def _answer_of(landed: Landed) -> Answer:
    """Raises what the client raised when there was none."""
    if landed.error is not None:
        raise landed.error
    assert landed.answer is not None
    return landed.answer


async def _land(call: ModelCall, flight: Flight, wire: AsyncWire) -> Landed:
    got = None
    try:
        flight.send()
        got = await wire.send(flight.request)
        answer = None if got.is_stream(call) else Answer(got.status, got.headers, await wire.read(got))
    except wire.failures as error:
        return call.landed(Landed(flight, got, None, error))
    return call.landed(_judged(call, flight, got, answer))


def _judged(call: ModelCall, flight: Flight, got: Got, answer: Answer | None) -> Landed:
    is_good = answer is None or (got.status < 400 and is_sound(answer, call.seen.shape))
    return Landed(flight, got, answer, None, is_good)


async def _race(call: ModelCall, wire: AsyncWire, after: float) -> Landed:
    """The first good answer of two; when neither is, the last failure."""
    first = asyncio.create_task(_land(call, call.flight, wire))
    running = {first: call.flight}
    try:
        await asyncio.wait(running, timeout=after)
        spare = None if first.done() else await call.hedge()
        if spare is None:
            landed = await first
            running.clear()
            return landed
        running[asyncio.create_task(_land(call, spare, wire))] = spare
        while True:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            task = next((one for one in done if one.result().is_good), next(iter(done)))
            del running[task]
            landed = task.result()
            if landed.is_good:
                call.won(landed)
                return landed
            if not running:
                return landed
            call.failed_beside(landed)
    finally:
        await _end_losers(call, wire, running)


async def _end_losers(call: ModelCall, wire: AsyncWire, running: dict[asyncio.Task[Landed], Flight]) -> None:
    for task, flight in running.items():
        landed = task.result() if task.done() and not task.cancelled() and task.exception() is None else None
        task.cancel()
        call.lost(flight, landed)
    for found in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(found, Landed) and found.got is not None and found.error is None:
            await wire.drop(found.got)


class AsyncPassing:
    """The body of a streamed answer, as the client reads it."""

    def __init__(
        self, call: ModelCall, got: Got, source: AsyncIterator[bytes], close: Callable[[], Awaitable[None]]
    ) -> None:
        self._call, self._got, self._source, self._close = call, got, source, close
        self._copy = call.copy(got.content_type)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._source:
                if self._copy.feed(piece):
                    await self._complete()
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            if isinstance(error, Exception):
                self._call.broke_off(self._copy, error)
            else:
                self._call.let_go(self._copy)
            raise
        await self._complete()

    async def _complete(self) -> None:
        if not self._copy.is_sound:
            self._call.broke_off(self._copy, NOT_SOUND)
        elif self._copy.is_kept:
            await self._call.complete(Answer(self._got.status, self._got.headers, self._copy.body()))
        else:
            self._call.let_go()

    async def aclose(self) -> None:
        self._call.let_go(self._copy)
        await self._close()


class Hand:
    """The call, as a sync client moves it on: from a thread, where the loop does the work; or on the loop, where
    nothing can be waited for and so nothing is tried again."""

    def __init__(self, call: ModelCall, is_on_loop: bool) -> None:
        self.call = call
        self._is_on_loop = is_on_loop

    def begin(self) -> Answer | None:
        return self.call.begin_unheard() if self._is_on_loop else self._do(self.call.begin)

    @property
    def hedge_after(self) -> float | None:
        return None if self._is_on_loop else self.call.hedge_after

    def hedge(self) -> Flight | None:
        found: Flight | None = self._do(self.call.hedge)
        return found

    def failed(self, landed: Landed) -> Answer | bool:
        return self.call.give_up(landed) if self._is_on_loop else self._do(lambda: self.call.failed(landed))

    def complete(self, answer: Answer) -> None:
        if self._is_on_loop:
            self.call.complete_unheard(answer)
        else:
            self._do(lambda: self.call.complete(answer))

    def close(self) -> None:
        self.at_once(self.call.close)

    def let_go(self, copy: StreamCopy | None = None) -> None:
        self.at_once(lambda: self.call.let_go(copy))

    def broke_off(self, copy: StreamCopy, error: BaseException) -> None:
        self.at_once(lambda: self.call.broke_off(copy, error))

    def at_once(self, act: Callable[[], None]) -> None:
        if self._is_on_loop:
            act()
        else:
            self.call.caller.loop.call_soon_threadsafe(act)

    def _do(self, begin: Callable[[], Any]) -> Any:
        return self.call.caller.from_thread(begin)


def drive_blocking(hand: Hand, wire: Wire) -> Any:
    """As `drive`, for sync clients."""
    recorded = hand.begin()
    if recorded is not None:
        return wire.make(recorded, None)
    try:
        while True:
            after = hand.hedge_after
            landed = _land_blocking(hand, hand.call.flight, wire) if after is None else _Rivals(hand, wire).race(after)
            again: Answer | bool
            if landed.is_good:
                if landed.answer is None:
                    return wire.pass_on(landed.got, hand)
                hand.complete(landed.answer)
                again = False
            else:
                again = hand.failed(landed)
            if isinstance(again, Answer):
                return wire.make(again, None)
            if not again:
                return wire.make(_answer_of(landed), landed.got)
    except BaseException:
        hand.close()
        raise


def _land_blocking(hand: Hand, flight: Flight, wire: Wire) -> Landed:
    got = None
    try:
        flight.send()
        got = wire.send(flight.request)
        answer = None if got.is_stream(hand.call) else Answer(got.status, got.headers, wire.read(got))
    except wire.failures as error:
        return hand.call.landed(Landed(flight, got, None, error))
    return hand.call.landed(_judged(hand.call, flight, got, answer))


class _Rivals:
    """Two requests of a sync client, each in a thread of its own."""

    def __init__(self, hand: Hand, wire: Wire) -> None:
        self._hand, self._wire = hand, wire
        self._landed: queue.SimpleQueue[Landed | BaseException] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_over = False
        self._running: list[Flight] = []

    def race(self, after: float) -> Landed:
        """As `_race`."""
        try:
            self._begin(self._hand.call.flight)
            try:
                return self._next(after)
            except queue.Empty:
                spare = self._hand.hedge()
            if spare is None:
                return self._next()
            self._begin(spare)
            while True:
                landed = self._next()
                if landed.is_good:
                    self._hand.at_once(lambda won=landed: self._hand.call.won(won))  # type: ignore[misc]
                    return landed
                if not self._running:
                    return landed
                self._hand.at_once(lambda failed=landed: self._hand.call.failed_beside(failed))  # type: ignore[misc]
        finally:
            with self._lock:
                self._is_over = True
            for flight in self._running:
                self._hand.at_once(lambda lost=flight: self._hand.call.lost(lost, None))  # type: ignore[misc]

    def _next(self, within: float | None = None) -> Landed:
        found = self._landed.get(timeout=within)
        if isinstance(found, BaseException):
            raise found
        self._running.remove(found.flight)
        return found

    def _begin(self, flight: Flight) -> None:
        self._running.append(flight)
        context = contextvars.copy_context()
        name = "pilothouse-hedge"
        threading.Thread(target=context.run, args=(self._fly, flight), name=name, daemon=True).start()

    def _fly(self, flight: Flight) -> None:
        try:
            landed: Landed | BaseException = _land_blocking(self._hand, flight, self._wire)
        except BaseException as error:
            landed = error
        with self._lock:
            if not self._is_over:
                self._landed.put(landed)
                return
        if isinstance(landed, Landed) and landed.got is not None:
            self._wire.drop(landed.got)


class Passing:
    """As `AsyncPassing`, for sync clients."""

    def __init__(self, hand: Hand, got: Got, source: Iterator[bytes], close: Callable[[], None]) -> None:
        self._hand, self._got, self._source, self._close = hand, got, source, close
        self._copy = hand.call.copy(got.content_type)
        self._is_over = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._source:
                if self._copy.feed(piece):
                    self._complete()
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            self._is_over = True
            self._hand.broke_off(self._copy, error)
            raise
        self._complete()

    def _complete(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if not self._copy.is_sound:
            self._hand.broke_off(self._copy, NOT_SOUND)
        elif self._copy.is_kept:
            self._hand.complete(Answer(self._got.status, self._got.headers, self._copy.body()))
        else:
            self._hand.let_go()

    def close(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._hand.let_go(self._copy)
        self._close()
