"""A bus that does its worst: it drops, repeats, delays and reorders what it carries, as the port allows it to.

Whatever works on it works on any bus, since the records are the truth and the bus only saves time. What happens to
each message follows from a seed, so that a failure can be seen again.
"""

import asyncio
import random
from collections.abc import Callable

from pilothouse.communication.bus.memory import MemoryBus
from pilothouse.domain.event import Segment
from pilothouse.ports.bus import Bus, Watcher
from pilothouse.ports.carrier import Carrier, Hear

LATE_AFTER = 0.01


class LossyBus(Bus):
    """`drop`, `repeat`, `delay`: shares of the messages that this happens to. A delayed one is overtaken by others."""

    def __init__(self, seed: int = 0, *, drop: float = 0.3, repeat: float = 0.3, delay: float = 0.3) -> None:
        self._inside = MemoryBus()
        self._random = random.Random(seed)
        self._drop, self._repeat, self._delay = drop, repeat, delay

    def _carry(self, act: Callable[[], None]) -> None:
        for _ in range(2 if self._random.random() < self._repeat else 1):
            if self._random.random() < self._drop:
                continue
            if self._random.random() < self._delay:
                asyncio.get_running_loop().call_later(LATE_AFTER * self._random.random(), act)
            else:
                act()

    def publish(self, tenant: str, segment: Segment) -> None:
        self._carry(lambda: self._inside.publish(tenant, segment))

    def watch(self, tenant: str, run: str, watcher: Watcher) -> Callable[[], None]:
        return self._inside.watch(tenant, run, watcher)

    def watch_all(self, tenant: str, watcher: Watcher) -> Callable[[], None]:
        return self._inside.watch_all(tenant, watcher)

    def ring(self, bell: str, key: str = "", node: str = "") -> None:
        self._carry(lambda: self._inside.ring(bell, key))

    @property
    def post_limit(self) -> int:  # type: ignore[override]
        return self._inside.post_limit

    def post(self, to: str, message: bytes) -> None:
        self._carry(lambda: self._inside.post(to, message))

    def receive(self, name: str, hear: Callable[[bytes], None]) -> Callable[[], None]:
        return self._inside.receive(name, hear)

    def answer(self, bell: str, ringer: Callable[[str], None]) -> Callable[[], None]:
        return self._inside.answer(bell, ringer)


class Wire:
    """Carries messages between the buses of one process, as badly as it is told to. Each bus gets an `end`."""

    def __init__(self, seed: int = 0, *, drop: float = 0.0, repeat: float = 0.0, delay: float = 0.0) -> None:
        self._random = random.Random(seed)
        self._drop, self._repeat, self._delay = drop, repeat, delay
        self._hearing: list[Hear] = []

    def end(self, limit: int = 6000) -> "WireEnd":
        return WireEnd(self, limit)

    def join(self, hear: Hear) -> None:
        self._hearing.append(hear)

    def leave(self, hear: Hear) -> None:
        self._hearing.remove(hear)

    def carry(self, message: bytes) -> None:
        loop = asyncio.get_running_loop()
        for hear in self._hearing:
            for _ in range(2 if self._random.random() < self._repeat else 1):
                if self._random.random() < self._drop:
                    continue
                late = LATE_AFTER * self._random.random() if self._random.random() < self._delay else 0.0
                loop.call_later(late, hear, message)


class WireEnd(Carrier):
    """Where one bus is on the wire."""

    def __init__(self, wire: Wire, limit: int) -> None:
        self._wire, self.limit = wire, limit
        self._hear: Hear | None = None

    async def start(self, hear: Hear) -> None:
        self._hear = hear
        self._wire.join(hear)

    def send(self, message: bytes) -> None:
        assert len(message) <= self.limit
        self._wire.carry(message)

    async def stop(self) -> None:
        if self._hear is not None:
            self._wire.leave(self._hear)
            self._hear = None
