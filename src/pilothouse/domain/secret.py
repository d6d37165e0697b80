"""A secret and where it may go.

Everybody but the border of a host, and the node that read it, holds its handle and never the value.
"""

from msgspec import Struct

from pilothouse.domain.egress import HostRule

HANDLE = "secret://"
"""What a handle begins with; the name follows."""


class Secret(Struct, frozen=True, array_like=True):
    """`hosts`: where the value may go, and nowhere else."""

    name: str
    value: str
    hosts: tuple[HostRule, ...] = ()

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"
