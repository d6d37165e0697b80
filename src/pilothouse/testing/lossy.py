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

    def ring(self, bell: str, key: str = "") -> None:
        self._carry(lambda: self._inside.ring(bell, key))

    def answer(self, bell: str, ringer: Callable[[str], None]) -> Callable[[], None]:
        return self._inside.answer(bell, ringer)
