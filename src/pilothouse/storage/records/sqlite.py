"""The records on SQLite: one file, one node, one writer.

`SqliteRecords` is the engine's conversation (`Records`) and the operator's (`Custody`) in one object; what it does is
hand over: Changes to the writer, once a tick; reads to the readers. Nothing is acknowledged before it is synced.
"""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pilothouse.domain.delivery import Delivery
from pilothouse.domain.event import Segment
from pilothouse.domain.evidence import AuditSegment
from pilothouse.domain.journal import StepRow
from pilothouse.domain.overview import RunFact
from pilothouse.domain.review import Review
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session, Trail, Turn
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import Change, Receipt
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.ports.meter import CommitMeter
from pilothouse.ports.records import (
    Claim,
    Custody,
    Document,
    Done,
    Idempotency,
    Listener,
    OpenReviews,
    Page,
    Queue,
    Records,
    RunFilter,
)
from pilothouse.storage.records import backup, deliveries, queue, reads
from pilothouse.storage.records.lock import FileLock
from pilothouse.storage.records.migrate import migrate, migrations, schema_version
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.place import FileConnection, Place, explained, refuse_old_library
from pilothouse.storage.records.reads import Reads
from pilothouse.storage.records.statements import Database
from pilothouse.storage.records.ticket import Outcome, Ticket
from pilothouse.storage.records.writer import Batch, Item, Job, Writer

DEFAULTS = SqliteOptions()


class SqliteRecords(Records, Custody):
    """`url`: `sqlite:///relative.db`, `sqlite:////absolute.db`, a path, or `:memory:`. `open` does all the work."""

    def __init__(self, url: str, loop: AbstractEventLoop | None = None, options: SqliteOptions = DEFAULTS) -> None:
        self._place = Place(url, options)
        self.meter: CommitMeter | None = None
        """Told of each transaction, on the writer's thread. Set before `open`."""
        self._loop = loop
        self._lock = FileLock(self._place.path) if self._place.path else None
        self._listeners: list[Listener] = []
        self._waiting: Batch = []
        self._unsettled = 0
        self._limit = options.waiting_limit
        self._claims = queue.Claims()
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
        await asyncio.to_thread(self._reads.close)
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

    def schema_version(self) -> int:
        return self._version

    # --- writing ------------------------------------------------------------------------------------------------------

    def submit(self, change: Change, done: Done) -> None:
        self._put(Ticket(change, done))

    def commit(self, change: Change) -> Awaitable[Receipt]:
        future: Future[Receipt] = self._running_loop().create_future()
        self._put(Ticket(change, partial(settle, future)))
        return future

    def claim(self, claim: Claim) -> Awaitable[list[Run]]:
        return self._do(partial(self._claims.claim, claim=claim))

    def renew_leases(self, owner: str, at: int, until: int) -> Awaitable[int]:
        return self._do(partial(queue.renew_leases, owner=owner, at=at, until=until))

    def wake_due(self, at: int, limit: int) -> Awaitable[int]:
        return self._do(partial(queue.wake_due, at=at, limit=limit))

    async def prune(self, ended_before: int, limit: int) -> int:
        count: int = await self._do(partial(queue.prune, ended_before=ended_before, limit=limit))
        return count

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def _do(self, work: Callable[[Database], Any]) -> Future[Any]:
        future: Future[Any] = self._running_loop().create_future()
        self._put(Job(work, partial(settle, future)))
        return future

    def _running_loop(self) -> AbstractEventLoop:
        if self._loop is None:
            raise RecordsUnavailable
        return self._loop

    def _put(self, item: Item) -> None:
        """One hand-over for each tick of the loop."""
        if self._writer is None or self._unsettled >= self._limit:
            self._running_loop().call_soon(item.done, RecordsUnavailable())
            return
        self._unsettled += 1
        if not self._waiting:
            self._running_loop().call_soon(self._hand_over)
        self._waiting.append(item)

    def _hand_over(self) -> None:
        if self._waiting and self._writer is not None:
            self._writer.put(self._waiting)
            self._waiting = []

    def _wake(self, batch: Batch) -> None:
        """For each Change, in order: first its events to the listeners, then its caller."""
        self._unsettled -= len(batch)
        listeners = self._listeners
        for item in batch:
            try:
                for segment in item.segments:
                    for listener in listeners:
                        listener(*segment)
                item.done(item.outcome)
            except Exception as error:  # One caller's fault must not keep the answer from the others.
                context = {"message": "a caller of the records raised", "exception": error}
                self._running_loop().call_exception_handler(context)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def get_run(self, tenant: str, run: str) -> Run | None:
        return self._reads.now(reads.get_run, tenant, run)

    async def list_runs(self, tenant: str, where: RunFilter, cursor: str | None, limit: int) -> Page:
        return await self._reads.aside(reads.list_runs, tenant, where, cursor, limit)

    async def list_live_children(self, tenant: str, parent: str) -> list[str]:
        return self._reads.now(reads.list_live_children, tenant, parent)

    async def list_expired(self, at: int, limit: int) -> list[Run]:
        return await self._reads.rows(limit, reads.list_expired, at)

    async def list_owned(self, owner_other_than: str, limit: int) -> list[Run]:
        return await self._reads.rows(limit, reads.list_owned, owner_other_than)

    async def list_overdue(self, at: int, limit: int) -> list[Run]:
        return await self._reads.rows(limit, reads.list_overdue, at)

    async def next_due(self) -> int | None:
        return self._reads.now(reads.next_due)

    async def find_idempotency(self, tenant: str, key: str, at: int) -> Idempotency | None:
        return self._reads.now(reads.find_idempotency, tenant, key, at)

    async def load_journal(self, tenant: str, run: str) -> list[StepRow]:
        return await self._reads.journal(tenant, run)

    async def list_steps(self, tenant: str, run: str, after: int, limit: int) -> list[tuple[int, StepRow]]:
        return await self._reads.rows(limit, reads.list_steps, tenant, run, after)

    async def count_ends(self, tenant: str, run: str, prefix: str) -> int:
        return self._reads.now(reads.count_ends, tenant, run, prefix)

    async def read_events(self, tenant: str, run: str, after: int, limit: int) -> list[Segment]:
        return await self._reads.rows(limit, reads.read_events, tenant, run, after)

    async def get_session(self, tenant: str, agent: str, key: str) -> Session | None:
        return self._reads.now(reads.get_session, tenant, agent, key)

    async def list_turns(self, tenant: str, agent: str, key: str, before: int | None, limit: int) -> list[Turn]:
        return await self._reads.rows(limit, reads.list_turns, tenant, agent, key, before)

    async def list_trails(self, tenant: str, agent: str, key: str) -> list[Trail]:
        return await self._reads.aside(reads.list_trails, tenant, agent, key)

    async def list_live_turns(self, tenant: str, agent: str, key: str) -> list[Run]:
        return self._reads.now(reads.list_live_turns, tenant, agent, key)

    async def list_stale_sessions(self, at: int, limit: int) -> list[Session]:
        return await self._reads.rows(limit, reads.list_stale_sessions, at)

    async def get_review(self, tenant: str, review: str) -> Review | None:
        return self._reads.now(reads.get_review, tenant, review)

    async def list_reviews(
        self, tenant: str, status: str | None, run: str | None, cursor: str | None, limit: int
    ) -> tuple[list[Review], str | None]:
        return await self._reads.aside(reads.list_reviews, tenant, status, run, cursor, limit)

    async def list_expired_reviews(self, at: int, limit: int) -> list[Review]:
        return await self._reads.rows(limit, reads.list_expired_reviews, at)

    async def read_audit(self, tenant: str, after: int, limit: int) -> list[AuditSegment]:
        return await self._reads.rows(limit, reads.read_audit, tenant, after)

    async def count_audit(self) -> list[tuple[str, int]]:
        return self._reads.now(reads.count_audit)

    async def get_document(self, tenant: str, id: str) -> Document | None:
        return self._reads.now(reads.get_document, tenant, id)

    async def list_documents(
        self, tenant: str | None, kind: str, state: str | None, cursor: str | None, limit: int
    ) -> tuple[list[Document], str | None]:
        return await self._reads.aside(reads.list_documents, tenant, kind, state, cursor, limit)

    async def count_open_reviews(self, tenant: str) -> OpenReviews:
        return self._reads.now(reads.count_open_reviews, tenant)

    async def list_facts(self, tenant: str, agent: str | None, since: int, limit: int) -> tuple[list[RunFact], bool]:
        return await self._reads.aside(reads.list_facts, tenant, agent, since, limit)

    async def list_sessions(
        self, tenant: str, agent: str, prefix: str, cursor: str | None, limit: int
    ) -> tuple[list[Session], str | None]:
        return await self._reads.aside(reads.list_sessions, tenant, agent, prefix, cursor, limit)

    # --- deliveries ---------------------------------------------------------------------------------------------------

    def claim_deliveries(self, at: int, until: int, limit: int, busy: tuple[str, ...]) -> Awaitable[list[Delivery]]:
        return self._do(partial(deliveries.claim_deliveries, at=at, until=until, limit=limit, busy=busy))

    async def next_delivery(self) -> int | None:
        return self._reads.now(deliveries.next_delivery)

    async def get_delivery(self, tenant: str, delivery: str) -> Delivery | None:
        return self._reads.now(deliveries.get_delivery, tenant, delivery)

    async def list_deliveries(
        self, tenant: str, where: DeliveryFilter, cursor: str | None, limit: int
    ) -> tuple[list[Delivery], str | None]:
        return await self._reads.aside(deliveries.list_deliveries, tenant, where, cursor, limit)

    async def find_stop(self, tenant: str, receiver: str) -> str | None:
        return self._reads.now(deliveries.find_stop, tenant, receiver)

    async def count_queue(self, tenant: str | None, agent: str | None) -> Queue:
        return await self._reads.aside(reads.count_queue, tenant, agent)


def settle(future: Future[Any], outcome: Outcome) -> None:
    if future.done():
        return  # Its caller was cancelled; what was written stands.
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
