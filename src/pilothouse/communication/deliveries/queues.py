"""Deliveries to queues: a subject of NATS JetStream, a stream of Redis, an exchange of RabbitMQ, a queue of SQS.

A delivery counts as taken when the broker has said that it keeps it. Its id travels along (`Nats-Msg-Id`, the field
`id`, `message_id`), so that whoever reads can tell a repeat; JetStream and FIFO queues leave repeats out by themselves.
The address is the operator's own and is not judged.
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


class RabbitQueue(Queue):
    """`amqp://user:word@host:5672/vhost?exchange=reports&routing_key=done`, or `?queue=reports` without an exchange.
    The broker confirms what it keeps; what no queue takes is refused, and tried again."""

    async def connect(self, url: str) -> Any:
        import aiormq

        connection = await aiormq.connect(url.partition("?")[0])
        return connection, await connection.channel(publisher_confirms=True)

    async def put(self, client: Any, url: str, delivery: Delivery) -> None:
        from pamqp.commands import Basic

        said = parse_qs(urlsplit(url).query)
        queue = said.get("queue", ["pilothouse"])[0]
        properties = Basic.Properties(
            content_type="application/json", delivery_mode=2, message_id=delivery.id, message_type=delivery.type
        )
        answer = await client[1].basic_publish(
            delivery.body,
            exchange=said.get("exchange", [""])[0],
            routing_key=said.get("routing_key", [queue])[0],
            properties=properties,
            mandatory=True,
        )
        if not isinstance(answer, Basic.Ack):
            raise ConnectionError(f"the broker answered {type(answer).__name__}")

    async def end(self, client: Any) -> None:
        await client[0].close()


class SqsQueue(Queue):
    """`sqs://sqs.eu-west-1.amazonaws.com/123456789012/reports`; `sqs+http://` where there is no TLS."""

    async def connect(self, url: str) -> Any:
        from pilothouse.communication.sqs import make_client

        return await asyncio.to_thread(make_client, _https(url))

    async def put(self, client: Any, url: str, delivery: Delivery) -> None:
        more: dict[str, str] = {}
        if url.endswith(".fifo"):
            more = {"MessageGroupId": delivery.run or delivery.agent, "MessageDeduplicationId": delivery.id}
        named = {"id": delivery.id, "type": delivery.type}
        await asyncio.to_thread(
            client.send_message,
            QueueUrl=_https(url),
            MessageBody=delivery.body.decode(),
            MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in named.items()},
            **more,
        )

    async def end(self, client: Any) -> None:
        await asyncio.to_thread(client.close)


def _https(url: str) -> str:
    return (
        url.replace("sqs+http://", "http://", 1) if url.startswith("sqs+http") else url.replace("sqs://", "https://", 1)
    )
