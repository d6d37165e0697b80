"""Reads of one row that many callers want at once, asked together: what is group commit for writes.

A gateway reads a run for each caller that waits for it, a worker the session of each turn. While one such read is on
its way the next ones gather, and leave as one statement. Each caller sees everything that was committed before it
asked, since its statement begins after that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pilothouse.domain.run import Run
from pilothouse.domain.session import Session
from pilothouse.storage.records.postgres.connection import PostgresConnection
from pilothouse.storage.records.postgres.link import Link
from pilothouse.storage.records.rows import run_of, session_of

Key = tuple[Any, ...]
AT_ONCE = 256
"""Keys of one statement."""
UNDER_WAY = 2
"""Statements of one kind that are asked at the same time: the next one is there when the first comes back."""


class Together:
    """`read(connection, keys)` gives an answer for each key, in their order."""

    def __init__(self, link: Link, read: Callable[[PostgresConnection, Sequence[Key]], list[Any]]) -> None:
        self._link, self._read = link, read
        self._waiting: list[tuple[Key, asyncio.Future[Any]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    def ask(self, *key: Any) -> Awaitable[Any]:
        loop = asyncio.get_running_loop()
        if not self._waiting and len(self._under_way) < UNDER_WAY:
            loop.call_soon(self._leave)
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((key, future))
        return future

    def _leave(self) -> None:
        asked, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        if asked:
            task = asyncio.get_running_loop().create_task(self._ask(asked), name="records-read")
            self._under_way.add(task)
            task.add_done_callback(self._came)

    def _came(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting:
            self._leave()

    async def _ask(self, asked: list[tuple[Key, asyncio.Future[Any]]]) -> None:
        try:
            found = await self._link.read(self._read, [key for key, _ in asked])
        except Exception as fault:
            for _, future in asked:
                if not future.done():
                    future.set_exception(fault)
        else:
            for (_, future), answer in zip(asked, found, strict=True):
                if not future.done():
                    future.set_result(answer)


def get_runs(connection: PostgresConnection, keys: Sequence[Key]) -> list[Run | None]:
    """By tenant and id."""
    found: list[Run | None] = [None] * len(keys)
    for place, *row in connection.many("get_runs", _numbered(keys)):
        found[place] = run_of(connection, row)
    return found


def get_sessions(connection: PostgresConnection, keys: Sequence[Key]) -> list[Session | None]:
    """By tenant, agent and key."""
    found: list[Session | None] = [None] * len(keys)
    for place, *row in connection.many("get_sessions", _numbered(keys)):
        found[place] = session_of(connection, row)
    return found


def list_live_turns(connection: PostgresConnection, keys: Sequence[Key]) -> list[list[Run]]:
    """Of the session with this tenant, agent and key, oldest first."""
    found: list[list[Run]] = [[] for _ in keys]
    for place, *row in connection.many("live_turns_of_sessions", _numbered(keys)):
        found[place].append(run_of(connection, row))
    return found


def _numbered(keys: Sequence[Key]) -> list[tuple[Any, ...]]:
    return [(number, *key) for number, key in enumerate(keys)]
