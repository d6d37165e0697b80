"""The bus of several nodes: what is told here is heard here at once, and elsewhere by way of a carrier.

A bell goes to everybody. Events go where somebody watches: a node that has a watcher says so, again and again while it
lasts, and the others send it what becomes durable of that run, first of all the last they know, so that nothing is
missed between asking and hearing. All messages of one tick leave together. What the carrier loses, repeats or delays
costs time and nothing else.

Each message carries an authentication code (keyed BLAKE2b, RFC 7693) under the key of the installation, so that whoever
may publish on a broker and cannot read the records says nothing here: what bears no code of ours is dropped.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Any

import msgspec

from pilothouse.communication.bus.memory import MemoryBus
from pilothouse.domain.event import Segment
from pilothouse.ports.bus import Bus, Watcher
from pilothouse.ports.carrier import Carrier

WISH_LASTS = 30.0
WISH_AGAIN = 10.0
"""Seconds a wish to hear of a run lasts elsewhere, and between two times it is said."""
WISHES_LIMIT = 100_000
REMEMBERED = 4096
"""Runs whose last segment is remembered."""
ROOM_FOR_NAMES = 416
"""Bytes of a message that is posted, beside what it carries."""
CODE = 16
"""Bytes of the authentication code before each message."""
SMALL = 4096
"""Bytes of a segment that is remembered or sent; of a longer one only that it is there is told."""

Name = tuple[str, str]
"""(tenant, run); run "" stands for all of the tenant."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, list[tuple[Any, ...]]]).decode


class CarriedBus(Bus):
    """`start` before anything is watched, `stop` in the end."""

    def __init__(self, carrier: Carrier) -> None:
        self._here = MemoryBus()
        self._carrier = carrier
        self.post_limit = carrier.limit - ROOM_FOR_NAMES
        self.name = ""
        """Of this node: what is for it alone leaves it not."""
        self.key = b""
        """Of the installation, up to 64 bytes; set before the start."""
        self._me = secrets.token_hex(4)
        self._leaving: OrderedDict[tuple[Any, ...], None] = OrderedDict()
        self._last: OrderedDict[Name, Segment] = OrderedDict()
        self._wanted: dict[Name, float] = {}
        """What somebody elsewhere watches, and until when."""
        self._watched: dict[Name, int] = {}
        self._reminder: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._carrier.start(self._hear)
        self._reminder = asyncio.get_running_loop().create_task(self._remind(), name="bus-reminder")

    async def stop(self) -> None:
        reminder, self._reminder = self._reminder, None
        if reminder is not None:
            reminder.cancel()
            await asyncio.gather(reminder, return_exceptions=True)
            self._flush()
            await self._carrier.stop()

    # --- here -------------------------------------------------------------------------------------------------------

    def publish(self, tenant: str, segment: Segment) -> None:
        self._here.publish(tenant, segment)
        name = (tenant, segment.run)
        self._last[name] = segment
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        if self._wanted and (name in self._wanted or (tenant, "") in self._wanted):
            self._tell(tenant, segment)

    def watch(self, tenant: str, run: str, watcher: Watcher) -> Callable[[], None]:
        return self._watch((tenant, run), self._here.watch(tenant, run, watcher))

    def watch_all(self, tenant: str, watcher: Watcher) -> Callable[[], None]:
        return self._watch((tenant, ""), self._here.watch_all(tenant, watcher))

    def _watch(self, name: Name, leave: Callable[[], None]) -> Callable[[], None]:
        self._watched[name] = self._watched.get(name, 0) + 1
        if self._watched[name] == 1:
            self._send("watch", *name)
        has_left = False

        def stop() -> None:
            nonlocal has_left
            leave()
            if not has_left:
                has_left = True
                self._watched[name] -= 1
                if not self._watched[name]:
                    del self._watched[name]

        return stop

    def ring(self, bell: str, key: str = "", node: str = "") -> None:
        self._here.ring(bell, key)
        if not node or node != self.name:
            self._send("ring", bell, key)

    def answer(self, bell: str, ringer: Callable[[str], None]) -> Callable[[], None]:
        return self._here.answer(bell, ringer)

    def post(self, to: str, message: bytes) -> None:
        """All nodes are sent it, since the carriers have one channel; those that do not have the name drop it."""
        if len(message) > self.post_limit:
            raise ValueError(f"a message of {len(message)} bytes is longer than {self.post_limit}")
        self._here.post(to, message)
        self._send("post", to, message)

    def receive(self, name: str, hear: Callable[[bytes], None]) -> Callable[[], None]:
        return self._here.receive(name, hear)

    # --- elsewhere --------------------------------------------------------------------------------------------------

    def _tell(self, tenant: str, segment: Segment) -> None:
        if len(segment.data) > min(SMALL, self._carrier.limit // 2):
            # Whoever watches sees a gap and reads the records; the last event alone may tell that it is the end.
            start = segment.data.rfind(b"\n", 0, len(segment.data) - 1) + 1
            kind = segment.data[start : segment.data.index(b" ", start)]
            segment = Segment(segment.run, segment.last + 1, 1, segment.at, kind + b" {}\n")
        self._send("event", tenant, segment.run, segment.seq, segment.count, segment.at, segment.data)

    def _send(self, *message: Any) -> None:
        if not self._leaving:
            asyncio.get_running_loop().call_soon(self._flush)
        self._leaving[message] = None

    def _flush(self) -> None:
        """All that was said in one tick, once each, in as few messages as the carrier allows."""
        leaving, self._leaving = list(self._leaving), OrderedDict()
        room = self._carrier.limit - 64 - CODE
        together: list[tuple[Any, ...]] = []
        for message in leaving:
            size = len(_encode(message))
            if size > room and together:
                self._carrier.send(self._signed(_encode((self._me, together))))
                room, together = self._carrier.limit - 64 - CODE, []
            room -= size
            together.append(message)
        if together:
            self._carrier.send(self._signed(_encode((self._me, together))))

    def _signed(self, message: bytes) -> bytes:
        return self._code(message) + message

    def _code(self, message: bytes) -> bytes:
        return hashlib.blake2b(message, digest_size=CODE, key=self.key).digest()

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(WISH_AGAIN)
            now = monotonic()
            self._wanted = {name: until for name, until in self._wanted.items() if until > now}
            for name in self._watched:
                self._send("watch", *name)

    def _hear(self, message: bytes) -> None:
        """What is no message of ours, or of a release that says it otherwise, is nobody's loss."""
        code, said = message[:CODE], message[CODE:]
        if not hmac.compare_digest(code, self._code(said)):
            return
        try:
            sender, heard = _decode(said)
        except msgspec.DecodeError:
            return
        if sender == self._me:
            return
        for kind, *values in heard:
            match kind, values:
                case "ring", [str(bell), str(key)]:
                    self._here.ring(bell, key)
                case "post", [str(to), bytes(posted)]:
                    self._here.post(to, posted)
                case "watch", [str(tenant), str(run)]:
                    self._want((tenant, run))
                case "event", [str(tenant), str(run), int(seq), int(count), int(at), bytes(data)]:
                    self._here.publish(tenant, Segment(run, seq, count, at, data))

    def _want(self, name: Name) -> None:
        is_new = name not in self._wanted
        if is_new and len(self._wanted) >= WISHES_LIMIT:
            return
        self._wanted[name] = monotonic() + WISH_LASTS
        if is_new and (last := self._last.get(name)) is not None:
            self._tell(name[0], last)
