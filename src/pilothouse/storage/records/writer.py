"""The one writer: a thread that takes all Changes that wait, applies them in one transaction, and commits once.

What the loop's thread hands over comes as one list for each of its ticks, so there is no lock for each Change and one
wake-up for each batch, in either direction. The batch is cut into waves (see `ticket`); jobs (claims, timers, pruning)
stand between the waves in their order. Three things can go wrong, and each hurts only whom it must:

- an expectation falls: that Change alone gets its `Conflict`;
- the database refuses a row: the batch is rolled back and done again one by one, and the faulty Change gets `Refused`;
- the file cannot be written: the batch is rolled back, all its callers get `RecordsUnavailable`, and the next batch is
  tried as if nothing had been.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

import apsw
from msgspec import Struct

from pilothouse.domain.event import Segment
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import Refused, Statement
from pilothouse.ports.meter import CommitMeter
from pilothouse.storage.records.checkpoint import Checkpoints
from pilothouse.storage.records.memory import Memory
from pilothouse.storage.records.moves import DOERS
from pilothouse.storage.records.place import FileConnection, Place
from pilothouse.storage.records.statements import Database
from pilothouse.storage.records.ticket import Ticket, find_moves, waves
from pilothouse.storage.records.wave import Wave

OUT_OF_ORDER = (
    apsw.FullError,
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.NoMemError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.ProtocolError,
)
"""What SQLite raises when the file, and not the Change, is at fault."""


class Job(Struct):
    """Something else that is done within the transaction. `done` gets what `work` returned, or an exception."""

    work: Callable[[Database], Any]
    done: Callable[[Any], None]
    outcome: Any = None
    segments: tuple[tuple[str, Segment], ...] = ()

    def reset(self) -> None:
        self.outcome = None


Item = Ticket | Job
Batch = list[Item]


class Writer:
    """`wake` is called on the loop with every batch, once it is settled."""

    def __init__(
        self,
        place: Place,
        connection: FileConnection,
        loop: AbstractEventLoop,
        wake: Callable[[Batch], None],
        meter: CommitMeter | None = None,
    ) -> None:
        self._meter = meter
        self._place = place
        self._connection = connection
        self._loop = loop
        self._wake = wake
        self._memory = Memory(place.options.memory_limit)
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()
        self._pending: deque[Item] = deque()
        self._closing = False
        self._checkpoints = Checkpoints(place, connection)
        self._thread = Thread(target=self._work, name="records-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """From the loop's thread; order is kept."""
        self._queue.put(batch)

    def stop(self) -> None:
        """Settles what was put before, then ends the thread. Blocks: not to be called on the loop."""
        self._queue.put(None)
        self._thread.join()
        self._checkpoints.stop()

    def _work(self) -> None:
        while batch := self._take():
            began = monotonic()
            with self._place.gate():
                self._write(batch)
            if self._meter is not None:
                self._meter.committed(len(batch), monotonic() - began)
            try:
                self._loop.call_soon_threadsafe(self._wake, batch)
            except RuntimeError:
                return  # The loop is gone, and with it everybody who could be told.
            self._checkpoints.consider()

    def _take(self) -> Batch:
        """All that waits, up to the limit of one batch; empty when the end was asked for and nothing is left."""
        pending = self._pending
        while not self._closing:
            try:
                batch = self._queue.get(block=not pending)
            except Empty:
                break
            if batch is None:
                self._closing = True
            else:
                pending.extend(batch)
        limit = self._place.options.batch_limit
        if len(pending) <= limit:
            taken = list(pending)
            pending.clear()
            return taken
        return [pending.popleft() for _ in range(limit)]

    # --- one transaction ----------------------------------------------------------------------------------------------

    def _write(self, batch: Batch) -> None:
        try:
            self._transact(batch, self._apply_waves)
        except OUT_OF_ORDER as fault:
            self._give_up(batch, fault)
        except Exception:  # What refused the batch is found out below, and its caller is told.
            self._write_singly(batch)

    def _write_singly(self, batch: Batch) -> None:
        for item in batch:
            item.reset()
        try:
            self._transact(batch, self._apply_singly)
        except Exception as fault:
            self._give_up(batch, fault)

    def _transact(self, batch: Batch, apply_batch: Callable[[Batch], None]) -> None:
        connection = self._connection
        try:
            if connection.in_transaction:
                connection.execute("rollback")
            connection.execute("begin immediate")
            apply_batch(batch)
            connection.execute("commit")
        except BaseException:
            self._memory.forget()
            if connection.in_transaction:
                connection.execute("rollback")
            raise

    def _apply_waves(self, batch: Batch) -> None:
        tickets: list[Ticket] = []
        for item in batch:
            if isinstance(item, Ticket):
                tickets.append(item)
            else:
                self._apply_tickets(tickets)
                tickets = []
                item.outcome = item.work(self._connection)
        self._apply_tickets(tickets)

    def _apply_tickets(self, tickets: list[Ticket]) -> None:
        moves: list[Statement] = []
        for ticket in tickets:
            if found := find_moves(ticket.change):
                ticket.moves = found
                moves += found
        sessions = self._memory.sessions(self._connection, moves) if moves else {}
        for wave in waves(tickets, sessions):
            Wave(self._connection, self._memory, wave, DOERS).apply()

    def _apply_singly(self, batch: Batch) -> None:
        connection = self._connection
        for item in batch:
            connection.execute("savepoint single")
            try:
                self._apply_waves([item])
            except OUT_OF_ORDER:
                raise
            except Exception as fault:
                self._memory.forget()
                connection.execute("rollback to single")
                item.reset()
                item.outcome = refusal(item, fault)
            connection.execute("release single")

    @staticmethod
    def _give_up(batch: Batch, fault: Exception) -> None:
        for item in batch:
            item.reset()
            item.outcome = RecordsUnavailable()
            item.outcome.__cause__ = fault


def refusal(item: Item, fault: Exception) -> Exception:
    if isinstance(item, Job):
        return fault
    names = ", ".join(type(statement).__name__ for statement in item.change.statements)
    refused = Refused(names, str(fault))
    refused.__cause__ = fault
    return refused
