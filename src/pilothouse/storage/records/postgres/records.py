"""The records on PostgreSQL: one database, many nodes, one writing lane in each.

`PostgresRecords` is the engine's conversation (`Records`) and the operator's (`Custody`) in one object, like
`SqliteRecords`; what is done with what it is handed is the same code. Nodes on the same database need nothing of each
other: every decision is made under the locks of a transaction.
"""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import asyncpg

from pilothouse.domain.journal import StepRow
from pilothouse.domain.retention import Retention
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session
from pilothouse.errors import RecordsInvalid, RecordsUnavailable
from pilothouse.ports.meter import CommitMeter
from pilothouse.ports.records import Claim, Custody, Pruned, Records
from pilothouse.storage.records import reads
from pilothouse.storage.records.batch import Batch
from pilothouse.storage.records.intake import Intake, settle
from pilothouse.storage.records.postgres.claims import Claiming
from pilothouse.storage.records.postgres.connection import LOST
from pilothouse.storage.records.postgres.lane import Lane
from pilothouse.storage.records.postgres.link import Link
from pilothouse.storage.records.postgres.migrate import bring_forward
from pilothouse.storage.records.postgres.options import PostgresOptions
from pilothouse.storage.records.postgres.together import Together, get_runs, get_sessions, list_live_turns
from pilothouse.storage.records.reading import Reading
from pilothouse.storage.records.reads import ListSteps

T = TypeVar("T")
DEFAULTS = PostgresOptions()
LANE_FORGOTTEN = 31 * 86_400_000_000


class PostgresRecords(Intake, Reading, Records, Custody):
    """`url`: `postgresql://user:password@host:port/database`; several hosts are tried in turn
    (`host1,host2?target_session_attrs=read-write`). `open` does all the work."""

    def __init__(self, url: str, loop: AbstractEventLoop | None = None, options: PostgresOptions = DEFAULTS) -> None:
        super().__init__(loop, options.waiting_limit)
        self._url, self._options = url, options
        self.meter: CommitMeter | None = None
        """Told of each transaction. Set before `open`."""
        self._lane: Lane | None = None
        self._link: Link
        self._runs: Together
        self._sessions: Together
        self._live_turns: Together
        self._version = 0
        self.found_version = 0
        """The schema that `open` found, before it migrated."""

    # --- custody ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Raises `RecordsInvalid` when the server cannot be reached, or refuses."""
        if self._lane is not None:
            return
        self._loop = self._loop or asyncio.get_running_loop()
        await self.migrate(has_post=False)
        self._link = Link(self._url, self._options)
        await self._link.writing(self._options.connect_within)
        self._lane = Lane(self._link, self._options, self._wake, self.meter)
        self._runs = Together(self._link, get_runs)
        self._sessions = Together(self._link, get_sessions)
        self._live_turns = Together(self._link, list_live_turns)

    async def migrate(self, *, has_post: bool) -> None:
        """Brings the layout forward. `has_post`: no node of the release before runs any more."""
        try:
            found = await bring_forward(self._url, self._options, has_post=has_post)
        except (*LOST, asyncpg.PostgresError) as error:
            raise unreachable(error) from error
        self.found_version, self._version = found

    async def close(self) -> None:
        lane, self._lane = self._lane, None
        if lane is None:
            return
        if self._waiting:
            lane.put(self._waiting)
            self._waiting = []
        await lane.stop()
        await self._link.close()

    async def backup(self, target: str, progress: Callable[[int, int], None]) -> None:
        raise RecordsInvalid(
            reason="those on PostgreSQL are copied by its own tools",
            hint="pg_dump --format=custom copies them while nodes run; to go back to any instant, archive the WAL.",
        )

    def schema_version(self) -> int:
        return self._version

    async def now(self) -> int | None:
        """The clock of the database, which all nodes share; microseconds since 1970 UTC."""
        return await self._few(lambda connection: int(connection.ask("now", {})[0][0]))

    # --- writing ------------------------------------------------------------------------------------------------------

    @property
    def _is_open(self) -> bool:
        return self._lane is not None

    def _write(self, batch: Batch) -> None:
        assert self._lane is not None
        self._lane.put(batch)

    def claim(self, claim: Claim) -> Awaitable[list[Run]]:
        if self._lane is None:
            raise RecordsUnavailable
        future: Future[list[Run]] = self._running_loop().create_future()
        self._put(Claiming(partial(self._lane.claims.claim, claim=claim), partial(settle, future)))
        return future

    async def prune(self, retention: Retention, limit: int, after: int = 0) -> Pruned:
        """Also of lanes whose node was killed long ago."""
        if not after:
            await self._do(lambda connection: connection.ask("sweep_lanes", {"before": retention.at - LANE_FORGOTTEN}))
        return await super().prune(retention, limit, after)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def get_run(self, tenant: str, run: str) -> Run | None:
        if self.blobs is not None:  # a payload may be elsewhere, for which its reader alone should wait
            return await super().get_run(tenant, run)
        found: Run | None = await self._runs.ask(tenant, run)
        return found

    async def get_session(self, tenant: str, agent: str, key: str) -> Session | None:
        if self.blobs is not None:
            return await super().get_session(tenant, agent, key)
        found: Session | None = await self._sessions.ask(tenant, agent, key)
        return found

    async def list_live_turns(self, tenant: str, agent: str, key: str) -> list[Run]:
        if self.blobs is not None:
            return await super().list_live_turns(tenant, agent, key)
        found: list[Run] = await self._live_turns.ask(tenant, agent, key)
        return found

    async def _read_few(self, read: Callable[..., T], *values: Any) -> T:
        return await self._link.read(read, *values)

    async def _read_many(self, read: Callable[..., T], *values: Any) -> T:
        return await self._link.read(read, *values)

    async def _read_rows(self, limit: int, read: Callable[..., T], *values: Any) -> T:
        return await self._link.read(read, *values, min(limit, reads.ROWS_LIMIT))

    async def _read_journal(self, list_steps: ListSteps, tenant: str, run: str) -> list[StepRow]:
        found: list[tuple[int, StepRow]] = []
        after = 0
        while True:
            page = await self._link.read(list_steps, tenant, run, after, reads.ROWS_LIMIT)
            found += page
            if len(page) < reads.ROWS_LIMIT:
                return [row for _, row in found]
            after = page[-1][0]


def unreachable(error: BaseException) -> RecordsInvalid:
    says = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RecordsInvalid(
        reason=f"PostgreSQL does not serve them: {says}",
        hint="Look at records.url, and whether the server runs and can be reached from here.",
    )
