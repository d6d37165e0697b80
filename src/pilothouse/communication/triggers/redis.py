"""Redis streams: a consumer group, one for each source. Valkey and others that speak the protocol are the same.

What a consumer took and never acknowledged is claimed by whoever looks after `IDLE`; giving a message back is
leaving it there. Entries that are settled are acknowledged, and stay in the stream until their sender trims it.
"""

import asyncio
from typing import Any

from pilothouse.communication.triggers.together import CLOSED, Together
from pilothouse.domain.source import Message
from pilothouse.ports.source import Incoming, Source

BLOCK = 1000
BATCH = 256
LOOK_EVERY = 1.0
"""Seconds between two looks for what others took and left."""
CONNECTIONS = 8
"""Settling a batch waits in line for these; the pool of the client refuses instead."""
IDLE = 60_000
"""Milliseconds after which a message that nobody acknowledged is taken over."""


class RedisMessage(Incoming):
    def __init__(self, source: "RedisStream", id: str, fields: dict[bytes, bytes]) -> None:
        self._source, self._id = source, id
        texts = {name.decode("utf-8", "replace"): value for name, value in fields.items()}
        body = texts.pop(source.field, b"")
        attributes = {name: value.decode("utf-8", "replace") for name, value in texts.items()}
        self._message = Message(key=f"{source.stream} {id}", body=body, attributes=attributes)

    @property
    def message(self) -> Message:
        return self._message

    async def ack(self) -> None:
        await self._source.acks.ask(self._id)

    async def nack(self, delay: float) -> None:
        """It is idle by so much that it is taken over after the delay."""
        await self._touch(max(0, self._source.idle - round(delay * 1000)))

    async def extend(self) -> None:
        await self._touch(0)

    async def _touch(self, idle: int) -> None:
        source = self._source
        if source.client is None:
            raise ConnectionError(CLOSED)
        await source.client.xclaim(source.stream, source.group, source.consumer, 0, [self._id], idle=idle, justid=True)

    async def dead_letter(self, reason: str) -> None:
        await self.ack()


class RedisStream(Source):
    """`field` of each entry is the body, the others are attributes. Stream and group are made when they do not exist;
    a new group begins with the first entry that is there."""

    def __init__(self, url: str, stream: str, group: str, consumer: str, field: str = "body", idle: int = IDLE) -> None:
        self.stream, self.group, self.consumer, self.field, self.idle = stream, group, consumer, field, idle
        self.extend_every = idle / 3000
        self._url = url
        self._is_ready = False
        self.client: Any = None
        self.acks = Together(self._acknowledge, BATCH)
        self._look_again_at = 0.0

    async def want(self, count: int) -> list[Incoming]:
        if not self._is_ready:
            await self._connect()
        count = min(count, BATCH)
        try:
            found = await self._take_over(count)
            if not found:
                read = await self.client.xreadgroup(
                    self.group, self.consumer, {self.stream: ">"}, count=count, block=BLOCK
                )
                found = next(iter(read.values()))[0] if isinstance(read, dict) and read else read[0][1] if read else []
        except Exception:
            await self.close()
            raise
        return [RedisMessage(self, id.decode(), fields) for id, fields in found if fields]

    async def _take_over(self, count: int) -> Any:
        """What others took and left; looked for at most every so often, while there is none."""
        now = asyncio.get_running_loop().time()
        if now < self._look_again_at:
            return ()
        reply = await self.client.xautoclaim(
            self.stream, self.group, self.consumer, min_idle_time=self.idle, start_id="0-0", count=count
        )
        self._look_again_at = now if reply[1] else now + min(LOOK_EVERY, self.idle / 10_000)
        return reply[1]

    async def _acknowledge(self, ids: list[str]) -> None:
        if self.client is None:
            raise ConnectionError(CLOSED)
        await self.client.xack(self.stream, self.group, *ids)

    async def _connect(self) -> None:
        import redis.asyncio
        from redis.exceptions import ResponseError

        pool = redis.asyncio.BlockingConnectionPool.from_url(
            self._url, max_connections=CONNECTIONS, timeout=10, socket_connect_timeout=3, socket_timeout=10
        )
        self.client = redis.asyncio.Redis.from_pool(pool)
        try:
            await self.client.xgroup_create(self.stream, self.group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._is_ready = True

    async def close(self) -> None:
        client, self.client, self._is_ready = self.client, None, False
        if client is not None:
            await client.aclose()
