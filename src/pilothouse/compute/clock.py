"""The clock and the randomness of a node.

The clock is set once, from the wall clock, and then runs on the machine's own time since boot, sleep included. So a
jump of the wall clock while the node runs neither fires a timer early nor expires a lease (I9); `drift` tells how far
the wall clock has gone from it, for `doctor` and the log. A restart follows the wall clock again.
"""

import random
import secrets
import time

from pilothouse.ports.clock import Clock, Entropy

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
    def bits(self) -> int:
        return secrets.randbits(64)

    def draw(self) -> float:
        return random.random()
