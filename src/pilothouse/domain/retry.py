"""When to try again: exponential backoff with full jitter, bounded in count and in time.

The formula is the one of the AWS Architecture Blog, "Exponential Backoff And Jitter" (2015): a delay drawn between
`(1 - jitter)` and 1 of `delay * factor ** (tries - 1)`, capped. The draw is passed in.
"""

from msgspec import Struct

ATTEMPTS_LIMIT = 1000


class Retry(Struct, frozen=True):
    """How often and how soon a failed step or run is tried again.

    `attempts` counts all tries, the first included. `delay`, `max_delay` are seconds. `jitter` is the share of the
    delay that is random (0: none, 1: anything down to zero). `on` names the exception types that are retried, as
    `module.Name` or bare names; empty means every `Exception`.
    """

    attempts: int = 3
    delay: float = 0.5
    factor: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.5
    on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= ATTEMPTS_LIMIT:
            raise ValueError(f"attempts is {self.attempts}; it goes from 1 to {ATTEMPTS_LIMIT}")
        if self.delay < 0 or self.max_delay < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError("delay and max_delay are at least 0, factor at least 1, jitter from 0 to 1")

    def covers(self, names: tuple[str, ...]) -> bool:
        """Whether an error is retried; `names` are the names of its type and of the types it derives from."""
        return not self.on or any(name in self.on for name in names)

    def delay_before(self, tries: int, draw: float) -> float | None:
        """Seconds to wait after `tries` failed tries, or None when there are none left. `draw` is uniform in [0, 1)."""
        if tries >= self.attempts:
            return None
        full = min(self.max_delay, self.delay * self.factor ** (tries - 1))
        return full * (1.0 - self.jitter * draw)
