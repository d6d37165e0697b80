"""The reads of the records: which one asks what, the same for both databases.

A backend says how a read is run: `_few` for some rows, `_many` for what may be long, `_rows` when the caller sets the
limit.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from pilothouse.domain.budget import Amounts
from pilothouse.domain.cost import Cost
from pilothouse.domain.delivery import Delivery
from pilothouse.domain.event import Segment
from pilothouse.domain.evidence import AuditSegment
from pilothouse.domain.journal import StepRow
from pilothouse.domain.overview import RunFact
from pilothouse.domain.review import Review
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session, Trail, Turn
from pilothouse.ports.blobs import Blobs
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.ports.records import Backlog, Document, Idempotency, OpenReviews, Page, Queue, RunFilter, RunOfSubject
from pilothouse.storage.records import deliveries, moving, reads
from pilothouse.storage.records.fetching import fetching, with_blobs
from pilothouse.storage.records.reads import ListSteps

T = TypeVar("T")


class Reading(ABC):
    """`blobs`: where long payloads of ended runs are; None: in the database like all others."""

    blobs: Blobs | None = None

    @abstractmethod
    async def _read_few(self, read: Callable[..., T], *values: Any) -> T: ...

    @abstractmethod
    async def _read_many(self, read: Callable[..., T], *values: Any) -> T: ...

    @abstractmethod
    async def _read_rows(self, limit: int, read: Callable[..., T], *values: Any) -> T: ...

    @abstractmethod
    async def _read_journal(self, list_steps: ListSteps, tenant: str, run: str) -> list[StepRow]: ...

    async def _few(self, read: Callable[..., T], *values: Any) -> T:
        if self.blobs is None:
            return await self._read_few(read, *values)
        return await fetching(self.blobs, lambda fetched: self._read_few(with_blobs(read, fetched), *values))

    async def _many(self, read: Callable[..., T], *values: Any) -> T:
        if self.blobs is None:
            return await self._read_many(read, *values)
        return await fetching(self.blobs, lambda fetched: self._read_many(with_blobs(read, fetched), *values))

    async def _rows(self, limit: int, read: Callable[..., T], *values: Any) -> T:
        if self.blobs is None:
            return await self._read_rows(limit, read, *values)
        return await fetching(self.blobs, lambda fetched: self._read_rows(limit, with_blobs(read, fetched), *values))

    async def _journal(self, tenant: str, run: str) -> list[StepRow]:
        if self.blobs is None:
            return await self._read_journal(reads.list_steps, tenant, run)
        return await fetching(
            self.blobs, lambda fetched: self._read_journal(with_blobs(reads.list_steps, fetched), tenant, run)
        )

    # --- payloads and blobs -------------------------------------------------------------------------------------------

    async def idle_payloads(self, after: int, before: int, size: int, limit: int) -> list[moving.Idle]:
        return await self._read_many(moving.idle_payloads, after, before, size, limit)

    async def blob_of(self, tenant: str, digest: bytes) -> str | None:
        return await self._read_few(moving.blob_of, tenant, digest)

    # --- runs ---------------------------------------------------------------------------------------------------------

    async def get_run(self, tenant: str, run: str) -> Run | None:
        return await self._few(reads.get_run, tenant, run)

    async def list_runs(self, tenant: str, where: RunFilter, cursor: str | None, limit: int) -> Page:
        return await self._many(reads.list_runs, tenant, where, cursor, limit)

    async def list_runs_of_subject(self, tenant: str, subject: str, after: int, limit: int) -> list[RunOfSubject]:
        return await self._read_many(reads.list_runs_of_subject, tenant, subject, after, limit)

    async def list_sessions_of_subject(self, tenant: str, subject: str) -> list[tuple[str, str]]:
        return await self._read_many(reads.list_sessions_of_subject, tenant, subject)

    async def list_live_children(self, tenant: str, parent: str) -> list[str]:
        return await self._few(reads.list_live_children, tenant, parent)

    async def list_expired(self, at: int, limit: int) -> list[Run]:
        return await self._rows(limit, reads.list_expired, at)

    async def list_holding(self) -> list[str]:
        return await self._few(reads.list_holding)

    async def list_owned(self, owner_other_than: str, limit: int) -> list[Run]:
        return await self._rows(limit, reads.list_owned, owner_other_than)

    async def list_cancelled(self, owner: str, limit: int) -> list[Run]:
        return await self._rows(limit, reads.list_cancelled, owner)

    async def list_overdue(self, at: int, limit: int) -> list[Run]:
        return await self._rows(limit, reads.list_overdue, at)

    async def next_due(self) -> int | None:
        return await self._few(reads.next_due)

    async def find_idempotency(self, tenant: str, key: str, at: int) -> Idempotency | None:
        return await self._few(reads.find_idempotency, tenant, key, at)

    async def load_journal(self, tenant: str, run: str) -> list[StepRow]:
        return await self._journal(tenant, run)

    async def list_steps(self, tenant: str, run: str, after: int, limit: int) -> list[tuple[int, StepRow]]:
        return await self._rows(limit, reads.list_steps, tenant, run, after)

    async def count_ends(self, tenant: str, run: str, prefix: str) -> int:
        return await self._few(reads.count_ends, tenant, run, prefix)

    async def read_events(self, tenant: str, run: str, after: int, limit: int) -> list[Segment]:
        return await self._rows(limit, reads.read_events, tenant, run, after)

    async def get_session(self, tenant: str, agent: str, key: str) -> Session | None:
        return await self._few(reads.get_session, tenant, agent, key)

    async def list_turns(self, tenant: str, agent: str, key: str, before: int | None, limit: int) -> list[Turn]:
        return await self._rows(limit, reads.list_turns, tenant, agent, key, before)

    async def list_trails(self, tenant: str, agent: str, key: str) -> list[Trail]:
        return await self._many(reads.list_trails, tenant, agent, key)

    async def list_live_turns(self, tenant: str, agent: str, key: str) -> list[Run]:
        return await self._few(reads.list_live_turns, tenant, agent, key)

    async def list_stale_sessions(self, at: int, limit: int) -> list[Session]:
        return await self._rows(limit, reads.list_stale_sessions, at)

    async def get_review(self, tenant: str, review: str) -> Review | None:
        return await self._few(reads.get_review, tenant, review)

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
        return await self._many(reads.list_reviews, tenant, status, run, kind, newest, cursor, limit)

    async def list_expired_reviews(self, at: int, limit: int) -> list[Review]:
        return await self._rows(limit, reads.list_expired_reviews, at)

    async def read_audit(self, tenant: str, after: int, limit: int) -> list[AuditSegment]:
        return await self._rows(limit, reads.read_audit, tenant, after)

    async def count_audit(self) -> list[tuple[str, int]]:
        return await self._few(reads.count_audit)

    async def get_spend(self, tenant: str, scope: str, name: str, period: str) -> Amounts:
        return await self._few(reads.get_spend, tenant, scope, name, period)

    async def list_costs(
        self, tenant: str, grouping: str, first_day: str, last_day: str, agent: str | None, limit: int
    ) -> list[Cost]:
        return await self._many(reads.list_costs, tenant, grouping, first_day, last_day, agent, limit)

    async def get_document(self, tenant: str, id: str) -> Document | None:
        return await self._few(reads.get_document, tenant, id)

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
        return await self._many(reads.list_documents, tenant, kind, state, newest, cursor, limit)

    async def count_open_reviews(self, tenant: str) -> OpenReviews:
        return await self._few(reads.count_open_reviews, tenant)

    async def count_open_reviews_by_agent(self, limit: int) -> list[tuple[str, int, int]]:
        return await self._many(reads.count_open_reviews_by_agent, limit)

    async def list_facts(self, tenant: str, agent: str | None, since: int, limit: int) -> tuple[list[RunFact], bool]:
        return await self._many(reads.list_facts, tenant, agent, since, limit)

    async def list_sessions(
        self, tenant: str, agent: str, prefix: str, cursor: str | None, limit: int
    ) -> tuple[list[Session], str | None]:
        return await self._many(reads.list_sessions, tenant, agent, prefix, cursor, limit)

    async def next_delivery(self) -> int | None:
        return await self._few(deliveries.next_delivery)

    async def get_delivery(self, tenant: str, delivery: str) -> Delivery | None:
        return await self._few(deliveries.get_delivery, tenant, delivery)

    async def list_deliveries(
        self, tenant: str, where: DeliveryFilter, cursor: str | None, limit: int
    ) -> tuple[list[Delivery], str | None]:
        return await self._many(deliveries.list_deliveries, tenant, where, cursor, limit)

    async def find_stop(self, tenant: str, receiver: str) -> str | None:
        return await self._few(deliveries.find_stop, tenant, receiver)

    async def is_left(self, agent: str, before: int) -> bool:
        return await self._few(reads.is_left, agent, before)

    async def count_begun(self) -> list[tuple[str, str, int]]:
        return await self._few(reads.count_begun)

    async def count_queue(self, tenant: str | None, agent: str | None) -> Queue:
        return await self._many(reads.count_queue, tenant, agent)

    async def list_backlogs(self) -> list[Backlog]:
        return await self._many(reads.list_backlogs)
