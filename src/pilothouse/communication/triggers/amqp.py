"""RabbitMQ, and others that speak AMQP 0.9.1: a queue from which all nodes take.

The broker sends no more than `prefetch` messages that were not acknowledged, which is the credit. A message has no name
but the one that its sender gave it (`message_id`): without one, and without `key` in the settings, a redelivery cannot
be told from a new message. AMQP gives back at once or not at all, so a message that is to come later is held here until
then; when the connection ends, all that was not acknowledged is the queue's again, in its place.
"""

import asyncio
import secrets
from typing import Any

from pilothouse.domain.source import Message
from pilothouse.ports.source import Incoming, Source

CONNECT_WITHIN = 5.0
SETTLE_WITHIN = 5.0
WAIT = 1.0
PREFETCH_LIMIT = 256
EXTEND_EVERY = 300.0
"""A message that is not acknowledged is held while the connection lives, and for 30 minutes at most (RabbitMQ)."""


class AmqpMessage(Incoming):
    def __init__(self, source: "AmqpQueue", raw: Any) -> None:
        self._source, self._channel, self._tag = source, raw.channel, raw.delivery.delivery_tag
        properties = raw.header.properties
        headers = {str(name): str(value) for name, value in (properties.headers or {}).items()}
        key = properties.message_id or f"{source.queue} {secrets.token_hex(12)}"
        told = {
            "routing_key": raw.delivery.routing_key,
            "exchange": raw.delivery.exchange,
            "type": properties.message_type,
            "content_type": properties.content_type,
        }
        attributes = headers | {name: str(value) for name, value in told.items() if value}
        self._message = Message(key=str(key), body=raw.body, attributes=attributes)

    @property
    def message(self) -> Message:
        return self._message

    async def ack(self) -> None:
        await self._channel.basic_ack(self._tag)

    async def nack(self, delay: float) -> None:
        self._source.later(delay, self._channel.basic_nack, self._tag)

    async def extend(self) -> None: ...

    async def dead_letter(self, reason: str) -> None:
        """To the dead-letter exchange of the queue, where it has one."""
        await self._channel.basic_reject(self._tag, requeue=False)


class AmqpQueue(Source):
    """`queue` is made when it does not exist: durable, replicated (a quorum queue)."""

    extend_every = EXTEND_EVERY

    def __init__(self, url: str, queue: str, prefetch: int) -> None:
        self.queue = queue
        self._url, self._prefetch = url, min(prefetch, PREFETCH_LIMIT)
        self._connection: Any = None
        self._came: asyncio.Queue[Any] = asyncio.Queue()
        self._later: set[asyncio.Task[None]] = set()

    async def want(self, count: int) -> list[Incoming]:
        if self._connection is None:
            await self._connect()
        found: list[Incoming] = []
        if self._came.empty():
            try:
                async with asyncio.timeout(WAIT):
                    found.append(AmqpMessage(self, await self._came.get()))
            except TimeoutError:
                pass
        while len(found) < count and not self._came.empty():
            found.append(AmqpMessage(self, self._came.get_nowait()))
        if not found and (self._connection.is_closed or self._channel.is_closed):
            await self.close()
            raise ConnectionError("the connection to the broker is lost")
        return found

    async def _connect(self) -> None:
        import aiormq
        from aiormq.exceptions import ChannelNotFoundEntity

        async with asyncio.timeout(CONNECT_WITHIN):
            self._connection = connection = await aiormq.connect(self._url)
            try:
                try:
                    await (await connection.channel()).queue_declare(self.queue, passive=True)
                except ChannelNotFoundEntity:
                    arguments: dict[str, Any] = {"x-queue-type": "quorum"}
                    await (await connection.channel()).queue_declare(self.queue, durable=True, arguments=arguments)
                self._channel = await connection.channel()
                came: asyncio.Queue[Any] = asyncio.Queue()
                self._came = came
                await self._channel.basic_qos(prefetch_count=self._prefetch)
                await self._channel.basic_consume(self.queue, came.put)
            except BaseException:
                await self.close()
                raise

    def later(self, delay: float, settle: Any, tag: int) -> None:
        async def act() -> None:
            await asyncio.sleep(delay)
            if not self._channel.is_closed:
                await settle(tag, requeue=True)

        task = asyncio.get_running_loop().create_task(act())
        self._later.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: "asyncio.Task[None]") -> None:
        """A connection that broke has given everything back itself."""
        self._later.discard(task)
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        for task in list(self._later):
            task.cancel()
        if connection is not None:
            try:
                async with asyncio.timeout(SETTLE_WITHIN):
                    await connection.close()
            except Exception:
                return  # it was broken before
