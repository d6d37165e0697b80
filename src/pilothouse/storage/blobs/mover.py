"""Moves long payloads of runs that have ended out of the database, and removes blobs that nobody needs any more.

Order of a move: the blob is durable under a name of its own, then the records name it, in a transaction that looks
again whether the payload is idle. What dies in between leaves a blob that nothing names. Names are never used again, so
removing what the records do not name, a day after it was written, can meet no writer: whoever wrote it has long named
another one or given up.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from random import random
from time import time_ns
from typing import Protocol
from urllib.parse import quote, unquote

from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.blobs import Blobs
from pilothouse.storage.records.moving import Idle

EVERY = 60.0
BATCH = 4
"""Payloads that are moved at once: each is in memory meanwhile."""
IDLE_FOR = 3600 * 1_000_000
"""Microseconds since the end of the last run that uses it: a run that ended just now is looked at most."""
GRACE = 24 * 3600.0
"""Seconds for which a blob that nothing names may be about to be named. By the earlier of two clocks, that of the node
and the wall: a wall clock that has jumped ahead must not make everything old, and a folder dates its files by it."""
SWEEP_EVERY = 3600.0
SWEEP = 500


class MovingRecords(Protocol):
    async def idle_payloads(self, after: int, before: int, size: int, limit: int) -> list[Idle]: ...

    async def mark_moved(self, moved: Sequence[tuple[Idle, str]]) -> int: ...

    async def blob_of(self, tenant: str, digest: bytes) -> str | None: ...


class Mover:
    """`size`: bytes from which on a payload is moved. `now` gives microseconds. `start`, then `stop`."""

    def __init__(
        self, records: MovingRecords, blobs: Blobs, size: int, now: Callable[[], int], say: Callable[[str], None]
    ) -> None:
        self._records, self._blobs, self._size, self._now, self._say = records, blobs, size, now, say
        self._after = 0
        self._swept = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work(), name="mover")

    async def stop(self) -> None:
        """A second call does nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def move_round(self) -> int:
        """Moves a bounded number; returns how many were looked at, 0: all that is idle has been moved."""
        began_at = self._now()
        found = await self._records.idle_payloads(self._after, began_at - IDLE_FOR, self._size, BATCH)
        moved: list[tuple[Idle, str]] = []

        async def put(idle: Idle) -> None:
            name = f"{quote(idle.tenant, safe='')}/{idle.digest.hex()}-{secrets.token_hex(8)}"
            await self._blobs.put(name, idle.content)
            moved.append((idle, name))

        try:
            await asyncio.gather(*(put(idle) for idle in found))
        finally:
            if moved and self._now() - began_at < IDLE_FOR:  # or what was written may be swept before it is named
                await self._records.mark_moved(moved)
        self._after = found[-1].pos if found else 0
        return len(found)

    async def sweep_round(self) -> int:
        """Removes what nothing names, a bounded number at once; returns how many names were looked at."""
        before = min(self._now(), time_ns() // 1000) - round(GRACE * 1e6)
        names = await self._blobs.list_old(before, self._swept, SWEEP)
        nobodys = [name for name in names if not await self._is_named(name)]
        await self._blobs.delete(nobodys)
        self._swept = names[-1] if len(names) == SWEEP else ""
        return len(names)

    async def _is_named(self, name: str) -> bool:
        """What does not look like a name of ours is left alone."""
        tenant, _, rest = name.rpartition("/")
        digest, dash, _ = rest.partition("-")
        try:
            wanted = bytes.fromhex(digest)
        except ValueError:
            return True
        if not tenant or not dash or len(wanted) != 32:
            return True
        return await self._records.blob_of(unquote(tenant), wanted) == name

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        swept_at = loop.time()
        while True:
            await asyncio.sleep(EVERY * (0.5 + random()))  # nodes do not move the same ones at one moment
            try:
                while await self.move_round():
                    pass
                if loop.time() - swept_at >= SWEEP_EVERY:
                    swept_at = loop.time()
                    while await self.sweep_round() == SWEEP:
                        pass
            except RecordsUnavailable as error:
                self._say(f"long payloads stay in the database for now: {error}")
            except Exception as error:
                self._say(f"long payloads could not be moved: {error!r}")
