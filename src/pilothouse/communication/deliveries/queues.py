"""Deliveries to queues: a subject of NATS JetStream, a stream of Redis.

A delivery counts as taken when the broker has said that it keeps it. Its id travels along (`Nats-Msg-Id`, the field
`id`), so that whoever reads can tell a repeat; JetStream leaves repeats out by itself. The address is the operator's
own and is not judged.
"""

import asyncio
from abc import abstractmethod
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pilothouse.communication.deliveries.options import ReceiverOptions
from pilothouse.domain.delivery import Answer, Delivery

NO_RUN = Answer("dead", "a queue is named in the settings, never by a run")


class Queue:
    """One connection for each address, made when it is needed and dropped when it fails."""

    def __init__(self, within: float) -> None:
        self._within = within
        self._clients: dict[str, Any] = {}

    async def send(self, delivery: Delivery, receiver: ReceiverOptions | None, now: int) -> Answer:
        if receiver is None:
            return NO_RUN
        try:
            async with asyncio.timeout(self._within):
                client = self._clients.get(receiver.url)
                if client is None:
                    client = self._clients[receiver.url] = await self.connect(receiver.url)
                await self.put(client, receiver.url, delivery)
        except Exception as error:  # whatever the client of a broker raises: it is told, and tried again
            await self._drop(receiver.url)
            return Answer("again", f"the queue did not take it ({type(error).__name__})")
        return Answer("delivered")

    @abstractmethod
    async def connect(self, url: str) -> Any: ...

    @abstractmethod
    async def put(self, client: Any, url: str, delivery: Delivery) -> None: ...

    @abstractmethod
    async def end(self, client: Any) -> None: ...

    async def _drop(self, url: str) -> None:
        client = self._clients.pop(url, None)
        if client is not None:
            try:
                async with asyncio.timeout(1.0):
                    await self.end(client)
            except Exception:
                return  # it was broken before

    async def close(self) -> None:
        for url in list(self._clients):
            await self._drop(url)


class NatsQueue(Queue):
    """`nats://host:4222/subject`."""

    async def connect(self, url: str) -> Any:
        import nats

        async def quiet(error: Exception) -> None: ...

        return await nats.connect(
            url.rpartition("/")[0], connect_timeout=3, allow_reconnect=False, error_cb=quiet, name="pilothouse"
        )

    async def put(self, client: Any, url: str, delivery: Delivery) -> None:
        subject = urlsplit(url).path.strip("/")
        headers = {"Nats-Msg-Id": delivery.id, "Pilothouse-Event": delivery.type}
        await client.jetstream().publish(subject, delivery.body, headers=headers, timeout=self._within)

    async def end(self, client: Any) -> None:
        await client.close()


class RedisQueue(Queue):
    """`redis://host:6379/0?stream=reports`."""

    async def connect(self, url: str) -> Any:
        import redis.asyncio

        address = url.partition("?")[0]
        return redis.asyncio.Redis.from_url(address, socket_connect_timeout=3, socket_timeout=self._within)

    async def put(self, client: Any, url: str, delivery: Delivery) -> None:
        stream = parse_qs(urlsplit(url).query).get("stream", ["pilothouse"])[0]
        await client.xadd(stream, {"id": delivery.id, "type": delivery.type, "body": delivery.body})

    async def end(self, client: Any) -> None:
        await client.aclose()
