"""Reads that need blobs: made, and made again once the blobs are here.

The reads of both databases are synchronous; what they find moved away they note (`payload.Fetched`). So a read of what
is in the database costs one look at a context variable, and one of what is not costs as many rounds as it finds new
blobs, which is one. Each content is compared with its digest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, TypeVar

from pilothouse.errors import RecordsInvalid
from pilothouse.ports.blobs import Blobs
from pilothouse.storage.records.payload import Fetched, digest_of, here

T = TypeVar("T")

AT_ONCE = 16
ROUNDS = 4


def with_blobs(read: Callable[..., T], fetched: Fetched) -> Callable[..., T]:
    """The read, in whatever thread it runs, with what was fetched for it."""

    def reading(*values: Any) -> T:
        context = copy_context()
        context.run(here.set, fetched)
        return context.run(read, *values)

    return reading


async def fetching(blobs: Blobs, act: Callable[[Fetched], Awaitable[T]]) -> T:
    """Raises `RecordsInvalid` when a blob is not what was written, `RecordsUnavailable` when it cannot be reached."""
    fetched = Fetched()
    missing: dict[str, bytes] = {}
    for _ in range(ROUNDS):
        found = await act(fetched)
        missing, fetched.missing = fetched.missing, {}
        if not missing:
            return found
        places = asyncio.Semaphore(AT_ONCE)
        fetches = (_fetch(blobs, places, fetched, name, digest) for name, digest in missing.items())
        for failed in await asyncio.gather(*fetches, return_exceptions=True):
            if failed is not None:
                raise failed
    raise RecordsInvalid(
        reason=f"the blob {min(missing)} is missing", hint="Restore it from a copy of the blobs; nothing else is lost."
    )


async def _fetch(blobs: Blobs, places: asyncio.Semaphore, fetched: Fetched, name: str, digest: bytes) -> None:
    async with places:
        content = await blobs.get(name)
    if content is None:
        return  # its row may have gone, or come back, since it was read: the next round sees
    if digest_of(content) != digest:
        raise RecordsInvalid(
            reason=f"the blob {name} is not what was written", hint="Restore it from a copy of the blobs."
        )
    fetched.contents[name] = content
