"""What the node asks of whoever brings messages: a folder, a broker.

Credit is given by asking: a source brings at most what was wanted, so no more is taken than can be worked off. Whatever
is not acknowledged comes again, here or at another node.
"""

from typing import Protocol

from pilothouse.domain.source import Message


class Incoming(Protocol):
    """One message that was taken and is not settled yet. It is settled once, by `ack`, `nack` or `dead_letter`."""

    @property
    def message(self) -> Message: ...

    async def ack(self) -> None:
        """Its run is durable: it need not come again."""
        ...

    async def nack(self, delay: float) -> None:
        """It is to come again, not before `delay` seconds where the source can wait."""
        ...

    async def extend(self) -> None:
        """It is still worked on: it must not come again yet."""
        ...

    async def dead_letter(self, reason: str) -> None:
        """It is kept as a dead letter here: it must not come again."""
        ...


class Source(Protocol):
    extend_every: float
    """Seconds after which a message that is still worked on must be extended."""

    async def want(self, count: int) -> list[Incoming]:
        """Up to `count` messages, in the order of the source, as soon as there is one; empty after a while without.
        Raises what is wrong with the connection; the next call connects again."""
        ...

    async def close(self) -> None:
        """Lets go; what was not settled comes again. A second call does nothing."""
        ...
