"""A clock and a source of chance that a test holds in its hand.

The clock begins at a random instant, so that code which mixes it up with the machine's clock is far off at once and
not by a few milliseconds in one test of a thousand. It stands still until it is moved, and never goes back.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from pilothouse.ports.clock import Clock, Entropy

YEAR = 365 * 86_400 * 1_000_000
FIRST, LAST = 31 * YEAR, 131 * YEAR
"""Between 2001 and 2101."""


def span_of(span: timedelta | float = 0.0, **units: float) -> int:
    """Microseconds of a span: a `timedelta`, seconds, or in units of `timedelta`. Raises `ValueError` for a negative
    one: time does not go back."""
    whole = span if isinstance(span, timedelta) else timedelta(seconds=span)
    whole += timedelta(**units)
    if whole < timedelta(0):
        raise ValueError(f"{whole} is negative, and time does not go back")
    return round(whole / timedelta(microseconds=1))


class ManualClock(Clock):
    """`start`: microseconds since 1970 UTC; a random instant when left out."""

    def __init__(self, start: int | None = None) -> None:
        self._now = random.SystemRandom().randrange(FIRST, LAST) if start is None else start
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def __repr__(self) -> str:
        return f"ManualClock(start={self._now})"

    def now(self) -> int:
        return self._now

    @property
    def at(self) -> datetime:
        """The same for people."""
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self._now)

    def advance(self, span: timedelta | float = 0.0, **units: float) -> None:
        """Moves on by a span, seconds or `hours=3`. Who sleeps on this clock until then wakes with the next turn of the
        loop."""
        self.advance_to(self._now + span_of(span, **units))

    def advance_to(self, at: int) -> None:
        """Moves on to an instant; nothing happens when it has passed."""
        self._now = max(self._now, at)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, sleeper = heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)

    @property
    def next_waking(self) -> int | None:
        """When the first of those who sleep on this clock wakes."""
        while self._sleepers and self._sleepers[0][2].done():
            heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def sleep(self, seconds: float) -> None:
        """Until the clock has been moved so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self._now + span_of(seconds), next(self._numbers), sleeper))
        await sleeper


class ManualEntropy(Entropy):
    """Chance that comes out the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def bits(self) -> int:
        return self._random.getrandbits(64)

    def draw(self) -> float:
        return self._random.random()
