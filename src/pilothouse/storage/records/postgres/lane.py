"""The one writing lane of a node: takes all Changes that wait, applies them in one transaction, and commits once.

Group commit as in `writer`, for a database that others write to as well. Each transaction first takes the locks of
everything it touches, in one order for all nodes (births, sessions, runs), then does what the writer of SQLite does.
Every transaction raises the mark of its lane: when the connection is lost in the middle of a commit, the mark tells
after the reconnect whether it was made (`doubt`), so that no Change is lost or done twice.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from time import monotonic

import asyncpg

from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import Statement
from pilothouse.ports.meter import CommitMeter
from pilothouse.storage.records.batch import Batch, Item, Job, apply_singly, apply_tickets, audited, give_up
from pilothouse.storage.records.postgres.claims import Claiming, SharedClaims
from pilothouse.storage.records.postgres.connection import AGAIN, FULL, LOST, PostgresConnection, is_lost
from pilothouse.storage.records.postgres.gathering import apply_at_once
from pilothouse.storage.records.postgres.hint import OWN, Hints
from pilothouse.storage.records.postgres.link import Link, Mark
from pilothouse.storage.records.postgres.lock import Locks, find_locks, take_locks
from pilothouse.storage.records.postgres.options import PostgresOptions
from pilothouse.storage.records.ticket import Ticket, find_moves, waves

ANALYZED_AFTER = frozenset(2**power for power in range(5, 15))
"""Batches. What PostgreSQL plans before it knows anything of a table may go along any index, and stays planned; the
server itself looks once a minute, and a new installation should not be slow for that long."""
TABLES = "run, step, event, session, turn, review"

TRIES = 8
PAUSE = 0.01


class Superseded(Exception):
    """The mark was raised by a later connection of this lane: this transaction comes too late."""


class Lane:
    """`wake` is called with every batch, once it is settled, in the order in which they were put."""

    def __init__(self, link: Link, options: PostgresOptions, wake: Callable[[Batch], None],
                 meter: CommitMeter | None) -> None:  # fmt: skip
        self._link, self._options, self._wake, self._meter = link, options, wake, meter
        self._memory = Hints(options.memory_limit)
        self.claims = SharedClaims(self._memory)
        self._pending: deque[Item] = deque()
        self._something = asyncio.Event()
        self._is_closing = False
        self._batches = 0
        self._analysis: asyncio.Task[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._work(), name="records-lane")

    def put(self, batch: Batch) -> None:
        self._pending.extend(batch)
        self._something.set()

    async def stop(self) -> None:
        """Settles what was put before, then ends."""
        self._is_closing = True
        self._something.set()
        await self._task
        if self._analysis is not None:
            await asyncio.gather(self._analysis, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            if not self._pending:
                if self._is_closing:
                    return
                self._something.clear()
                await self._something.wait()
                continue
            batch = take_batch(self._pending, self._options.batch_limit)
            began = monotonic()
            await self._settle(batch)
            if self._meter is not None:
                self._meter.committed(len(batch), monotonic() - began)
                for entry in audited(batch):
                    self._meter.audited(entry)
            self._wake(batch)
            self._count()

    def _count(self) -> None:
        self._batches += 1
        if self._batches in ANALYZED_AFTER and (self._analysis is None or self._analysis.done()):
            self._analysis = asyncio.get_running_loop().create_task(self._analyze(), name="records-analysis")

    async def _analyze(self) -> None:
        with contextlib.suppress(RecordsUnavailable):
            await self._link.read(analyze)

    # --- one transaction, until it is known what became of it ---------------------------------------------------------

    async def _settle(self, batch: Batch) -> None:
        singly = False
        is_stale = True
        for turn in range(TRIES):
            for item in batch:
                item.reset()
            waiting = len(self._pending)
            try:
                connection = await self._link.writing(self._options.hold_for)
            except RecordsUnavailable as fault:
                give_up(batch, fault)
                self._refuse_waiting(waiting, fault)
                return
            try:
                has_written = await connection.run(self._transact, connection, batch, singly)
            except Exception as fault:
                self._memory.forget()
                if is_lost(fault) or isinstance(fault, Superseded):
                    if await self._was_committed(batch, fault):
                        return
                    continue
                await self._roll_back(connection)
                if isinstance(fault, AGAIN):
                    await asyncio.sleep(PAUSE * turn)
                elif isinstance(fault, FULL) or singly:
                    give_up(batch, fault)
                    return
                else:
                    # Once it may be a number that another node has given. After that it is looked for one by one.
                    singly = not is_stale
                    is_stale = False
            else:
                if has_written:
                    self._link.raise_mark()
                return
        give_up(batch, TimeoutError("other nodes were in the way"))

    async def _was_committed(self, batch: Batch, fault: Exception) -> bool:
        """Whether nothing is left to be done: the batch stands, or its callers know that nobody can tell."""
        mark = self._link.next_mark
        until = monotonic() + self._options.doubt_for
        while True:
            waiting = len(self._pending)
            try:
                return await self._link.find_mark(self._options.hold_for) == mark
            except RecordsUnavailable:
                if self._is_closing:
                    give_up(batch, fault)
                    return True
                self._refuse_waiting(waiting, fault)
                if monotonic() > until:
                    refuse_callers(batch)

    def _refuse_waiting(self, count: int, fault: Exception) -> None:
        """The first so many that waited in vain behind a batch, but those of attempts: nothing of them has begun, and
        the network may be silent for long."""
        waiting, self._pending = self._pending, deque()
        refused: Batch = []
        for place, item in enumerate(waiting):
            (self._pending if place >= count or is_own(item) else refused).append(item)
        give_up(refused, fault)
        self._wake(refused)

    @staticmethod
    async def _roll_back(connection: PostgresConnection) -> None:
        with contextlib.suppress(*LOST, asyncpg.PostgresError):
            await connection.run(connection.execute, "rollback")

    def _transact(self, connection: PostgresConnection, batch: Batch, singly: bool) -> bool:
        """Whether anything was written, and with it the mark."""
        mark = self._link.marks()
        if isinstance(batch[0], Claiming):
            return claim(connection, batch[0], mark)
        tickets = [item for item in batch if isinstance(item, Ticket)]
        moves = find_all_moves(tickets)
        sessions = self._memory.sessions(connection, moves) if moves else {}
        locks = find_locks(tickets, sessions)
        if tickets and not singly and len(list(waves(tickets, sessions))) == 1:
            if apply_at_once(connection, self._memory, tickets, locks, mark):
                return True
            for ticket in tickets:
                ticket.reset()
        begin(connection, locks, mark)
        take_locks(connection, locks)
        if singly:
            apply_singly(connection, self._memory, batch, (*LOST, *AGAIN, *FULL))
        elif tickets:
            apply_tickets(connection, self._memory, tickets)
        else:
            for item in batch:
                assert isinstance(item, Job)
                item.outcome = item.work(connection)
        connection.execute("commit")
        return True


def claim(connection: PostgresConnection, claiming: Claiming, mark: Mark) -> bool:
    """Whether there was something. The mark comes last: while it was not raised, nothing is committed, and one that a
    successor has raised meanwhile fails the commit."""
    connection.execute("begin")
    claiming.outcome = claiming.work(connection)
    if not claiming.outcome:
        connection.execute("rollback")
        return False
    try:
        connection.execute(f"with m as ({raising(mark)} returning 1) select 1 / count(*) from m; commit")
    except asyncpg.DivisionByZeroError as fault:
        raise Superseded from fault
    return True


def begin(connection: PostgresConnection, locks: Locks, mark: Mark) -> None:
    """Begins the transaction, takes the advisory locks and raises the mark of the lane, in one round trip. The mark is
    made of numbers and of a name that the lane gave itself."""
    if connection.execute(f"{locks.begin()}; {raising(mark)}") != "UPDATE 1":
        raise Superseded


def raising(mark: Mark) -> str:
    batch, at, owner, before = mark
    return f"update lane set batch = {batch}, at = {at} where owner = '{owner}' and batch = {before}"


def analyze(connection: PostgresConnection) -> None:
    """Unless another node, or the server itself, has looked since the table of runs was half as long."""
    [[known, last]] = connection.fetch(
        "select (select reltuples::bigint from pg_class where oid = 'run'::regclass), (select max(pos) from run)"
    )
    if known <= 0 or 2 * known < (last or 0):
        connection.execute(f"analyze {TABLES}")


def take_batch(pending: deque[Item], limit: int) -> Batch:
    """Changes that follow each other share a transaction; a job has one of its own, whose locks are few."""
    batch = [pending.popleft()]
    if not isinstance(batch[0], Job):
        while pending and len(batch) < limit and not isinstance(pending[0], Job):
            batch.append(pending.popleft())
    return batch


def is_own(item: Item) -> bool:
    """Whether an attempt says it of itself."""
    return isinstance(item, Ticket) and any(isinstance(one, OWN) for one in item.change.statements)


def find_all_moves(tickets: list[Ticket]) -> list[Statement]:
    moves: list[Statement] = []
    for ticket in tickets:
        ticket.moves = find_moves(ticket.change)
        moves += ticket.moves
    return moves


def refuse_callers(batch: Batch) -> None:
    """Callers from outside are told that nobody knows; they may ask again with their idempotency key. Attempts go on
    waiting, since they would write the same again."""
    for item in batch:
        if not is_own(item):
            done, item.done = item.done, tell_nobody
            if done is not tell_nobody:
                done(RecordsUnavailable())


def tell_nobody(outcome: object) -> None:
    """Instead of a caller who has had an answer."""
