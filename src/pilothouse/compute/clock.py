"""The clock and the randomness of a node.

The clock is set once, from the wall clock, and then runs on the machine's own time since boot, sleep included. So a
jump of the wall clock while the node runs neither fires a timer early nor expires a lease (I9); `drift` tells how far
the wall clock has gone from it, for `doctor` and the log. A restart follows the wall clock again.
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

    def now(self) -> int:
        return self._offset + time.clock_gettime_ns(_SOURCE) // 1000

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
