"""What the engine asks of the outside that has no memory: the time and randomness.

Pure code is given instants and seeds as values; only verbs and loops ask for them, and only here. A test holds both
in its hand.
"""

from typing import Protocol


class Clock(Protocol):
    """One clock for a node. It never goes back, and it does not follow a jump of the wall clock while the node runs,
    so that a jump can neither fire a timer early nor expire a lease (I9)."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        ...


class Entropy(Protocol):
    def bits(self) -> int:
        """64 random bits, for ids: unguessable."""
        ...

    def draw(self) -> float:
        """Uniform in [0, 1), for jitter and sampling."""
        ...
