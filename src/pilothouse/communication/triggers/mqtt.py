"""MQTT 5: one topic filter, in a session that the broker keeps while this node is away.

A broker sends no more than `prefetch` messages at once that were not acknowledged (`Receive Maximum`), and it sends
them again only in a new connection; so one that is to come later is kept here until then. A message of MQTT has no
name: its sender gives it one as a user property `id` or as Correlation Data; without it, and without `key` in the
settings, a redelivery cannot be told from a new message. The client is Eclipse Paho, whose thread does the reading.
"""

import asyncio
import secrets
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

from pilothouse.domain.source import Message
from pilothouse.ports.source import Incoming, Source

CONNECT_WITHIN = 5.0
WAIT = 1.0
KEEP_ALIVE = 30
SESSION = 7 * 86_400
"""Seconds for which the broker keeps what comes while nobody is connected."""
PREFETCH_LIMIT = 256
PORTS = {"mqtt": 1883, "mqtts": 8883}
EXTEND_EVERY = 300.0


class MqttMessage(Incoming):
    def __init__(self, source: "MqttTopic", client: Any, raw: Any) -> None:
        self._source, self._client, self._raw = source, client, raw
        said = getattr(raw, "properties", None)
        attributes = {str(name): str(value) for name, value in getattr(said, "UserProperty", ())}
        data = getattr(said, "CorrelationData", b"")
        key = attributes.get("id") or (data.hex() if data else "") or secrets.token_hex(12)
        attributes["topic"] = raw.topic
        self._message = Message(key=f"{raw.topic} {key}", body=raw.payload, attributes=attributes)

    @property
    def message(self) -> Message:
        return self._message

    async def ack(self) -> None:
        if self._raw.qos:
            self._client.ack(self._raw.mid, self._raw.qos)

    async def nack(self, delay: float) -> None:
        self._source.later(delay, self)

    async def extend(self) -> None: ...

    async def dead_letter(self, reason: str) -> None:
        await self.ack()


class MqttTopic(Source):
    """`client` is the name of the session: one node at a time may use it."""

    extend_every = EXTEND_EVERY

    def __init__(self, url: str, topic: str, client: str, prefetch: int) -> None:
        self._url, self._topic, self._name = url, topic, client
        self._prefetch = min(prefetch, PREFETCH_LIMIT)
        self._client: Any = None
        self._came: asyncio.Queue[MqttMessage] = asyncio.Queue()
        self._problem: str | None = None
        self._later: set[asyncio.TimerHandle] = set()

    async def want(self, count: int) -> list[Incoming]:
        if self._client is None:
            await self._connect()
        found: list[Incoming] = []
        if self._came.empty():
            try:
                async with asyncio.timeout(WAIT):
                    found.append(await self._came.get())
            except TimeoutError:
                pass
        while len(found) < count and not self._came.empty():
            found.append(self._came.get_nowait())
        if not found and self._problem is not None:
            problem = self._problem
            await self.close()
            raise ConnectionError(problem)
        return found

    async def _connect(self) -> None:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        loop, parts = asyncio.get_running_loop(), urlsplit(self._url)
        client = Client(
            CallbackAPIVersion.VERSION2, self._name, protocol=MQTTv5, manual_ack=True, reconnect_on_failure=False
        )
        if parts.username is not None:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set_context(ssl.create_default_context())
        self._problem = None
        came: asyncio.Queue[MqttMessage] = asyncio.Queue()
        self._came, ready = came, loop.create_future()

        def settle(problem: str | None) -> None:
            if problem is not None:
                self._problem = self._problem or problem
            if not ready.done():
                ready.set_result(problem)

        def on_connect(_: Any, __: Any, ___: Any, code: Any, ____: Any) -> None:
            if code.is_failure:
                loop.call_soon_threadsafe(settle, f"the broker refuses: {code}")
            else:
                client.subscribe(self._topic, qos=1)

        def on_subscribe(_: Any, __: Any, ___: Any, codes: Any, ____: Any) -> None:
            failed = [str(code) for code in codes if code.is_failure]
            loop.call_soon_threadsafe(settle, f"it refuses the topic: {failed[0]}" if failed else None)

        def on_message(_: Any, __: Any, raw: Any) -> None:
            loop.call_soon_threadsafe(came.put_nowait, MqttMessage(self, client, raw))

        def on_disconnect(_: Any, __: Any, ___: Any, code: Any, ____: Any) -> None:
            _unless_closed(loop, settle, f"the connection to the broker is lost ({code})")

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_message, client.on_disconnect = on_message, on_disconnect
        said: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        said.SessionExpiryInterval, said.ReceiveMaximum = SESSION, self._prefetch
        port = parts.port or PORTS.get(parts.scheme, 1883)
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await asyncio.to_thread(
                    client.connect, parts.hostname or "localhost", port, KEEP_ALIVE, clean_start=False, properties=said
                )
                client.loop_start()
                self._client = client
                problem = await ready
        except BaseException:
            await self.close()
            raise
        if problem is not None:
            await self.close()
            raise ConnectionError(problem)

    def later(self, delay: float, message: MqttMessage) -> None:
        came = self._came

        def act() -> None:
            self._later.discard(handle)
            came.put_nowait(message)

        handle = asyncio.get_running_loop().call_later(delay, act)
        self._later.add(handle)

    async def close(self) -> None:
        client, self._client = self._client, None
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        if client is not None:
            client.on_message = client.on_disconnect = None
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)


def _unless_closed(loop: asyncio.AbstractEventLoop, settle: Any, problem: str) -> None:
    """The thread of the client may outlive the loop by a moment."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle, problem)
