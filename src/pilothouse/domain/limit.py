"""How much a minute: the generic cell rate algorithm (ITU-T I.371, "GCRA"), with a cost for each call.

One number for each limit, the theoretical arrival time: the instant at which everything admitted so far would have come
at exactly the rate. A call may come while that instant is at most the tolerance ahead. It needs no window and no
history, never admits a double burst at the edge of a window, and says exactly how long to wait.
"""

from msgspec import Struct

MINUTE = 60.0


class Limit(Struct, frozen=True):
    """`per_minute` units at a steady pace, and at most `burst` at once (None: those of a minute)."""

    per_minute: float
    burst: float | None = None

    @property
    def interval(self) -> float:
        """Seconds that one unit takes."""
        return MINUTE / self.per_minute

    @property
    def tolerance(self) -> float:
        """Seconds that the arrival time may be ahead: those of the burst."""
        return self.interval * (self.per_minute if self.burst is None else self.burst)


class LimitState(Struct, frozen=True):
    """Whether limits hold for all nodes together now, how often this node asked the store that holds them, and how
    often that came to nothing."""

    is_shared: bool
    draws: int
    failures: int


def wait_for(limit: Limit, arrival: float, now: float, cost: float) -> float:
    """Seconds until `cost` units may come; 0.0: now. What costs more than the whole burst may come when nothing else
    is owed, since it could never come otherwise."""
    ahead = max(arrival, now) + min(cost * limit.interval, limit.tolerance) - now
    return max(0.0, ahead - limit.tolerance)


def advance(limit: Limit, arrival: float, now: float, cost: float) -> float:
    """The arrival time once `cost` units were admitted. A negative cost gives back what was estimated too high, but
    never makes credit for more than a burst."""
    return max(max(arrival, now) + cost * limit.interval, now)
