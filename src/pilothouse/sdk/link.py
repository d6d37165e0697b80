"""The socket between node and host: length-prefixed msgpack, the same at both ends, one write for each tick.

What is sent within a tick leaves as one frame; a frame that would pass the limit is halved until it fits. When the
other side does not read, frames are held back and `paced` is told, so that whoever produces can wait; what may be held
back is bounded. A link that breaks, for whatever reason, says so exactly once to `lost` and nothing after it.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import msgspec

from pilothouse.wire.frames import FRAME_LIMIT, LENGTH, Message

HELD_LIMIT = 100_000
"""Messages that may wait while the other side does not read. Producers stop long before; past it the link ends."""

WRITE_BUFFER = 1024 * 1024

M = TypeVar("M")


class LinkBroken(ConnectionError):
    """The link ended because of what was said on it."""


class Link(asyncio.Protocol, Generic[M]):
    """One end. `receive` gets whole batches of messages in order; `lost` the reason the link ended, or None when the
    other side closed it; `refused` a message of ours that no frame can hold (without it such a message ends the link);
    `paced` whether the other side takes more now."""

    def __init__(
        self,
        receive: Callable[[list[M]], None],
        lost: Callable[[Exception | None], None],
        decode_type: Any,
        *,
        refused: Callable[[Message], None] | None = None,
        paced: Callable[[bool], None] | None = None,
    ) -> None:
        self._receive = receive
        self._lost = lost
        self._refused = refused
        self._paced = paced
        self._decode: Callable[[Any], list[M]] = msgspec.msgpack.Decoder(list[decode_type]).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: list[Message] = []
        self._is_scheduled = False
        self._is_paused = False
        self._is_over = False
        self._rest = bytearray()
        self._needed = 0
        """Bytes that `_rest` must have before there is anything to do; right whenever `_rest` is not empty."""

    # --- sending ---

    def send(self, message: Message) -> None:
        """Puts a message into this tick's frame. After the end of the link it is dropped."""
        if self._is_over:
            return
        self._waiting.append(message)
        if not self._is_scheduled and not self._is_paused and self._loop is not None:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)
        elif self._is_paused and len(self._waiting) > HELD_LIMIT:
            self._break(LinkBroken("the other side does not read"))

    def take_back(self, message: Message) -> bool:
        """Drops what was sent last, when that is this message and it has not left yet."""
        if self._waiting and self._waiting[-1] is message:
            self._waiting.pop()
            return True
        return False

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._is_paused or self._is_over or not self._waiting or self._transport is None:
            return
        batch, self._waiting = self._waiting, []
        self._write(batch)

    def _write(self, batch: list[Message]) -> None:
        try:
            body = self._encode(batch)
            fault = "" if len(body) <= FRAME_LIMIT else f"of {len(body)} bytes fits no frame"
        except (TypeError, ValueError, OverflowError) as error:  # text with lone surrogates, numbers over 64 bits
            body, fault = b"", f"cannot be written: {error}"
        if not fault:
            assert self._transport is not None
            self._transport.write(LENGTH.pack(len(body)) + body)
        elif len(batch) > 1:
            middle = len(batch) // 2
            self._write(batch[:middle])
            self._write(batch[middle:])
        elif self._refused is not None:
            self._refused(batch[0])
        else:
            self._break(LinkBroken(f"a {type(batch[0]).__name__} {fault}"))

    def close(self) -> None:
        """Sends what waits and closes. `lost` is told when the transport is down. Before there is one, nothing happens:
        whoever stops while a host is being started closes again when it is there."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _break(self, reason: Exception) -> None:
        if not self._is_over:
            self._end(reason)
            if self._transport is not None:
                self._transport.abort()

    def _end(self, reason: Exception | None) -> None:
        self._is_over = True
        self._waiting.clear()
        self._rest.clear()
        self._lost(reason)

    # --- what asyncio says ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self._loop = asyncio.get_running_loop()
        self._flush()

    def pause_writing(self) -> None:
        self._is_paused = True
        if self._paced is not None:
            self._paced(False)

    def resume_writing(self) -> None:
        self._is_paused = False
        self._flush()
        if self._paced is not None and not self._is_paused:
            self._paced(True)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_over:
            self._end(error)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        if not self._rest:
            self._take(data)
            return
        self._rest += data
        if len(self._rest) >= self._needed:
            whole = bytes(self._rest)
            self._rest.clear()
            self._take(whole)

    def _take(self, data: bytes) -> None:
        """Hands over every whole frame and keeps what is left of a broken one."""
        at, size = 0, len(data)
        view = memoryview(data)
        while size - at >= LENGTH.size:
            length = LENGTH.unpack_from(data, at)[0]
            if length > FRAME_LIMIT:
                self._break(LinkBroken(f"a frame of {length} bytes is over the limit"))
                return
            end = at + LENGTH.size + length
            if end > size:
                self._needed = end - at
                break
            try:
                messages = self._decode(view[at + LENGTH.size : end])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                self._break(LinkBroken(f"a frame cannot be read: {error}"))
                return
            self._receive(messages)
            if self._is_over:
                return
            at = end
        else:
            self._needed = LENGTH.size
        if at < size:
            self._rest += view[at:]
