"""A bus inside one process: calls its watchers at once, on the loop.

Nobody who listens can hurt the others or the writer: what a watcher raises goes to the loop's exception handler, as
for any callback of the loop, and the next one is called. Watchers that come or go while a message is handed out do not
disturb it. Nothing is kept, so there is nothing to bound here.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from pilothouse.domain.event import Segment
from pilothouse.ports.bus import Bus, Watcher

Key = TypeVar("Key")
Told = TypeVar("Told")
Ear = Callable[[Told], None]


class MemoryBus(Bus):
    post_limit = 0

    def __init__(self) -> None:
        self._receivers: dict[str, tuple[Callable[[bytes], None], ...]] = {}
        self._watchers: dict[tuple[str, str], tuple[Watcher, ...]] = {}
        self._everything: dict[str, tuple[Watcher, ...]] = {}
        self._ringers: dict[str, tuple[Callable[[str], None], ...]] = {}

    def publish(self, tenant: str, segment: Segment) -> None:
        watchers = self._watchers.get((tenant, segment.run))
        if watchers is not None:
            _tell(watchers, segment)
        if self._everything and (watchers := self._everything.get(tenant)) is not None:
            _tell(watchers, segment)

    def watch(self, tenant: str, run: str, watcher: Watcher) -> Callable[[], None]:
        return _join(self._watchers, (tenant, run), watcher)

    def watch_all(self, tenant: str, watcher: Watcher) -> Callable[[], None]:
        return _join(self._everything, tenant, watcher)

    def ring(self, bell: str, key: str = "", node: str = "") -> None:
        ringers = self._ringers.get(bell)
        if ringers is not None:
            _tell(ringers, key)

    def post(self, to: str, message: bytes) -> None:
        receivers = self._receivers.get(to)
        if receivers is not None:
            _tell(receivers, message)

    def receive(self, name: str, hear: Callable[[bytes], None]) -> Callable[[], None]:
        return _join(self._receivers, name, hear)

    def answer(self, bell: str, ringer: Callable[[str], None]) -> Callable[[], None]:
        return _join(self._ringers, bell, ringer)


def _join(places: dict[Key, tuple[Ear[Told], ...]], key: Key, ear: Ear[Told]) -> Callable[[], None]:
    """The same ear may join twice; each call of what is returned takes out its own place, once."""
    places[key] = (*places.get(key, ()), ear)
    has_left = False

    def leave() -> None:
        nonlocal has_left
        if has_left:
            return
        has_left = True
        left = list(places[key])
        left.remove(ear)
        if left:
            places[key] = tuple(left)
        else:
            del places[key]

    return leave


def _tell(ears: tuple[Ear[Told], ...], told: Told) -> None:
    for ear in ears:
        try:
            ear(told)
        except Exception as error:
            context = {"message": "a watcher of the bus raised", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
