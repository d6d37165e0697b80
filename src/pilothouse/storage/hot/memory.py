"""The hot store of a node that is alone: in its memory, and gone with it.

Bounded as a whole: past `limit_bytes` the place that was used longest ago is forgotten, which an agent may not tell
from an entry that has ended. Nothing here waits, so no verb is ever interrupted by another.
"""

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from pilothouse.ports.hot import HotFull, HotNotNumber, HotStore

LIMIT_BYTES = 64 * 1024 * 1024
ENTRY_BYTES = 200
"""About what an entry takes beside its key and value."""
NUMBER_LIMIT = 2**63


class Entry(Struct):
    value: bytes
    until: int


Place = dict[str, Entry]


class MemoryHotStore(HotStore):
    """`now` gives microseconds: the clock of the node, which a test holds."""

    def __init__(self, now: Callable[[], int], limit_bytes: int = LIMIT_BYTES) -> None:
        self._now, self._limit = now, limit_bytes
        self._places: OrderedDict[str, Place] = OrderedDict()
        self.bytes = 0

    async def get(self, place: str, key: str) -> bytes | None:
        found = self._live(place, key)
        return None if found is None else found.value

    async def put(self, place: str, key: str, value: bytes, ttl: float, keys: int) -> None:
        if self._live(place, key) is None:
            self._make_room(place, keys)
        self._store(place, key, Entry(value, self._now() + round(ttl * 1e6)))

    async def delete(self, place: str, key: str) -> None:
        self._drop(place, key)

    async def incr(self, place: str, key: str, by: int, ttl: float, keys: int) -> int:
        found = self._live(place, key)
        if found is None:
            self._make_room(place, keys)
            found = Entry(b"0", self._now() + round(ttl * 1e6))
        try:
            number = int(found.value) + by
        except ValueError:
            raise HotNotNumber from None
        if not -NUMBER_LIMIT <= number < NUMBER_LIMIT:
            raise HotNotNumber
        self._store(place, key, Entry(b"%d" % number, found.until))
        return number

    async def forget(self, place: str) -> None:
        for key in list(self._places.get(place, ())):
            self._drop(place, key)

    async def stop(self) -> None:
        self._places.clear()
        self.bytes = 0

    def _live(self, place: str, key: str) -> Entry | None:
        entries = self._places.get(place)
        found = None if entries is None else entries.get(key)
        if found is None:
            return None
        self._places.move_to_end(place)
        if found.until <= self._now():
            self._drop(place, key)
            return None
        return found

    def _make_room(self, place: str, keys: int) -> None:
        entries = self._places.get(place, {})
        if len(entries) < keys:
            return
        now = self._now()
        for key in [key for key, entry in entries.items() if entry.until <= now]:
            self._drop(place, key)
        if len(entries) >= keys:
            raise HotFull

    def _store(self, place: str, key: str, entry: Entry) -> None:
        self._drop(place, key)
        self._places.setdefault(place, {})[key] = entry
        self._places.move_to_end(place)
        self.bytes += _size(key, entry)
        while self.bytes > self._limit and len(self._places) > 1:
            oldest = next(iter(self._places))
            for one in list(self._places[oldest]):
                self._drop(oldest, one)

    def _drop(self, place: str, key: str) -> None:
        entries = self._places.get(place)
        entry = None if entries is None else entries.pop(key, None)
        if entries is None or entry is None:
            return
        self.bytes -= _size(key, entry)
        if not entries:
            del self._places[place]


def _size(key: str, entry: Entry) -> int:
    return len(key) + len(entry.value) + ENTRY_BYTES
