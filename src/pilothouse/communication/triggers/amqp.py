"""RabbitMQ, and others that speak AMQP 0.9.1: a queue from which all nodes take.

The broker sends no more than `prefetch` messages that were not acknowledged, which is the credit. A message has no name
but the one that its sender gave it (`message_id`): without one, and without `key` in the settings, a redelivery cannot
be told from a new message. A message that is to come later is held here until then, since AMQP gives back at once, and
RabbitMQ 4 drops what was given back twenty times; when the connection ends, all that was not acknowledged is the
queue's again, in its place.
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
        self._source, self.channel, self._tag = source, raw.channel, raw.delivery.delivery_tag
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
        await self.channel.basic_ack(self._tag)

    async def nack(self, delay: float) -> None:
        self._source.later(delay, self)

    async def extend(self) -> None: ...

    async def dead_letter(self, reason: str) -> None:
        """To the dead-letter exchange of the queue, where it has one."""
        await self.channel.basic_reject(self._tag, requeue=False)


class AmqpQueue(Source):
    """`queue` is made when it does not exist: durable, replicated (a quorum queue)."""

    extend_every = EXTEND_EVERY

    def __init__(self, url: str, queue: str, prefetch: int) -> None:
        self.queue = queue
        self._url, self._prefetch = url, min(prefetch, PREFETCH_LIMIT)
        self._connection: Any = None
        self._channel: Any = None
        self._came: asyncio.Queue[AmqpMessage] = asyncio.Queue()
        self._later: set[asyncio.TimerHandle] = set()

    async def want(self, count: int) -> list[Incoming]:
        if self._connection is None:
            try:
                await self._connect()
            except TimeoutError:
                told = f"the broker did not answer within {CONNECT_WITHIN:g} s"
                raise ConnectionError(f"{told}; a replicated queue without a leader is never answered for") from None
        found: list[Incoming] = [] if self._is_lost() else await self._take(count)
        if not found and self._is_lost():
            await self.close()
            raise ConnectionError("the connection to the broker is lost, or its queue was deleted")
        return found

    def _is_lost(self) -> bool:
        """Then nothing more comes, and what has come and was not given away cannot be acknowledged: the broker has it
        back. A queue that was deleted takes its consumer along and leaves the channel as it is."""
        channel = self._channel
        return self._connection.is_closed or channel.is_closed or not channel.consumers

    async def _take(self, count: int) -> list[Incoming]:
        found: list[Incoming] = []
        if self._came.empty():
            try:
                async with asyncio.timeout(WAIT):
                    found.append(await self._came.get())
            except TimeoutError:
                pass
        while len(found) < count and not self._came.empty():
            found.append(self._came.get_nowait())
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
                came: asyncio.Queue[AmqpMessage] = asyncio.Queue()
                self._came = came
                await self._channel.basic_qos(prefetch_count=self._prefetch)
                await self._channel.basic_consume(self.queue, lambda raw: came.put_nowait(AmqpMessage(self, raw)))
            except BaseException:
                await self.close()
                raise

    def later(self, delay: float, message: AmqpMessage) -> None:
        """Unless its connection is another one by now, and the broker has it back."""

        def act() -> None:
            self._later.discard(handle)
            if message.channel is self._channel:
                self._came.put_nowait(message)

        handle = asyncio.get_running_loop().call_later(delay, act)
        self._later.add(handle)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        if connection is not None:
            closing = asyncio.get_running_loop().create_task(connection.close())
            closing.add_done_callback(_look_at)
            try:
                await asyncio.wait({closing}, timeout=SETTLE_WITHIN)
            finally:  # the client waits for its own tasks first, however often it is cancelled: nobody waits for it
                closing.cancel()


def _look_at(task: "asyncio.Task[None]") -> None:
    """What a connection that is let go has to say is of no interest."""
    if not task.cancelled():
        task.exception()
