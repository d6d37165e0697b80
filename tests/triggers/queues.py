"""Each broker as the suite of sources uses it: a server for all tests of a file, and in it a queue for each test.

`send` gives each message a name, as a careful sender does. `redeliver` makes come again what a node has taken and never
settled, where the broker itself would take a minute to do so.
"""

import asyncio
import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from pilothouse.ports.source import Source
from tests.triggers import brokers

COUNT = itertools.count(1)


class Queue(ABC):
    """`server`: what may be killed and started."""

    def __init__(self, server: Any) -> None:
        self.server, self.name = server, f"orders{next(COUNT)}"

    serve: Callable[[Path], Any]

    @abstractmethod
    def source(self) -> Source: ...

    @abstractmethod
    def table(self) -> str:
        """The same in pilothouse.toml."""

    @abstractmethod
    async def send(self, *bodies: bytes) -> None: ...

    async def prepare(self) -> None:
        """What an operator does before the first message."""
        return

    async def redeliver(self) -> None:
        """What nobody settled comes again soon."""
        return


class Nats(Queue):
    serve = staticmethod(brokers.nats_server)

    def source(self) -> Source:
        from pilothouse.communication.triggers.nats import JetStream

        return JetStream(f"nats://127.0.0.1:{self.server.port}", self.name, f"{self.name}.new", "pilothouse")

    def table(self) -> str:
        url = f"nats://127.0.0.1:{self.server.port}"
        return f'kind = "nats"\nurl = "{url}"\nstream = "{self.name}"\nsubject = "{self.name}.new"\n'

    async def _client(self) -> Any:
        import nats

        return await nats.connect(f"nats://127.0.0.1:{self.server.port}")

    async def send(self, *bodies: bytes) -> None:
        import nats

        client = await self._client()
        stream = client.jetstream()
        with contextlib.suppress(nats.js.errors.BadRequestError):
            await stream.add_stream(name=self.name, subjects=[f"{self.name}.new"])
        for body in bodies:
            await stream.publish(f"{self.name}.new", body)
        await client.close()

    async def redeliver(self) -> None:
        """A consumer with a shorter wait, as an operator would set it: the messages in flight come at once."""
        client = await self._client()
        stream = client.jetstream()
        facts = await stream.consumer_info(self.name, "pilothouse")
        facts.config.ack_wait = 0.2
        await stream.add_consumer(self.name, config=facts.config)
        await client.close()


class Valkey(Queue):
    serve = staticmethod(brokers.valkey_server)

    def source(self) -> Source:
        from pilothouse.communication.triggers.redis import RedisStream

        return RedisStream(f"redis://127.0.0.1:{self.server.port}", self.name, "pilothouse", "node", idle=300)

    def table(self) -> str:
        return f'kind = "redis"\nurl = "redis://127.0.0.1:{self.server.port}"\nstream = "{self.name}"\n'

    async def send(self, *bodies: bytes) -> None:
        import redis.asyncio

        client = redis.asyncio.Redis(port=self.server.port)
        for body in bodies:
            await client.xadd(self.name, {"body": body, "shop": "blue"})
        await client.aclose()


class Rabbit(Queue):
    """A classic queue, unless the source has made it: RabbitMQ 3.10 does not find a quorum queue again that was made
    within the second in which it is killed."""

    serve = staticmethod(brokers.RabbitServer)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.server.port}/"

    def source(self) -> Source:
        from pilothouse.communication.triggers.amqp import AmqpQueue

        return AmqpQueue(self.url, self.name, 64)

    def table(self) -> str:
        return f'kind = "amqp"\nurl = "{self.url}"\nstream = "{self.name}"\n'

    async def send(self, *bodies: bytes) -> None:
        import aiormq
        from pamqp.commands import Basic

        connection = await aiormq.connect(self.url)
        channel = await connection.channel(publisher_confirms=True)
        try:
            await channel.queue_declare(self.name, passive=True)
        except aiormq.exceptions.ChannelNotFoundEntity:
            channel = await connection.channel(publisher_confirms=True)
            await channel.queue_declare(self.name, durable=True)
        for body in bodies:
            named = Basic.Properties(message_id=f"m{next(COUNT)}", delivery_mode=2, headers={"shop": "blue"})
            await channel.basic_publish(body, routing_key=self.name, properties=named)
        await connection.close()

    async def delete(self) -> None:
        import aiormq

        connection = await aiormq.connect(self.url)
        await (await connection.channel()).queue_delete(self.name)
        await connection.close()


class Mosquitto(Queue):
    serve = staticmethod(brokers.MosquittoServer)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.server.port}"

    def source(self) -> Source:
        from pilothouse.communication.triggers.mqtt import MqttTopic

        return MqttTopic(self.url, f"{self.name}/new", f"pilothouse-{self.name}", 64)

    def table(self) -> str:
        told = f'url = "{self.url}"\nstream = "{self.name}/new"\ngroup = "pilothouse-{self.name}"\n'
        return f'kind = "mqtt"\n{told}'

    async def prepare(self) -> None:
        """A topic keeps nothing for a session that was never begun."""
        source = self.source()
        assert await source.want(1) == []
        await source.close()

    async def send(self, *bodies: bytes) -> None:
        await asyncio.to_thread(self._send, bodies)

    def _send(self, bodies: tuple[bytes, ...]) -> None:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        client = Client(CallbackAPIVersion.VERSION2, f"shop-{next(COUNT)}", protocol=MQTTv5)
        client.connect("127.0.0.1", self.server.port)
        client.loop_start()
        told = []
        for body in bodies:
            named: Any = Properties(PacketTypes.PUBLISH)
            named.UserProperty = [("id", f"m{next(COUNT)}"), ("shop", "blue")]
            told.append(client.publish(f"{self.name}/new", body, qos=1, properties=named))
        for one in told:
            one.wait_for_publish(30)
        client.disconnect()
        client.loop_stop()


class Sqs(Queue):
    serve = staticmethod(lambda folder: brokers.SqsServer())
    made: ClassVar[dict[str, str]] = {}
    """What a queue is made with."""

    def more(self) -> dict[str, Any]:
        """What a message has besides."""
        return {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/123456789012/{self.name}"

    def source(self) -> Source:
        from pilothouse.communication.triggers.sqs import SqsQueue

        return SqsQueue(self.url, visible=2)

    def table(self) -> str:
        return f'kind = "sqs"\nurl = "{self.url}"\n'

    async def prepare(self) -> None:
        from pilothouse.communication.sqs import make_client

        client = make_client(self.url)
        await asyncio.to_thread(client.create_queue, QueueName=self.name, Attributes=self.made)
        client.close()

    async def send(self, *bodies: bytes) -> None:
        from pilothouse.communication.sqs import make_client

        client = make_client(self.url)
        shop = {"shop": {"DataType": "String", "StringValue": "blue"}}
        for body in bodies:
            await asyncio.to_thread(
                client.send_message, QueueUrl=self.url, MessageBody=body.decode(), MessageAttributes=shop, **self.more()
            )
        client.close()


class SqsFifo(Sqs):
    """All messages are of one group."""

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.name += ".fifo"

    made: ClassVar[dict[str, str]] = {"FifoQueue": "true", "ContentBasedDeduplication": "false"}

    def more(self) -> dict[str, Any]:
        return {"MessageGroupId": "blue", "MessageDeduplicationId": f"m{next(COUNT)}"}


KINDS = (Nats, Valkey, Rabbit, Mosquitto, Sqs)
