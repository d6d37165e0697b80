"""Who may take one of a number of places, so that one tenant's flood leaves room for the others.

The last places are kept for tenants that hold less than their equal share: a flood fills all places but those, and
whoever comes beside it finds one at once instead of waiting for the end of somebody's run. As long as only one tenant
was ever seen nothing is kept, so an installation for one tenant loses no place.
"""

from math import ceil

ROUNDING = 1e-9


class Shares:
    """Counts who holds how many of some places. `share` (0 to 1) of them may be taken by whoever comes first."""

    __slots__ = ("_first", "has_several", "held", "share")

    def __init__(self, share: float) -> None:
        self.share = share
        self.held: dict[str, int] = {}
        """Tenants that hold none are not in it."""
        self.has_several = False
        """More than one tenant was seen."""
        self._first: str | None = None

    def meet(self, tenant: str) -> None:
        if tenant != self._first:
            if self._first is None:
                self._first = tenant
            else:
                self.has_several = True

    def take(self, tenant: str) -> None:
        self.meet(tenant)
        self.held[tenant] = self.held.get(tenant, 0) + 1

    def give(self, tenant: str) -> None:
        left = self.held[tenant] - 1
        if left:
            self.held[tenant] = left
        else:
            del self.held[tenant]

    def kept(self, places: int) -> int:
        """How many of all places are kept for tenants that hold few."""
        return places - ceil(places * self.share - ROUNDING) if self.has_several else 0

    def room(self, tenant: str, places: int) -> int:
        """How many of the kept places the tenant may still take: up to an equal share of all places among those that
        hold some, this one, and one more who may come."""
        holds = self.held.get(tenant, 0)
        others = len(self.held) - (holds > 0)
        return max(0, places // (others + 2) - holds)

    def may_take(self, tenant: str, free: int, places: int) -> bool:
        """Of `places`, `free` are not taken."""
        return free > 0 and (free > self.kept(places) or self.room(tenant, places) > 0)
