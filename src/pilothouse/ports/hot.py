"""The hot store: short-term state of the whole installation, which may be lost at any moment.

Flushed, it is empty; gone, every verb raises `HotStoreUnavailable` within a bounded time, at once when it is known to
be away, and the store is tried again by whoever asks later. Nobody may need it to be right.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from pilothouse.domain.limit import Limit


class HotFull(Exception):
    """The place holds as many keys as it may."""


class HotNotNumber(Exception):
    """What is there is no whole number, or would be out of range."""


class HotStore(Protocol):
    """Entries of places, see `domain/scratch`. `ttl` in seconds. All raise `HotStoreUnavailable`."""

    async def get(self, place: str, key: str) -> bytes | None: ...

    async def put(self, place: str, key: str, value: bytes, ttl: float, keys: int) -> None:
        """Raises `HotFull` when the key is new and the place has `keys` of them."""
        ...

    async def delete(self, place: str, key: str) -> None: ...

    async def incr(self, place: str, key: str, by: int, ttl: float, keys: int) -> int:
        """The new number; a new key begins at 0, and `ttl` counts from then on. Raises `HotFull`, `HotNotNumber`."""
        ...

    async def forget(self, place: str) -> None:
        """Removes all that the place holds."""
        ...

    async def stop(self) -> None:
        """A second call does nothing."""
        ...


class Draw(Struct, frozen=True):
    """What a node wants of a limit that all nodes share, in units of the limit. `change` is what it used beside what it
    was granted (negative: gives back); it counts whatever the limit says. Then `need`, all of it or nothing, and as
    many times `need` as there is room for in `want`."""

    key: str
    limit: Limit
    change: float = 0.0
    need: float = 0.0
    want: float = 0.0


class Drawn(Struct, frozen=True):
    """`granted` units, 0.0: none; then `wait` is the seconds after which `need` could be had."""

    granted: float
    wait: float


class SharedLimitStore(Protocol):
    async def draw(self, draws: Sequence[Draw]) -> list[Drawn]:
        """All of them in one round trip, by the clock of the store. Raises `HotStoreUnavailable`."""
        ...
