"""Messages between nodes through a server that speaks the Redis protocol (Redis, Valkey): publish and subscribe.

Nothing is kept there, since the records are the truth.
"""

import contextlib

from redis import asyncio as redis
from redis.exceptions import RedisError

from pilothouse.communication.bus.line import Line, side_by_side
from pilothouse.ports.carrier import Hear

ANSWER_WITHIN = 5.0
CHECK_EVERY = 10.0


class RedisCarrier(Line):
    """`url`: `redis://host:port/database`, or `rediss://` for TLS."""

    faults = (OSError, TimeoutError, RedisError)

    def __init__(self, url: str, channel: str) -> None:
        super().__init__()
        self._url, self._channel = url, channel

    async def _serve(self, hear: Hear) -> None:
        client = redis.from_url(
            self._url, socket_connect_timeout=ANSWER_WITHIN, socket_timeout=ANSWER_WITHIN,
            health_check_interval=CHECK_EVERY,
        )  # fmt: skip
        heard = client.pubsub(ignore_subscribe_messages=True)
        try:
            await heard.subscribe(self._channel)
            await side_by_side(
                self._hear(heard, hear), self._empty(lambda message: client.publish(self._channel, message))
            )
        finally:
            with contextlib.suppress(*self.faults):  # or it would take the place of a cancel
                await heard.aclose()  # type: ignore[no-untyped-call]
                await client.aclose()

    @staticmethod
    async def _hear(heard: "redis.client.PubSub", hear: Hear) -> None:
        while True:
            message = await heard.get_message(timeout=CHECK_EVERY)
            if message is not None and isinstance(message["data"], bytes):
                hear(message["data"])
