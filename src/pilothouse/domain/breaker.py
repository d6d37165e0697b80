"""The circuit breaker of one model at one provider: when to stop asking what does not answer.

Closed, it counts failures in a row. At the limit it opens: nothing is sent until the pause is over. Then it is half
open: one call at a time goes through as a probe; its success closes the breaker, its failure opens it again, for twice
the pause, up to a bound. What the provider refuses for what it is (4xx) is no failure of the provider, and a 429 is a
wish to wait, not an outage.

          failures >= limit            pause is over
  closed ------------------> open ------------------> half_open
     ^                         ^       a probe failed     |
     |                         +--------------------------+
     +----------------------------------------------------+  a probe succeeded
"""

from typing import Literal

from msgspec import Struct

State = Literal["closed", "open", "half_open"]


class BreakerRule(Struct, frozen=True):
    """`failures` in a row open it; 0: never. `pause` seconds at first, doubling up to `pause_at_most`."""

    failures: int = 5
    pause: float = 10.0
    pause_at_most: float = 300.0


class Breaker(Struct):
    """Instants in seconds of one steady clock. `probe` is when the probe under way was let through; None: there is
    none."""

    failures: int = 0
    opened_at: float | None = None
    pause: float = 0.0
    probe: float | None = None

    def state(self, now: float) -> State:
        if self.opened_at is None:
            return "closed"
        return "open" if now < self.opened_at + self.pause else "half_open"

    def wait(self, now: float) -> float:
        """Seconds until a call may go through; 0.0: now."""
        if self.opened_at is None:
            return 0.0
        left = self.opened_at + self.pause - now
        if left > 0:
            return left
        if self.probe is None:
            return 0.0
        return max(0.0, self.probe + self.pause - now)

    def let_through(self, now: float) -> None:
        """A call goes. When the breaker is half open it is the probe; a probe that is never heard of again is replaced
        after another pause."""
        if self.opened_at is not None:
            self.probe = now

    def succeeded(self) -> None:
        self.failures, self.opened_at, self.pause, self.probe = 0, None, 0.0, None

    def failed(self, rule: BreakerRule, now: float) -> None:
        self.failures += 1
        if self.opened_at is not None:
            if self.probe is not None:  # late failures of calls from before do not prolong it
                self.opened_at, self.pause = now, min(self.pause * 2, rule.pause_at_most)
        elif rule.failures and self.failures >= rule.failures:
            self.opened_at, self.pause = now, rule.pause
        self.probe = None

    def told_open(self, rule: BreakerRule, now: float, pause: float, *, has_answered: bool) -> None:
        """Another node opened its breaker for `pause` seconds. Where the provider `has_answered` meanwhile, that may be
        the other node's own trouble: one failure opens this one then."""
        if self.opened_at is None and has_answered:
            self.failures = max(self.failures, rule.failures - 1)
        elif self.opened_at is None or self.opened_at + self.pause < now + pause:
            self.opened_at, self.pause, self.probe = now, pause, None

    def told_closed(self, now: float) -> None:
        """The probe of another node succeeded: the next call here is a probe, without waiting for the pause."""
        if self.opened_at is not None:
            self.opened_at, self.probe = min(self.opened_at, now - self.pause), None

    def dropped(self) -> None:
        """The call came to nothing that tells of the provider: it was cancelled, or never sent."""
        self.probe = None
