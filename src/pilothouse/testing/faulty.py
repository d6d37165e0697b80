"""Records that fail at the n-th call, or kill their node there: every call of the port is a seam to crash at.

All that a node makes durable goes through `Records`, so counting the calls of a scenario and dying at each of them in
turn meets every crash that the node itself can tell apart; no hook in the product is needed for that. What happens
inside of a commit is the business of the tests of the records.

After a kill nothing is told any more: calls hang, as they would for a process that is gone, and Changes that had not
reached the records are lost. What had reached them stands.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, ParamSpec, TypeVar

from pilothouse.domain.budget import Amounts
from pilothouse.domain.cost import Cost
from pilothouse.domain.delivery import Delivery
from pilothouse.domain.event import Segment
from pilothouse.domain.evidence import AuditSegment
from pilothouse.domain.journal import StepRow
from pilothouse.domain.overview import RunFact
from pilothouse.domain.retention import Retention
from pilothouse.domain.review import Review
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session, Trail, Turn
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import Change, Conflict, Receipt
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.ports.records import (
    Backlog,
    Claim,
    Document,
    Done,
    Erased,
    Idempotency,
    Listener,
    OpenReviews,
    Page,
    Pruned,
    Queue,
    Records,
    RunFilter,
    RunOfSubject,
)

P = ParamSpec("P")
T = TypeVar("T")

Mode = Literal["before", "after", "fail"]
"""What happens at the call: the node dies and it never arrives; it is carried out and the node dies before it hears;
or it is answered with `RecordsUnavailable` and the node lives on."""


WRITES = frozenset({"claim", "claim_deliveries", "renew_leases", "wake_due", "release_held", "prune", "erase_runs"})


class FaultyRecords(Records):
    """`at`: the number of the call that is struck, from 1; 0: none. `mode`: how. `calls` counts them all."""

    def __init__(
        self, records: Records, at: int = 0, mode: Mode = "before", on_kill: Callable[[], None] = lambda: None
    ) -> None:
        self.calls = 0
        self.names: list[str] = []
        """What was called, in order."""
        self.under_way = 0
        """Calls that are not answered yet."""
        self.is_dead = False
        self.is_dying = False
        """A call was struck `after` and is under way: what it wrote may be read before the node has died of it."""
        self.is_full = False
        """Set it to refuse every write, as a full disk does, until it is taken back."""
        self._records, self._left, self._mode, self.on_kill = records, at, mode, on_kill
        self._name: str | None = None

    def strike(self, at: int, mode: Mode = "before", name: str | None = None) -> None:
        """The `at`-th call from now on is struck, from 1; with a name, of the calls of that method."""
        self._left, self._mode, self._name = at, mode, name

    def kill(self) -> None:
        """The node is dead for these records from now on. A second call does nothing."""
        if not self.is_dead:
            self.is_dead = True
            self.on_kill()

    def _count(self, name: str) -> Mode | None:
        """What happens to this call."""
        self.calls += 1
        self.names.append(name)
        if self._left == 0 or self._name not in (None, name):
            return None
        self._left -= 1
        return self._mode if self._left == 0 else None

    # --- writes -----------------------------------------------------------------------------------------------------

    def submit(self, change: Change, done: Done) -> None:
        if self.is_dead:
            return
        fault = self._count("submit")
        if fault == "before":
            self.kill()
        elif fault == "fail" or self.is_full:
            asyncio.get_running_loop().call_soon(self._answer, done, RecordsUnavailable())
        elif fault == "after":
            self.is_dying = True
            self._records.submit(change, lambda result: self.kill())
        else:
            self.under_way += 1
            self._records.submit(change, partial(self._answered, done))

    def _answered(self, done: Done, result: Receipt | Conflict | Exception) -> None:
        self.under_way -= 1
        self._answer(done, result)

    def _answer(self, done: Done, result: Receipt | Conflict | Exception) -> None:
        if not self.is_dead:
            done(result)

    def commit(self, change: Change) -> Awaitable[Receipt]:
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        def done(result: Receipt | Conflict | Exception) -> None:
            if answer.done():
                return
            if isinstance(result, Receipt):
                answer.set_result(result)
            else:
                answer.set_exception(result)

        self.submit(change, done)
        return answer

    def listen(self, listener: Listener) -> None:
        def hear(tenant: str, segment: Segment) -> None:
            if not self.is_dead:
                listener(tenant, segment)

        self._records.listen(hear)

    async def _pass(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        fault = None if self.is_dead else self._count(call.__name__)
        if fault == "fail" or (self.is_full and call.__name__ in WRITES):
            raise RecordsUnavailable()
        if fault == "before":
            self.kill()
        if not self.is_dead:
            self.under_way += 1
            self.is_dying |= fault == "after"
            try:
                result = await call(*args, **kwargs)
            finally:
                self.under_way -= 1
                if fault == "after":
                    self.kill()
            if not self.is_dead:
                return result
        never: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        return await never

    # --- work that waits, and reads ---------------------------------------------------------------------------------

    async def claim(self, claim: Claim) -> list[Run]:
        return await self._pass(self._records.claim, claim)

    async def renew_leases(self, owner: str, at: int, until: int) -> int:
        return await self._pass(self._records.renew_leases, owner, at, until)

    async def wake_due(self, at: int, limit: int) -> int:
        return await self._pass(self._records.wake_due, at, limit)

    async def release_held(self, hold: str, limit: int) -> int:
        return await self._pass(self._records.release_held, hold, limit)

    async def list_holding(self) -> list[str]:
        return await self._pass(self._records.list_holding)

    async def get_run(self, tenant: str, run: str) -> Run | None:
        return await self._pass(self._records.get_run, tenant, run)

    async def list_runs(self, tenant: str, where: RunFilter, cursor: str | None, limit: int) -> Page:
        return await self._pass(self._records.list_runs, tenant, where, cursor, limit)

    async def list_live_children(self, tenant: str, parent: str) -> list[str]:
        return await self._pass(self._records.list_live_children, tenant, parent)

    async def list_expired(self, at: int, limit: int) -> list[Run]:
        return await self._pass(self._records.list_expired, at, limit)

    async def list_owned(self, owner_other_than: str, limit: int) -> list[Run]:
        return await self._pass(self._records.list_owned, owner_other_than, limit)

    async def list_cancelled(self, owner: str, limit: int) -> list[Run]:
        return await self._pass(self._records.list_cancelled, owner, limit)

    async def list_overdue(self, at: int, limit: int) -> list[Run]:
        return await self._pass(self._records.list_overdue, at, limit)

    async def next_due(self) -> int | None:
        return await self._pass(self._records.next_due)

    async def find_idempotency(self, tenant: str, key: str, at: int) -> Idempotency | None:
        return await self._pass(self._records.find_idempotency, tenant, key, at)

    async def load_journal(self, tenant: str, run: str) -> list[StepRow]:
        return await self._pass(self._records.load_journal, tenant, run)

    async def count_ends(self, tenant: str, run: str, prefix: str) -> int:
        return await self._pass(self._records.count_ends, tenant, run, prefix)

    async def list_steps(self, tenant: str, run: str, after: int, limit: int) -> list[tuple[int, StepRow]]:
        return await self._pass(self._records.list_steps, tenant, run, after, limit)

    async def read_events(self, tenant: str, run: str, after: int, limit: int) -> list[Segment]:
        return await self._pass(self._records.read_events, tenant, run, after, limit)

    async def get_session(self, tenant: str, agent: str, key: str) -> Session | None:
        return await self._pass(self._records.get_session, tenant, agent, key)

    async def list_turns(self, tenant: str, agent: str, key: str, before: int | None, limit: int) -> list[Turn]:
        return await self._pass(self._records.list_turns, tenant, agent, key, before, limit)

    async def list_trails(self, tenant: str, agent: str, key: str) -> list[Trail]:
        return await self._pass(self._records.list_trails, tenant, agent, key)

    async def list_live_turns(self, tenant: str, agent: str, key: str) -> list[Run]:
        return await self._pass(self._records.list_live_turns, tenant, agent, key)

    async def list_stale_sessions(self, at: int, limit: int) -> list[Session]:
        return await self._pass(self._records.list_stale_sessions, at, limit)

    async def get_review(self, tenant: str, review: str) -> Review | None:
        return await self._pass(self._records.get_review, tenant, review)

    async def list_reviews(
        self,
        tenant: str,
        status: str | None,
        run: str | None,
        cursor: str | None,
        limit: int,
        *,
        kind: str | None = None,
        newest: bool = False,
    ) -> tuple[list[Review], str | None]:
        call = self._records.list_reviews
        return await self._pass(call, tenant, status, run, cursor, limit, kind=kind, newest=newest)

    async def list_expired_reviews(self, at: int, limit: int) -> list[Review]:
        return await self._pass(self._records.list_expired_reviews, at, limit)

    async def count_open_reviews(self, tenant: str) -> OpenReviews:
        return await self._pass(self._records.count_open_reviews, tenant)

    async def count_open_reviews_by_agent(self, limit: int) -> list[tuple[str, int, int]]:
        return await self._pass(self._records.count_open_reviews_by_agent, limit)

    async def list_facts(self, tenant: str, agent: str | None, since: int, limit: int) -> tuple[list[RunFact], bool]:
        return await self._pass(self._records.list_facts, tenant, agent, since, limit)

    async def list_sessions(
        self, tenant: str, agent: str, prefix: str, cursor: str | None, limit: int
    ) -> tuple[list[Session], str | None]:
        return await self._pass(self._records.list_sessions, tenant, agent, prefix, cursor, limit)

    async def is_left(self, agent: str, before: int) -> bool:
        return await self._pass(self._records.is_left, agent, before)

    async def count_begun(self) -> list[tuple[str, str, int]]:
        return await self._pass(self._records.count_begun)

    async def count_queue(self, tenant: str | None, agent: str | None) -> Queue:
        return await self._pass(self._records.count_queue, tenant, agent)

    async def list_backlogs(self) -> list[Backlog]:
        return await self._pass(self._records.list_backlogs)

    async def read_audit(self, tenant: str, after: int, limit: int) -> list[AuditSegment]:
        return await self._pass(self._records.read_audit, tenant, after, limit)

    async def count_audit(self) -> list[tuple[str, int]]:
        return await self._pass(self._records.count_audit)

    async def get_spend(self, tenant: str, scope: str, name: str, period: str) -> Amounts:
        return await self._pass(self._records.get_spend, tenant, scope, name, period)

    async def list_costs(
        self, tenant: str, grouping: str, first_day: str, last_day: str, agent: str | None, limit: int
    ) -> list[Cost]:
        return await self._pass(self._records.list_costs, tenant, grouping, first_day, last_day, agent, limit)

    async def get_document(self, tenant: str, id: str) -> Document | None:
        return await self._pass(self._records.get_document, tenant, id)

    async def list_documents(
        self,
        tenant: str | None,
        kind: str,
        state: str | None,
        cursor: str | None,
        limit: int,
        *,
        newest: bool = False,
    ) -> tuple[list[Document], str | None]:
        return await self._pass(self._records.list_documents, tenant, kind, state, cursor, limit, newest=newest)

    async def claim_deliveries(self, at: int, until: int, limit: int, busy: tuple[str, ...]) -> list[Delivery]:
        return await self._pass(self._records.claim_deliveries, at, until, limit, busy)

    async def next_delivery(self) -> int | None:
        return await self._pass(self._records.next_delivery)

    async def get_delivery(self, tenant: str, delivery: str) -> Delivery | None:
        return await self._pass(self._records.get_delivery, tenant, delivery)

    async def list_deliveries(
        self, tenant: str, where: DeliveryFilter, cursor: str | None, limit: int
    ) -> tuple[list[Delivery], str | None]:
        return await self._pass(self._records.list_deliveries, tenant, where, cursor, limit)

    async def find_stop(self, tenant: str, receiver: str) -> str | None:
        return await self._pass(self._records.find_stop, tenant, receiver)

    async def erase_runs(self, tenant: str, subject: str, limit: int) -> Erased:
        return await self._pass(self._records.erase_runs, tenant, subject, limit)

    async def list_runs_of_subject(self, tenant: str, subject: str, after: int, limit: int) -> list[RunOfSubject]:
        return await self._pass(self._records.list_runs_of_subject, tenant, subject, after, limit)

    async def list_sessions_of_subject(self, tenant: str, subject: str) -> list[tuple[str, str]]:
        return await self._pass(self._records.list_sessions_of_subject, tenant, subject)

    async def prune(self, retention: Retention, limit: int, after: int = 0) -> Pruned:
        return await self._pass(self._records.prune, retention, limit, after)
