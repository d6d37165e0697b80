"""The records on SQLite: one file, one node, one writer.

`SqliteRecords` is the engine's conversation (`Records`) and the operator's (`Custody`) in one object; what it does is
hand over: Changes to the writer, once a tick; reads to the readers. Nothing is acknowledged before it is synced.
"""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, TypeVar

from pilothouse.domain.journal import StepRow
from pilothouse.ports.meter import CommitMeter
from pilothouse.ports.records import (
    Custody,
    Records,
)
from pilothouse.storage.records import backup
from pilothouse.storage.records.batch import Batch
from pilothouse.storage.records.intake import Intake
from pilothouse.storage.records.lock import FileLock
from pilothouse.storage.records.migrate import migrate, migrations, schema_version
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.place import FileConnection, Place, explained, refuse_old_library
from pilothouse.storage.records.reading import Reading
from pilothouse.storage.records.reads import ListSteps, Reads
from pilothouse.storage.records.writer import Writer

T = TypeVar("T")
DEFAULTS = SqliteOptions()


class SqliteRecords(Intake, Reading, Records, Custody):
    """`url`: `sqlite:///relative.db`, `sqlite:////absolute.db`, a path, or `:memory:`. `open` does all the work."""

    def __init__(self, url: str, loop: AbstractEventLoop | None = None, options: SqliteOptions = DEFAULTS) -> None:
        super().__init__(loop, options.waiting_limit)
        self._place = Place(url, options)
        self.meter: CommitMeter | None = None
        """Told of each transaction, on the writer's thread. Set before `open`."""
        self._lock = FileLock(self._place.path) if self._place.path else None
        self._version = 0
        self.found_version = 0
        """The schema that `open` found, before it migrated."""
        self._writer: Writer | None = None
        self._connection: FileConnection | None = None
        self._reads: Reads

    # --- custody ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._writer is not None:
            return
        self._loop = self._loop or asyncio.get_running_loop()
        self._writer = await asyncio.to_thread(self._take, self._loop)
        self._writer.start()

    def _take(self, loop: AbstractEventLoop) -> Writer:
        if self._lock is not None:
            self._lock.take()
        try:
            refuse_old_library()
            connection = self._connection = self._place.connect(writes=True)
            with explained(self._place.shown):
                self.found_version = schema_version(connection)
                migrate(connection, migrations())
                self._version = schema_version(connection)
            self._place.grow_wal()
            self._reads = Reads(self._place, loop)
            return Writer(self._place, connection, loop, self._wake, self.meter)
        except BaseException:
            self._let_go()
            raise

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if self._waiting:
            writer.put(self._waiting)
            self._waiting = []
        await asyncio.to_thread(writer.stop)
        # What the writer settled last is told by callbacks that it has put into the loop before it ended.
        await asyncio.sleep(0)
        await asyncio.to_thread(self._reads.stop)
        self._reads.close()  # in this thread, where the reads are that it could meet
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    async def backup(self, target: str, progress: Callable[[int, int], None]) -> None:
        loop = asyncio.get_running_loop()

        def tell(done: int, total: int) -> None:
            loop.call_soon_threadsafe(progress, done, total)

        await asyncio.to_thread(backup.backup, self._place, target, tell)

    async def migrate(self, *, has_post: bool) -> None:
        """`open` has done it: a file has one node, and nobody of another release beside it."""

    async def now(self) -> int | None:
        """None: a file has no clock, and its node none to agree with."""
        return None

    def schema_version(self) -> int:
        return self._version

    @property
    def _is_open(self) -> bool:
        return self._writer is not None

    def _write(self, batch: Batch) -> None:
        assert self._writer is not None
        self._writer.put(batch)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _read_few(self, read: Callable[..., T], *values: Any) -> T:
        return self._reads.now(read, *values)

    async def _read_many(self, read: Callable[..., T], *values: Any) -> T:
        return await self._reads.aside(read, *values)

    async def _read_rows(self, limit: int, read: Callable[..., T], *values: Any) -> T:
        return await self._reads.rows(limit, read, *values)

    async def _read_journal(self, list_steps: ListSteps, tenant: str, run: str) -> list[StepRow]:
        return await self._reads.journal(list_steps, tenant, run)
