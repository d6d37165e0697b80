"""Streams: the segments of a run as server-sent events, from any point until its terminal event.

A stream is pulled, never pushed: the next segments are taken when the connection has room again, so a slow reader
costs a bounded buffer below and nothing here, and one that takes nothing for a while loses its stream. Silence is
filled with comments, so that both sides notice a dead line. A reader that goes away leaves the run alone, unless the
request said `X-Cancel-On-Disconnect: true`. A drain ends every stream with `event: reconnect`, which has no id: the
client comes again with the last one it saw and misses nothing (I4).
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from enum import Enum

from pilothouse.communication.http.call import Call, principal_of, tenant_of
from pilothouse.communication.http.deadline import POLL, EarlyEnd, Within
from pilothouse.domain.event import Segment
from pilothouse.engine.cancel import cancel_run
from pilothouse.engine.event import Follower
from pilothouse.engine.world import spawn
from pilothouse.errors import Draining, MalformedRequest, Overloaded, PilothouseError
from pilothouse.wire.event import HEARTBEAT, frames, list_frames, reconnect_frame

CHUNK = 64 * 1024
"""Bytes after which a write waits until the connection has room."""
EVENT_STREAM = b"text/event-stream; charset=utf-8"
GONE_REASON = "the caller went away"


class Ending(Enum):
    """Why a stream ended."""

    OVER = "the terminal event was sent"
    DRAIN = "the node shuts down"
    GONE = "the reader went away"
    BROKEN = "the events could not be read"


class Stream:
    """One reader of one run, from the event after `after`. What is written around and for the events is what a form of
    stream may say otherwise: `_begin`, `_encode`, `_fill_silence`, `_end`."""

    def __init__(self, call: Call, follower: Follower, run: str, after: int) -> None:
        self._call = call
        self._follower = follower
        self._run = run
        self._after = after
        self._cancels = cancels_when_gone(call)
        self._is_gone = False
        self._problem: PilothouseError = Draining()

    async def send(self, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        call, front = self._call, self._call.front
        if front.streams >= front.options.streams:
            self._follower.close()
            raise Overloaded()
        front.streams += 1
        front.meter.stream_opened()
        call.exchange.when_gone(self._leave)
        try:
            self._begin(more)
            try:
                ending = await self._send_events()
                call.exchange.when_gone(None)
                await self._end(ending)
                call.exchange.write(b"", is_last=True)
            except TimeoutError:
                return  # the answer stays incomplete, which makes the server close the connection
        finally:
            front.streams -= 1
            front.meter.stream_closed()
            self._follower.close()

    async def _send_events(self) -> Ending:
        call, front, follower = self._call, self._call.front, self._follower
        while True:
            if self._is_gone:
                return Ending.GONE
            if front.world.is_draining:
                return Ending.DRAIN
            try:
                with EarlyEnd(call.patience, POLL) as taking:
                    segments = await follower.take(front.options.heartbeat_every)
            except PilothouseError as error:
                self._problem = error
                return Ending.BROKEN
            if taking.was_told:
                continue
            if not segments:
                await self._fill_silence()
            for chunk in self._chunks(segments):
                await self._send(chunk)
                if len(chunk) >= CHUNK:
                    await asyncio.sleep(0)  # uvloop says that a connection is full no sooner than in the next tick
            if follower.is_over:
                return Ending.OVER

    def _chunks(self, segments: Sequence[Segment]) -> Iterator[bytes]:
        """All at once when it is little: a write for each segment would cost more than the segment."""
        parts: list[bytes] = []
        size = 0
        for segment in segments:
            for part in self._encode(segment, self._after):
                parts.append(part)
                size += len(part)
                if size >= CHUNK:
                    yield b"".join(parts)
                    parts, size = [], 0
            self._after = segment.last
        if parts:
            yield b"".join(parts)

    def _begin(self, more: Sequence[tuple[bytes, bytes]]) -> None:
        self._call.begin(200, EVENT_STREAM, [(b"x-accel-buffering", b"no"), *more])

    def _encode(self, segment: Segment, after: int) -> Sequence[bytes]:
        """The events of the segment behind number `after`, in one or more parts."""
        return (frames(segment, after),) if len(segment.data) < CHUNK else list_frames(segment, after)

    async def _fill_silence(self) -> None:
        await self._send(HEARTBEAT)

    async def _end(self, ending: Ending) -> None:
        if ending in (Ending.DRAIN, Ending.BROKEN):
            await self._send(reconnect_frame(self._problem.hint, self._come_again_ms))

    async def _send(self, chunk: bytes) -> None:
        call = self._call
        if call.exchange.is_paused:
            with Within(call.patience, asyncio.get_running_loop().time() + call.front.options.write_within):
                await call.exchange.ready()
        call.exchange.write(chunk)

    def _leave(self) -> None:
        """The reader went away, also while nothing is sent."""
        if self._is_gone:
            return
        self._is_gone = True
        if self._call.patience.reason == POLL:
            self._call.patience.tell()
        if self._cancels:
            cancel_gone(self._call, self._run)

    @property
    def _come_again_ms(self) -> int:
        return round(self._call.front.options.reconnect_after * 1000)


def cancel_gone(call: Call, run: str) -> None:
    """Cancels a run whose caller, who asked for that, went away."""
    world, tenant, by = call.front.world, tenant_of(call), principal_of(call)

    async def act() -> None:
        with contextlib.suppress(PilothouseError):  # it ended meanwhile, or was never kept
            await cancel_run(world, tenant, run, GONE_REASON, by=by)

    spawn(world, act())


def cancels_when_gone(call: Call) -> bool:
    """Whether the run is to end with the connection. Raises `MalformedRequest` when that cannot be understood."""
    given = call.headers.get(b"x-cancel-on-disconnect")
    if given is None:
        return False
    if given.lower() not in (b"true", b"false"):
        raise MalformedRequest(reason="X-Cancel-On-Disconnect is true or false")
    return given.lower() == b"true"
