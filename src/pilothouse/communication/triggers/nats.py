"""NATS JetStream: a durable pull consumer, one for each source.

What is asked for is what comes: a pull is credit. JetStream sends a message again when it was not acknowledged within
`ack_wait`; its sequence number in the stream names it, unless its sender gave it a `Nats-Msg-Id`.
"""

import asyncio
import contextlib
from typing import Any

from pilothouse.communication.triggers.together import Together
from pilothouse.domain.source import Message
from pilothouse.ports.source import Incoming, Source

WAIT = 1.0
BATCH = 256
ACK_WITHIN = 5
CONNECT_WITHIN = 4.0
ACK_WAIT = 60.0
CLOSE_WITHIN = 5.0


class NatsMessage(Incoming):
    def __init__(self, source: "JetStream", raw: Any) -> None:
        self._source, self._raw = source, raw
        meta = raw.metadata
        headers = {str(name).lower(): str(value) for name, value in (raw.headers or {}).items()}
        key = headers.get("nats-msg-id") or f"{meta.stream} {meta.sequence.stream}"
        self._message = Message(key=key, body=raw.data, attributes=headers | {"subject": raw.subject})

    @property
    def message(self) -> Message:
        return self._message

    async def ack(self) -> None:
        await self._source.acks.ask(self._raw)

    async def nack(self, delay: float) -> None:
        await self._raw.nak(delay=delay)

    async def extend(self) -> None:
        await self._raw.in_progress()

    async def dead_letter(self, reason: str) -> None:
        await self._raw.term()


class JetStream(Source):
    """`subject` is read from `stream`, by the durable consumer `consumer`; both are made when they do not exist."""

    extend_every = ACK_WAIT / 3

    def __init__(self, url: str, stream: str, subject: str, consumer: str) -> None:
        self._url, self._stream, self._subject, self._consumer = url, stream, subject, consumer
        self._client: Any = None
        self._pull: Any = None
        self.acks = Together(self._acknowledge, BATCH)

    async def want(self, count: int) -> list[Incoming]:
        import nats.errors

        if self._pull is None:
            await self._connect()
        try:
            found = await self._pull.fetch(min(count, BATCH), timeout=WAIT)
        except (TimeoutError, nats.errors.TimeoutError):
            if not self._client.is_connected:
                await self.close()
                raise ConnectionError("the connection to NATS is lost") from None
            return []
        except Exception:
            await self.close()
            raise
        return [NatsMessage(self, one) for one in found]

    async def _acknowledge(self, raws: list[Any]) -> None:
        """The server has read them all when it answers what is asked behind them."""
        client = self._client
        if client is None:
            raise ConnectionError("the connection to NATS is lost")
        for one in raws:
            await one.ack()
        await client.flush(timeout=ACK_WITHIN)

    async def _connect(self) -> None:
        import nats
        from nats.js.api import ConsumerConfig
        from nats.js.errors import NotFoundError

        async def quiet(error: Exception) -> None: ...

        async with asyncio.timeout(CONNECT_WITHIN):  # the first connection is tried again for ever otherwise
            self._client = await nats.connect(
                self._url, connect_timeout=2, allow_reconnect=False, error_cb=quiet, name="pilothouse"
            )
        stream = self._client.jetstream()
        try:
            await stream.stream_info(self._stream)
        except NotFoundError:
            await stream.add_stream(name=self._stream, subjects=[self._subject])
        config = ConsumerConfig(ack_wait=ACK_WAIT, max_deliver=-1)
        self._pull = await stream.pull_subscribe(
            self._subject, durable=self._consumer, stream=self._stream, config=config
        )

    async def close(self) -> None:
        client, self._client, self._pull = self._client, None, None
        if client is not None:
            with contextlib.suppress(
                Exception
            ):  # it writes what waits before it ends, and may wait long for a dead line
                async with asyncio.timeout(CLOSE_WITHIN):
                    await client.close()
