"""Blobs: long payloads of runs that have ended, outside of the database: a folder, or an object store.

A blob is written once under a name that is never used again, so nobody can be in each other's way: the records say
which name counts, and what they do not name is nobody's.
"""

from collections.abc import Sequence
from typing import Protocol


class Blobs(Protocol):
    """All raise `RecordsUnavailable`."""

    async def put(self, name: str, content: bytes) -> None:
        """Durable once it returns. Raises `FileExistsError` when the name was used."""
        ...

    async def get(self, name: str) -> bytes | None:
        """None: there is no such blob."""
        ...

    async def list_old(self, before: int, after: str, limit: int) -> list[str]:
        """Names of blobs that were written before (microseconds since 1970 UTC), in order, behind a name."""
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """What is not there is no fault."""
        ...
