"""Messages of one order, while one of them has to come again: those behind it wait until it has.

A broker brings what was given back when it likes, and meanwhile brings what is new. So the line of an order is kept
here from the first message that was given back until all of the line are settled; whoever comes early is given back
too. It is kept in memory: a node that dies forgets it, and then the order is that in which the broker brings messages.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

HELD_FOR = 30.0
"""Seconds for which the others wait for one that was given back and does not come: it may have lost its name."""
LINE_LIMIT = 10_000
"""Messages that are remembered for all orders together; beyond that the oldest line is forgotten."""


@dataclass(slots=True)
class Place:
    """`sender_key`: what its sender calls the message. `seen_at`: seconds of the loop."""

    sender_key: str
    seen_at: float


class Lines:
    """By order, the keys of the messages that wait, in the order in which they first came."""

    def __init__(self) -> None:
        self._all: dict[str, dict[str, Place]] = {}
        self._size = 0

    def __contains__(self, order: str) -> bool:
        return order in self._all

    def join(self, order: str, key: str, sender_key: str) -> None:
        """At the end of the line, unless it stands there already."""
        line, now = self._all.setdefault(order, {}), asyncio.get_running_loop().time()
        if key in line:
            line[key].seen_at = now
            return
        line[key] = Place(sender_key, now)
        self._size += 1
        while self._size > LINE_LIMIT and len(self._all) > 1:
            self._size -= len(self._all.pop(next(iter(self._all))))

    def walk(self, order: str) -> Iterator[tuple[str, Place, bool]]:
        """Key, place, and whether it was waited for too long; may leave while it is walked."""
        now = asyncio.get_running_loop().time()
        for key, place in list(self._all.get(order, {}).items()):
            yield key, place, now - place.seen_at > HELD_FOR

    def leave(self, order: str, key: str) -> None:
        line = self._all.get(order, {})
        if line.pop(key, None) is not None:
            self._size -= 1
        if not line:
            self._all.pop(order, None)

    def touch(self) -> None:
        """The broker was away: nobody could come, and everybody is waited for anew."""
        now = asyncio.get_running_loop().time()
        for line in self._all.values():
            for place in line.values():
                place.seen_at = now
