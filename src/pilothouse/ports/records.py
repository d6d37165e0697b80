"""The records: the durable truth, and the one conversation the engine has with them.

Writes are Changes (see `change`). The records take all Changes that wait, apply them in one transaction, commit once
and wake every caller: group commit. Then, still in order, they tell the listener which events became durable, and only
after that does anybody send them: records first, then the wire (I5).

A backend proves itself with `pilothouse.testing.RecordsSuite`.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from pilothouse.domain.budget import Amounts
from pilothouse.domain.cost import Cost
from pilothouse.domain.event import Segment
from pilothouse.domain.evidence import AuditSegment
from pilothouse.domain.journal import StepRow
from pilothouse.domain.overview import RunFact
from pilothouse.domain.retention import Retention
from pilothouse.domain.review import Review
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session, Trail, Turn
from pilothouse.ports.change import Change, Conflict, Receipt
from pilothouse.ports.delivery import Deliveries

Listener = Callable[[str, Segment], None]
"""Called on the loop with (tenant, segment) for each segment that became durable, in the order of commit."""

Done = Callable[[Receipt | Conflict | Exception], None]
"""Called on the loop once the Change is durable, fell, could not be written (`RecordsUnavailable`) or cannot ever be
(`change.Refused`)."""


class ClaimWish(Struct, frozen=True):
    """What a worker can take: up to `count` runs of an agent. `release` is the one it serves: a run that never
    started takes it on, a run that did keeps its own.

    Only `open` of them may be taken by any tenant (None: all). Past these a tenant may take `room`, or what `rooms` has
    for it: the rest is kept for tenants that hold little (see `domain.share`)."""

    agent: str
    count: int
    release: str
    open: int | None = None
    room: int = 0
    rooms: dict[str, int] = {}
    elsewhere: tuple[str, ...] = ()
    """Releases that other workers serve: a run that started on one of these is left to them."""
    keeps_release: bool = False
    """A run that started on any other release is left alone."""
    slots: bytes = b""
    """Where several nodes claim: a bit for each slot of sessions (`domain.roster.slot_of`) whose turns this node is to
    take. Turns of others are left to theirs while they are ready for less than `LEFT_FOR`. Empty: all are taken."""


class Claim(Struct, frozen=True):
    """queued and ready -> running, for `owner`, with `epoch + 1`, a lease, and `started_at` when it was not set.

    Tenants take turns; of the runs of one tenant higher `priority` goes first, then the older one. Runs for which a
    cancel was asked are left to `list_overdue`."""

    owner: str
    at: int
    lease_until: int
    wishes: tuple[ClaimWish, ...]
    since: int = 0
    """What became ready after this is left to the node of its slot."""


EVENTS_ROOM = 128 * 1024
"""Bytes after which one answer of `read_events` has its last segment: who reads events holds a bound of them, however
long they are."""


class RunFilter(Struct, frozen=True):
    agent: str | None = None
    session: str | None = None
    statuses: tuple[str, ...] = ()
    parent: str | None = None


class Idempotency(Struct, frozen=True):
    digest: bytes
    run: str


class Page(Struct):
    """`next_cursor` None: that was the last page. A cursor is opaque text; a foreign one raises `BadCursor`."""

    items: list[Run]
    next_cursor: str | None


class Queue(Struct, frozen=True):
    """How much work waits: runs that are queued and ready, queued but delayed or behind a turn, running, waiting."""

    ready: int
    held: int
    running: int
    waiting: int


class Backlog(Struct, frozen=True):
    """What has not ended of one agent's runs in one tenant. `oldest_at`: since when the ready one is ready that waits
    longest; a run that is started again, after a wait or a try that failed, counts in `queue` and not here."""

    tenant: str
    agent: str
    queue: Queue
    oldest_at: int | None


class Document(Struct, frozen=True):
    """As `change.WriteDocument` has left it."""

    tenant: str
    id: str
    kind: str
    version: int
    state: str
    body: bytes
    created_at: int
    updated_at: int


class OpenReviews(Struct, frozen=True):
    """`oldest_at`: when the one was asked that waits longest; `expires_at`: when the first of them expires."""

    count: int
    oldest_at: int | None
    expires_at: int | None


class RunOfSubject(Struct, frozen=True):
    """Where a run of a subject is. `pos` leads on to the next one."""

    pos: int
    id: str
    agent: str
    release: str
    session: str | None
    status: str


class Erased(Struct, frozen=True):
    """How many runs went. `hold`: none, since this hold covers one of them."""

    runs: int
    hold: str | None = None
    reason: str = ""


class Pruned(Struct, frozen=True):
    """`runs`: how many went. `after`: where to go on; None: nothing is left there that could be due."""

    runs: int
    after: int | None


class Records(Deliveries, Protocol):
    """All methods are called on the loop's thread. Reads see everything whose `done` was called before."""

    def submit(self, change: Change, done: Done) -> None: ...

    def commit(self, change: Change) -> Awaitable[Receipt]:
        """Like `submit`; raises `Conflict` or `RecordsUnavailable`."""
        ...

    def claim(self, claim: Claim) -> Awaitable[list[Run]]: ...

    def renew_leases(self, owner: str, at: int, until: int) -> Awaitable[int]:
        """All running runs of the owner whose lease is not expired at `at`; returns how many."""
        ...

    def wake_due(self, at: int, limit: int) -> Awaitable[int]:
        """Queued or waiting runs, not ready, whose `due_at` has come, become queued and ready (a turn of a session
        only when no other turn of it is live and ready). Returns how many rows it saw; `limit` means ask again."""
        ...

    def release_held(self, hold: str, limit: int) -> Awaitable[int]:
        """Queued runs that wait for this hold become ready; returns how many. As many as `limit`: ask again."""
        ...

    def listen(self, listener: Listener) -> None: ...

    # --- reads ------------------------------------------------------------------------------------------------------

    async def get_run(self, tenant: str, run: str) -> Run | None: ...

    async def list_runs(self, tenant: str, where: RunFilter, cursor: str | None, limit: int) -> Page:
        """Newest first."""
        ...

    async def list_live_children(self, tenant: str, parent: str) -> list[str]: ...

    async def list_expired(self, at: int, limit: int) -> list[Run]:
        """Running runs whose lease is expired at `at`."""
        ...

    async def list_holding(self) -> list[str]:
        """The holds that queued runs wait for (`RequeueRun.held`)."""
        ...

    async def list_owned(self, owner_other_than: str, limit: int) -> list[Run]:
        """Running runs of other owners: on records that only one node can open, these are orphans."""
        ...

    async def list_cancelled(self, owner: str, limit: int) -> list[Run]:
        """Running runs of the owner for which a cancel was asked."""
        ...

    async def list_overdue(self, at: int, limit: int) -> list[Run]:
        """Live runs whose `deadline_at` has passed, and queued or waiting runs for which a cancel was asked."""
        ...

    async def next_due(self) -> int | None:
        """The earliest `due_at`, `deadline_at` of a live run or `expires_at` of an open review."""
        ...

    async def find_idempotency(self, tenant: str, key: str, at: int) -> Idempotency | None: ...

    async def load_journal(self, tenant: str, run: str) -> list[StepRow]:
        """All rows in the order in which they were written."""
        ...

    async def count_ends(self, tenant: str, run: str, prefix: str) -> int:
        """How many ended steps of the run have a key that starts with `prefix` and goes on with digits only."""
        ...

    async def list_steps(self, tenant: str, run: str, after: int, limit: int) -> list[tuple[int, StepRow]]:
        """(position, row) with a position over `after`, in order."""
        ...

    async def read_events(self, tenant: str, run: str, after: int, limit: int) -> list[Segment]:
        """Segments, in order, that hold events with a seq over `after`: at most `limit`, and none after the one with
        which all together have `EVENTS_ROOM` bytes."""
        ...

    async def get_session(self, tenant: str, agent: str, key: str) -> Session | None: ...

    async def list_turns(self, tenant: str, agent: str, key: str, before: int | None, limit: int) -> list[Turn]:
        """The newest `limit` turns with a number below `before`, oldest first."""
        ...

    async def list_trails(self, tenant: str, agent: str, key: str) -> list[Trail]:
        """The trails of a session from its last whole one on, oldest first."""
        ...

    async def list_live_turns(self, tenant: str, agent: str, key: str) -> list[Run]:
        """Queued, running and waiting turns, oldest first."""
        ...

    async def list_stale_sessions(self, at: int, limit: int) -> list[Session]:
        """Sessions whose `expires_at` has passed."""
        ...

    async def get_review(self, tenant: str, review: str) -> Review | None: ...

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
        """Oldest first, or `newest` first, with the next cursor."""
        ...

    async def list_expired_reviews(self, at: int, limit: int) -> list[Review]: ...

    async def count_open_reviews(self, tenant: str) -> OpenReviews: ...

    async def count_open_reviews_by_agent(self, limit: int) -> list[tuple[str, int, int]]:
        """Of all tenants: agent, how many, and when the oldest was asked; at most `limit` agents, by name."""
        ...

    async def list_facts(self, tenant: str, agent: str | None, since: int, limit: int) -> tuple[list[RunFact], bool]:
        """Of the newest `limit` runs those that were created at or after `since`, and whether these are all there are.
        A long payload is left out (`usage` and `error` None)."""
        ...

    async def list_sessions(
        self, tenant: str, agent: str, prefix: str, cursor: str | None, limit: int
    ) -> tuple[list[Session], str | None]:
        """Sessions whose key begins with `prefix`, by key, with the next cursor. Their state is left out (`{}`)."""
        ...

    async def count_queue(self, tenant: str | None, agent: str | None) -> Queue: ...

    async def list_backlogs(self) -> list[Backlog]:
        """For each tenant and agent with work that has not ended."""

    async def is_left(self, agent: str, before: int) -> bool:
        """Whether a run of the agent has been ready since `before`, or for longer than anybody knows."""
        ...

    async def count_begun(self) -> list[tuple[str, str, int]]:
        """(agent, release, runs) of those that are ready and have steps of an earlier attempt; at most 100 lines."""
        ...

    async def read_audit(self, tenant: str, after: int, limit: int) -> list[AuditSegment]:
        """Segments, in order, that hold entries with a number over `after`; at most `limit` segments."""
        ...

    async def count_audit(self) -> list[tuple[str, int]]:
        """For each tenant that has an audit log, the number of its last entry."""
        ...

    async def get_spend(self, tenant: str, scope: str, name: str, period: str) -> Amounts:
        """What `change.AddSpend` has added up; nothing when there is nothing."""
        ...

    async def list_costs(
        self, tenant: str, grouping: str, first_day: str, last_day: str, agent: str | None, limit: int
    ) -> list[Cost]:
        """What `change.AddCost` has added up on these days, both included, the dearest first. `grouping` is `agent`,
        `provider`, `model` (named with its provider), `day`, `session` (named with its agent), or `all`: one sum."""
        ...

    async def get_document(self, tenant: str, id: str) -> Document | None: ...

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
        """Oldest first, or `newest` first, with the next cursor; `tenant` None: of all tenants, oldest first."""
        ...

    async def list_runs_of_subject(self, tenant: str, subject: str, after: int, limit: int) -> list[RunOfSubject]:
        """Live ones too; in order, with a position over `after`."""
        ...

    async def list_sessions_of_subject(self, tenant: str, subject: str) -> list[tuple[str, str]]:
        """(agent, key) of the sessions that have a turn of the subject, its own or a copy in a fork."""
        ...

    async def erase_runs(self, tenant: str, subject: str, limit: int) -> Erased:
        """One bounded round: of the ended runs of a subject, `limit` at most with all that hangs on them; none when a
        hold of the records covers one of these. The turns of sessions stay (see `change.DropSession`)."""
        ...

    async def prune(self, retention: Retention, limit: int, after: int = 0) -> Pruned:
        """One bounded round. Of the `limit` runs that ended first, at `after` or later, and belong to no session, those
        go that are due and that no hold of the records covers, with their steps, events, reviews, deliveries and
        unreferenced payloads; and so do expired idempotency keys and remembered cancels."""
        ...


class Custody(Protocol):
    """What an operator asks of the records as a whole, beside the running work."""

    async def open(self) -> None:
        """Takes the records for this node and migrates forward. `RecordsLocked`: another node has them."""
        ...

    async def close(self) -> None:
        """Writes what was handed over, then lets go. A second call does nothing."""
        ...

    async def backup(self, target: str, progress: Callable[[int, int], None]) -> None:
        """A consistent copy, verified after it was written. `progress(done, total)` in pages."""
        ...

    def schema_version(self) -> int: ...
