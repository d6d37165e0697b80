"""The connections of a node to PostgreSQL: one that writes, a few that read, and what becomes of them when one is lost.

The writing one has a row in `lane` with the number of its last batch. After a lost connection the row is read under its
lock, which waits until the server has ended what the lost connection had begun, and is raised, so that anything of it
which is still on its way finds another number and is given up.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from time import monotonic, time
from typing import Any, TypeVar

import asyncpg

from pilothouse.errors import RecordsInvalid, RecordsUnavailable
from pilothouse.storage.records.postgres.connection import LOST, PostgresConnection, connect, is_lost
from pilothouse.storage.records.postgres.options import PostgresOptions

T = TypeVar("T")
Mark = tuple[int, int, str, int]
"""Of a transaction: its number, the time, the lane, the number before."""
PAUSE = 0.05
PAUSE_AT_MOST = 1.0
READ_TRIES = 2


class Link:
    """`open` before anything else."""

    def __init__(self, url: str, options: PostgresOptions) -> None:
        self._url, self._options = url, options
        self._writing: PostgresConnection | None = None
        self._idle: list[PostgresConnection] = []
        self._places = asyncio.Semaphore(options.readers)
        self._owner = secrets.token_hex(12)
        self._mark = 0
        self._has_row = False
        self._found = self._raised_to = -1
        """What the row said, and what it was raised to by a transaction of which the end is not known."""

    @property
    def next_mark(self) -> int:
        return self._mark + 1

    def marks(self) -> Mark:
        """What the next transaction writes into the lane's row: its number, the time, the lane, the number before."""
        return self._mark + 1, round(time() * 1e6), self._owner, self._mark

    def raise_mark(self) -> None:
        """After a commit."""
        self._mark += 1

    async def writing(self, within: float) -> PostgresConnection:
        """The connection of the lane. Raises `RecordsUnavailable` when there is none within so many seconds."""
        if self._writing is None or self._writing.is_closed:
            await self.find_mark(within)
        assert self._writing is not None
        return self._writing

    async def find_mark(self, within: float) -> int:
        """Connects anew. The number of the last transaction of this lane that was committed; none that is older than
        this call is committed after it."""
        if self._writing is not None:
            self._writing.terminate()
            self._writing = None
        until = monotonic() + within
        pause = PAUSE
        while True:
            try:
                connection = await connect(self._url, self._options)
            except (*LOST, asyncpg.PostgresError, RecordsInvalid) as error:
                fault: Exception = error
            else:
                try:
                    answer = await connection.run(self._take_row, connection)
                except (*LOST, asyncpg.PostgresError) as error:
                    connection.terminate()
                    fault = error
                else:
                    self._writing = connection
                    return answer
            if monotonic() + pause > until:
                raise RecordsUnavailable from fault
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_AT_MOST)

    def _take_row(self, connection: PostgresConnection) -> int:
        connection.execute("begin")
        rows = connection.ask("read_mark", {"owner": self._owner}) if self._has_row else []
        found = rows[0][0] if rows else self._mark
        if found != self._raised_to:
            self._found = found
        mark = self._raised_to = max(found, self._mark) + 2
        at = round(time() * 1e6)
        if rows:
            connection.ask("mark_batch", {"batch": mark, "at": at, "owner": self._owner, "before": found})
        else:
            self._owner = secrets.token_hex(12)
            connection.ask("open_lane", {"owner": self._owner, "batch": mark, "at": at})
        connection.execute("commit")
        self._has_row, self._mark = True, mark
        return self._found

    # --- reading ------------------------------------------------------------------------------------------------------

    async def read(self, read: Callable[..., T], *values: Any) -> T:
        """Raises `RecordsUnavailable`, also when all places are taken for long: a network that swallows everything
        holds each of them for seconds. A read that lost its connection is asked once more."""
        await self._wait_place()
        try:
            return await self._read(read, *values)
        finally:
            self._places.release()

    async def _wait_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self._options.answer_within):
                await self._places.acquire()
        except TimeoutError as fault:
            raise RecordsUnavailable from fault

    async def _read(self, read: Callable[..., T], *values: Any) -> T:
        for turn in range(READ_TRIES):
            connection = None
            try:
                connection = self._idle.pop() if self._idle else await connect(self._url, self._options)
                answer = await connection.run(self._snapshot, connection, read, *values)
            except Exception as error:
                if connection is not None:
                    connection.terminate()
                if not is_lost(error):
                    raise
                for one in self._idle:  # They are of the same age: what ended one has mostly ended all.
                    one.terminate()
                self._idle.clear()
                if turn + 1 == READ_TRIES:
                    raise RecordsUnavailable from error
            except BaseException:
                if connection is not None:
                    connection.terminate()
                raise
            else:
                self._idle.append(connection)
                return answer
        raise AssertionError("unreachable")

    def _snapshot(self, connection: PostgresConnection, read: Callable[..., T], *values: Any) -> T:
        if not self._options.is_pooled:
            return read(connection, *values)
        connection.execute("begin")  # A pool gives out one connection for a transaction, and no longer.
        answer = read(connection, *values)
        connection.execute("commit")
        return answer

    def _close_lane(self, connection: PostgresConnection) -> None:
        connection.ask("close_lane", {"owner": self._owner})

    async def close(self) -> None:
        if self._writing is not None and not self._writing.is_closed:
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                await self._writing.run(self._snapshot, self._writing, self._close_lane)
            await self._writing.close()
        self._writing = None
        while self._idle:
            await self._idle.pop().close()
