"""What the engine hands over, on its way to whoever writes it: one hand-over a tick, one wake-up a batch.

The same for both databases. Nothing is acknowledged before it is durable; what comes while the records are closed, or
while too much waits, is refused at once.
"""

from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop, Future
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from pilothouse.domain.delivery import Delivery
from pilothouse.domain.retention import Retention
from pilothouse.domain.run import Run
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import Change, Receipt
from pilothouse.ports.records import Claim, Done, Erased, Listener, Pruned
from pilothouse.storage.records import deliveries, queue
from pilothouse.storage.records.batch import Batch, Item, Job
from pilothouse.storage.records.moving import Idle, mark_moved
from pilothouse.storage.records.prune import erase_runs, prune
from pilothouse.storage.records.statements import Database
from pilothouse.storage.records.ticket import Outcome, Ticket


class Intake(ABC):
    """`limit`: Changes handed over and not yet durable."""

    def __init__(self, loop: AbstractEventLoop | None, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._listeners: list[Listener] = []
        self._waiting: Batch = []
        self._unsettled = 0
        self._claims = queue.Claims()

    @property
    @abstractmethod
    def _is_open(self) -> bool: ...

    @abstractmethod
    def _write(self, batch: Batch) -> None:
        """Takes what waits; `_wake` is called on the loop once it is settled."""

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

    def release_held(self, hold: str, limit: int) -> Awaitable[int]:
        return self._do(partial(queue.release_held, hold=hold, limit=limit))

    def claim_deliveries(self, at: int, until: int, limit: int, busy: tuple[str, ...]) -> Awaitable[list[Delivery]]:
        return self._do(partial(deliveries.claim_deliveries, at=at, until=until, limit=limit, busy=busy))

    async def prune(self, retention: Retention, limit: int, after: int = 0) -> Pruned:
        pruned: Pruned = await self._do(partial(prune, retention=retention, limit=limit, after=after))
        return pruned

    async def erase_runs(self, tenant: str, subject: str, limit: int) -> Erased:
        erased: Erased = await self._do(partial(erase_runs, tenant=tenant, subject=subject, limit=limit))
        return erased

    async def mark_moved(self, moved: Sequence[tuple[Idle, str]]) -> int:
        count: int = await self._do(partial(mark_moved, moved=moved))
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
        if not self._is_open or self._unsettled >= self._limit:
            self._running_loop().call_soon(item.done, RecordsUnavailable())
            return
        self._unsettled += 1
        if not self._waiting:
            self._running_loop().call_soon(self._hand_over)
        self._waiting.append(item)

    def _hand_over(self) -> None:
        if self._waiting and self._is_open:
            self._write(self._waiting)
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


def settle(future: Future[Any], outcome: Outcome) -> None:
    if future.done():
        return  # Its caller was cancelled; what was written stands.
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
