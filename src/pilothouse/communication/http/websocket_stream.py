"""The stream of a run over WebSocket (RFC 6455): the handshake, and the events as frames.

It is the stream of `stream.py` in another form: each message is one event as a page shows it, and `?after=N` or
`Last-Event-ID` goes on where a reader was. The frames are the work of `websockets`, of which only the part without
sockets is used. A reader sends nothing but answers to pings; one that says anything else, or answers none, is let go,
and one that does not read costs what it costs there. Why a connection ended is told by the code it is closed with.
"""

import asyncio
from collections.abc import Sequence

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidHeader, InvalidUpgrade
from websockets.frames import DATA_OPCODES, CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import SERVER, Protocol, State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from pilothouse.communication.http.call import Call
from pilothouse.communication.http.deadline import TIMED, EarlyEnd
from pilothouse.communication.http.problem import UpgradeRequired
from pilothouse.communication.http.stream import Ending, Stream
from pilothouse.domain.event import Segment
from pilothouse.engine.event import Follower
from pilothouse.errors import MalformedRequest
from pilothouse.wire.event import list_items

SUBPROTOCOL = Subprotocol("pilothouse.events.v1")
MESSAGE_LIMIT = 4096
"""Bytes of what a reader may send in one message, before it is told that nothing is read here."""
CLOSE_WITHIN = 5.0
"""Seconds in which a reader that was told of the end may say that it has heard it."""
CLOSED = {
    Ending.OVER: (CloseCode.NORMAL_CLOSURE, "the run has ended"),
    Ending.DRAIN: (CloseCode.SERVICE_RESTART, "the node shuts down: come again with after"),
    Ending.BROKEN: (CloseCode.TRY_AGAIN_LATER, "the events could not be read: come again with after"),
}


def shake_hands(call: Call) -> list[tuple[bytes, bytes]]:
    """The headers that agree to change the protocol. Raises `UpgradeRequired` for a request that does not ask for it,
    `MalformedRequest` for one that asks wrongly."""
    exchange = call.exchange
    if exchange.method != "GET" or exchange.version != "1.1":
        raise UpgradeRequired(reason="it is no GET of HTTP/1.1")
    given = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.headers)
    if given.get_all("Sec-WebSocket-Version") not in (["13"], []):
        raise UpgradeRequired(reason="it is of another version than 13")
    try:
        accept, _, subprotocol = ServerProtocol(subprotocols=[SUBPROTOCOL], select_subprotocol=_choose).process_request(
            Request(exchange.raw_path.decode("latin-1"), given)
        )
    except InvalidUpgrade:
        raise UpgradeRequired(reason="it has no `Upgrade: websocket`") from None
    except InvalidHeader as error:
        raise MalformedRequest(reason=f"its header {error.name} does not open a WebSocket") from None
    except InvalidHandshake:
        raise MalformedRequest(reason="it does not open a WebSocket") from None
    agreed = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", accept.encode())]
    if subprotocol is not None:
        agreed.append((b"sec-websocket-protocol", subprotocol.encode()))
    return agreed


def _choose(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Who offers others only gets none, and may then decide for itself whether to stay."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


class WebSocketStream(Stream):
    """One reader of one run, each event a text message."""

    def __init__(
        self, call: Call, follower: Follower, run: str, after: int, agreed: Sequence[tuple[bytes, bytes]]
    ) -> None:
        super().__init__(call, follower, run, after)
        self._agreed = agreed
        self._protocol = Protocol(SERVER, max_size=MESSAGE_LIMIT)
        self._asked_at: float | None = None
        """When a ping went out that nothing came after."""
        self._is_ending = False
        self._hung_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _begin(self, more: Sequence[tuple[bytes, bytes]]) -> None:
        call = self._call
        call.status = 101
        call.exchange.upgrade(call.head(None, (*self._agreed, *more)), self._hear)

    def _hear(self, data: bytes) -> None:
        """What the reader sends. Raises nothing: the protocol makes of a fault the frame that tells of it."""
        protocol = self._protocol
        self._asked_at = None
        protocol.receive_data(data)
        if any(isinstance(one, Frame) and one.opcode in DATA_OPCODES for one in protocol.events_received()):
            protocol.fail(CloseCode.POLICY_VIOLATION, "nothing is read here but answers to pings")
        if not self._call.exchange.is_paused:  # who does not read gets no answers either, so nothing piles up
            for part in protocol.data_to_send():
                self._call.exchange.write(part)
        if protocol.state is not State.OPEN:
            self._hang_up()

    def _hang_up(self) -> None:
        if not self._hung_up.done():
            self._hung_up.set_result(None)
        if not self._is_ending:
            self._leave()

    def _encode(self, segment: Segment, after: int) -> Sequence[bytes]:
        protocol = self._protocol
        if protocol.state is not State.OPEN:
            return ()
        for item in list_items(segment, after):
            protocol.send_text(item)
        return protocol.data_to_send()

    async def _fill_silence(self) -> None:
        """Asks whether somebody is there. Raises `TimeoutError` when nobody has answered for long."""
        now, limit = asyncio.get_running_loop().time(), self._call.front.options.write_within
        if self._asked_at is not None and now - self._asked_at >= limit:
            raise TimeoutError
        if self._protocol.state is State.OPEN:
            self._asked_at = self._asked_at or now
            self._protocol.send_ping(b"")
            await self._flush()

    async def _end(self, ending: Ending) -> None:
        """Says why, and waits a moment until the reader has heard it: closing at once could cost it the last events."""
        call, protocol = self._call, self._protocol
        self._is_ending = True
        call.exchange.when_gone(self._hang_up)
        if ending in CLOSED and protocol.state is State.OPEN:
            code, reason = CLOSED[ending]
            protocol.send_close(code, reason)
            await self._flush()
        if protocol.close_rcvd is None and not call.exchange.is_gone:
            self._hung_up = asyncio.get_running_loop().create_future()
            with EarlyEnd(call.patience, TIMED, asyncio.get_running_loop().time() + CLOSE_WITHIN):
                await self._hung_up
        call.exchange.when_gone(None)

    async def _flush(self) -> None:
        await self._send(b"".join(self._protocol.data_to_send()))
