"""Messages between nodes through NATS: one subject that everybody publishes to and hears.

NATS core, not JetStream: nothing is kept, since the records are the truth.
"""

import asyncio
import contextlib

import nats
from nats.aio.msg import Msg
from nats.errors import Error

from pilothouse.communication.bus.line import Line
from pilothouse.ports.carrier import Hear

ANSWER_WITHIN = 5.0
CHECK_EVERY = 5


class NatsCarrier(Line):
    """`url`: `nats://user:password@host:port`, or `tls://`."""

    faults = (OSError, TimeoutError, Error)

    def __init__(self, url: str, channel: str) -> None:
        super().__init__()
        self._url, self._channel = url, channel

    async def _serve(self, hear: Hear) -> None:
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def went() -> None:
            if not lost.done():
                lost.set_result(None)

        async def told(error: Exception) -> None:
            """What NATS says of itself is not told further: a message that is lost is nobody's loss."""

        async def take(message: Msg) -> None:
            hear(message.data)

        client = await nats.connect(
            self._url, connect_timeout=ANSWER_WITHIN, allow_reconnect=False, ping_interval=CHECK_EVERY,
            max_outstanding_pings=1, disconnected_cb=went, closed_cb=went, error_cb=told,
        )  # fmt: skip
        sending = None
        try:
            await client.subscribe(self._channel, cb=take)
            sending = asyncio.ensure_future(self._empty(lambda message: client.publish(self._channel, message)))
            await asyncio.wait((sending, lost), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            with contextlib.suppress(*self.faults):  # or it would take the place of a cancel
                await client.close()
