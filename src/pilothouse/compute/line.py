"""Callers who wait for a place of one agent: tenants take turns, and within one tenant who came first goes first.

A tenant with a thousand callers in line delays another one's first caller by one place and not by a thousand. The line
is bounded, and what is bounded is shared by the rule of `domain.share`.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from pilothouse.domain.share import Shares

LINE_LIMIT = 4096
"""Callers that may wait for a place of one agent; more are refused at once."""

Place = asyncio.Future[None]


class Line:
    def __init__(self, share: float) -> None:
        self._turns: dict[str, deque[Place]] = {}
        """In the order of their turns."""
        self._shares = Shares(share)

    def __len__(self) -> int:
        return sum(self._shares.held.values())

    def join(self, tenant: str) -> Place | None:
        """A place that is not given yet; None: the line is too long for this tenant."""
        self._shares.meet(tenant)
        if not self._shares.may_take(tenant, LINE_LIMIT - len(self), LINE_LIMIT):
            return None
        place: Place = asyncio.get_running_loop().create_future()
        self._turns.setdefault(tenant, deque()).append(place)
        self._shares.take(tenant)
        return place

    def leave(self, tenant: str, place: Place) -> None:
        waiting = self._turns[tenant]
        waiting.remove(place)
        self._left(tenant, waiting)

    def call(self, may: Callable[[str], bool]) -> tuple[str, Place] | None:
        """The next in turn of a tenant that may have a place now; it stands behind the others then."""
        for tenant, waiting in self._turns.items():
            if may(tenant):
                place = waiting.popleft()
                del self._turns[tenant]
                self._turns[tenant] = waiting
                self._left(tenant, waiting)
                return tenant, place
        return None

    def _left(self, tenant: str, waiting: deque[Place]) -> None:
        self._shares.give(tenant)
        if not waiting:
            del self._turns[tenant]
