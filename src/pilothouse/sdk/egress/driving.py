"""The order in which a model call is made, for async clients, for sync clients in threads, and for those on the loop.

Each adapter of a client library says how bytes are sent and how a response of its own kind is made; what to do when is
here, once for `await` and once without. An answer that is not a stream is read whole before the client sees it, so that
one that is cut off or garbled can be asked for again. A stream passes as it comes and is never begun anew.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol

from msgspec import Struct

from pilothouse.sdk.egress.call import ModelCall
from pilothouse.sdk.egress.exchange import Answer, Headers, Outgoing, is_sound, is_streamed


class Got(Struct):
    """The beginning of an answer. `response` is the client library's own."""

    status: int
    headers: Headers
    response: Any

    def is_stream(self, call: ModelCall) -> bool:
        return self.status < 400 and (call.facts.is_stream or is_streamed(self.headers))


class AsyncWire(Protocol):
    """`failures`: what the client raises when there is no answer."""

    failures: tuple[type[BaseException], ...]

    async def send(self, request: Outgoing) -> Got: ...

    async def read(self, got: Got) -> bytes: ...

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

    def pass_on(self, got: Got, hand: "Hand") -> Any: ...

    def make(self, answer: Answer, got: Got | None) -> Any: ...


async def drive(call: ModelCall, wire: AsyncWire) -> Any:
    """The client library's response."""
    recorded = await call.begin()
    if recorded is not None:
        return wire.make(recorded, None)
    try:
        while True:
            got = None
            try:
                call.is_sent = True
                got = await wire.send(call.request)
                if got.is_stream(call):
                    return wire.pass_on(got, call)
                answer = Answer(got.status, got.headers, await wire.read(got))
            except wire.failures as error:
                again = await call.broke(error)
                if again is False:
                    raise
            else:
                if got.status < 400 and is_sound(answer):
                    await call.complete(answer)
                    return wire.make(answer, got)
                again = await call.refused(answer)
                if again is False:
                    return wire.make(answer, got)
            if isinstance(again, Answer):
                return wire.make(again, None)
    except BaseException:
        call.close()
        raise


class AsyncPassing:
    """The body of a streamed answer, as the client reads it."""

    def __init__(
        self, call: ModelCall, got: Got, source: AsyncIterator[bytes], close: Callable[[], Awaitable[None]]
    ) -> None:
        self._call, self._got, self._source, self._close = call, got, source, close
        self._copy = call.copy()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._source:
                if self._copy.feed(piece):
                    await self._complete()
                yield piece
        except GeneratorExit:
            raise
        except BaseException:
            self._call.broke_off()
            raise
        await self._complete()

    async def _complete(self) -> None:
        if self._copy.is_kept:
            await self._call.complete(Answer(self._got.status, self._got.headers, self._copy.body()))
        else:
            self._call.let_go()

    async def aclose(self) -> None:
        self._call.let_go()
        await self._close()


class Hand:
    """The call, as a sync client moves it on: from a thread, where the loop does the work; or on the loop, where
    nothing can be waited for and so nothing is tried again."""

    def __init__(self, call: ModelCall, is_on_loop: bool) -> None:
        self.call = call
        self._is_on_loop = is_on_loop

    def begin(self) -> Answer | None:
        return self.call.begin_unheard() if self._is_on_loop else self._do(self.call.begin)

    def broke(self, error: BaseException) -> Answer | bool:
        return self._give_up() if self._is_on_loop else self._do(lambda: self.call.broke(error))

    def refused(self, answer: Answer) -> Answer | bool:
        return self._give_up() if self._is_on_loop else self._do(lambda: self.call.refused(answer))

    def complete(self, answer: Answer) -> None:
        if self._is_on_loop:
            self.call.complete_unheard(answer)
        else:
            self._do(lambda: self.call.complete(answer))

    def close(self) -> None:
        self._at_once(self.call.close)

    def let_go(self) -> None:
        self._at_once(self.call.let_go)

    def broke_off(self) -> None:
        self._at_once(self.call.broke_off)

    def _at_once(self, act: Callable[[], None]) -> None:
        if self._is_on_loop:
            act()
        else:
            self.call.caller.loop.call_soon_threadsafe(act)

    def _give_up(self) -> bool:
        self.call.close()
        return False

    def _do(self, begin: Callable[[], Any]) -> Any:
        return self.call.caller.from_thread(begin)


def drive_blocking(hand: Hand, wire: Wire) -> Any:
    """As `drive`, for sync clients."""
    recorded = hand.begin()
    if recorded is not None:
        return wire.make(recorded, None)
    try:
        while True:
            got = None
            try:
                hand.call.is_sent = True
                got = wire.send(hand.call.request)
                if got.is_stream(hand.call):
                    return wire.pass_on(got, hand)
                answer = Answer(got.status, got.headers, wire.read(got))
            except wire.failures as error:
                again = hand.broke(error)
                if again is False:
                    raise
            else:
                if got.status < 400 and is_sound(answer):
                    hand.complete(answer)
                    return wire.make(answer, got)
                again = hand.refused(answer)
                if again is False:
                    return wire.make(answer, got)
            if isinstance(again, Answer):
                return wire.make(again, None)
    except BaseException:
        hand.close()
        raise


class Passing:
    """As `AsyncPassing`, for sync clients."""

    def __init__(self, hand: Hand, got: Got, source: Iterator[bytes], close: Callable[[], None]) -> None:
        self._hand, self._got, self._source, self._close = hand, got, source, close
        self._copy = hand.call.copy()
        self._is_over = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._source:
                if self._copy.feed(piece):
                    self._complete()
                yield piece
        except GeneratorExit:
            raise
        except BaseException:
            self._is_over = True
            self._hand.broke_off()
            raise
        self._complete()

    def _complete(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._copy.is_kept:
            self._hand.complete(Answer(self._got.status, self._got.headers, self._copy.body()))
        else:
            self._hand.let_go()

    def close(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._hand.let_go()
        self._close()
