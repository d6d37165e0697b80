"""Messages between nodes through NATS: one subject that everybody publishes to and hears.

NATS core, not JetStream: nothing is kept, since the records are the truth.
"""

import asyncio
import contextlib

import nats
from nats.aio.msg import Msg
from nats.errors import Error

from pilothouse.communication.bus.line import Line, side_by_side
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
        gone = asyncio.Event()

        async def went() -> None:
            gone.set()

        async def lost() -> None:
            await gone.wait()

        async def told(error: Exception) -> None:
            """What NATS says of itself is not told further: a message that is lost is nobody's loss."""

        async def take(message: Msg) -> None:
            hear(message.data)

        client = await nats.connect(
            self._url, connect_timeout=ANSWER_WITHIN, allow_reconnect=False, ping_interval=CHECK_EVERY,
            max_outstanding_pings=1, disconnected_cb=went, closed_cb=went, error_cb=told,
        )  # fmt: skip
        try:
            await client.subscribe(self._channel, cb=take)
            await side_by_side(lost(), self._empty(lambda message: client.publish(self._channel, message)))
        finally:
            with contextlib.suppress(*self.faults):  # or it would take the place of a cancel
                await client.close()
