"""What carries messages between the nodes of one installation: a channel that everybody sends to and hears.

It may lose, repeat, delay or reorder anything. The bus puts its messages into it and needs no more.
"""

from collections.abc import Callable
from typing import Protocol

Hear = Callable[[bytes], None]
"""Called on the loop; also with what this node itself has sent."""


class Carrier(Protocol):
    limit: int
    """Bytes of one message; the sender keeps within it."""

    async def start(self, hear: Hear) -> None:
        """Connects and goes on trying; returns without having reached anything."""
        ...

    def send(self, message: bytes) -> None:
        """Never blocks and never raises."""
        ...

    async def stop(self) -> None:
        """A second call does nothing."""
        ...
