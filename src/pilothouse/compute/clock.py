"""The clock and the randomness of a node.

The clock is set once, from the wall clock, and then runs on the machine's own time since boot, sleep included. So a
jump of the wall clock while the node runs neither fires a timer early nor expires a lease (I9); `drift` tells how far
the wall clock has gone from it, for `doctor` and the log. A restart follows the wall clock again. Nodes that share
records follow the clock of these instead, so that all of them mean the same by an instant.
"""

import os
import random
import time

from pilothouse.ports.clock import Clock, Entropy

POOL = 4096
_SOURCE = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock(Clock):
    def __init__(self) -> None:
        self._offset = time.time_ns() // 1000 - time.clock_gettime_ns(_SOURCE) // 1000

        self._floor = 0
        self._is_following = False

    def now(self) -> int:
        at = self._offset + time.clock_gettime_ns(_SOURCE) // 1000
        return at if at > self._floor else self._floor

    def follow(self, instant: int, asked_for: int) -> None:
        """It is `instant`, said somebody who was asked for `asked_for` microseconds. The first time it is set by
        that; later it goes forward to it, and stands still instead of going back. What is within the time of asking is
        left alone."""
        middle = instant + asked_for // 2
        off = middle - self.now()
        if self._is_following:
            if abs(off) <= asked_for:
                return
            self._floor = self.now()
        self._is_following = True
        self._offset += off

    def drift(self) -> int:
        """Microseconds that the wall clock is ahead of this one."""
        return time.time_ns() // 1000 - self.now()


class SystemEntropy(Entropy):
    """Random bytes of the system are fetched many at once: asking for eight costs as much as asking for a page."""

    def __init__(self) -> None:
        self._pool, self._at = b"", 0

    def bits(self) -> int:
        if self._at >= len(self._pool):
            self._pool, self._at = os.urandom(POOL), 0
        self._at += 8
        return int.from_bytes(self._pool[self._at - 8 : self._at])

    def draw(self) -> float:
        return random.random()
