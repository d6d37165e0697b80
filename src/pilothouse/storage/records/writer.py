"""The one writer: a thread that takes all Changes that wait, applies them in one transaction, and commits once.

What the loop's thread hands over comes as one list for each of its ticks, so there is no lock for each Change and one
wake-up for each batch, in either direction; what is done with a batch is in `batch`. Three things can go wrong, and
each hurts only whom it must:

- an expectation falls: that Change alone gets its `Conflict`;
- the database refuses a row: the batch is rolled back and done again one by one, and the faulty Change gets `Refused`;
- the file cannot be written: the batch is rolled back, all its callers get `RecordsUnavailable`, and the next batch is
  tried as if nothing had been.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

import apsw

from pilothouse.ports.meter import CommitMeter
from pilothouse.storage.records.batch import Batch, Item, apply_batch, apply_singly, audited, give_up
from pilothouse.storage.records.checkpoint import Checkpoints
from pilothouse.storage.records.memory import Memory
from pilothouse.storage.records.place import FileConnection, Place

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
                for entry in audited(batch):
                    self._meter.audited(entry)
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
            self._transact(batch, partial(apply_batch, self._connection, self._memory))
        except OUT_OF_ORDER as fault:
            give_up(batch, fault)
        except Exception:  # What refused the batch is found out below, and its caller is told.
            self._write_singly(batch)

    def _write_singly(self, batch: Batch) -> None:
        for item in batch:
            item.reset()
        try:
            self._transact(batch, partial(apply_singly, self._connection, self._memory, out_of_order=OUT_OF_ORDER))
        except Exception as fault:
            give_up(batch, fault)

    def _transact(self, batch: Batch, apply: Callable[[Batch], None]) -> None:
        connection = self._connection
        try:
            if connection.in_transaction:
                connection.execute("rollback")
            connection.execute("begin immediate")
            apply(batch)
            connection.execute("commit")
        except BaseException:
            self._memory.forget()
            if connection.in_transaction:
                connection.execute("rollback")
            raise
