"""What the rooms that talk to callers ask of `security`: who is this?

One question, asked once for each request and answered without waiting.
"""

from typing import Protocol

from pilothouse.domain.principal import Principal


class Door(Protocol):
    @property
    def is_open(self) -> bool:
        """There are no keys: whoever reaches this machine is let in as `LOCAL`."""
        ...

    def admit(self, authorization: bytes | None) -> Principal:
        """Whose request this is. Raises `Unauthenticated`."""
        ...
