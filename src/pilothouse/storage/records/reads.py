"""Reads, on connections of their own that never wait for the writer.

A read of a few rows takes some ten microseconds and runs on the loop's thread; whatever may return many rows goes to
the one reader thread. Both see every transaction whose callers have been told, since they begin after its commit.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pilothouse.domain.budget import Amounts
from pilothouse.domain.cost import Cost
from pilothouse.domain.event import Segment
from pilothouse.domain.evidence import AuditSegment
from pilothouse.domain.journal import StepRow
from pilothouse.domain.overview import RunFact
from pilothouse.domain.review import Review
from pilothouse.domain.run import LIVE, Run
from pilothouse.domain.session import Session, Trail, Turn
from pilothouse.ports.records import (
    EVENTS_ROOM,
    Backlog,
    Document,
    Idempotency,
    OpenReviews,
    Page,
    Queue,
    RunFilter,
    RunOfSubject,
)
from pilothouse.storage.records import cursor as cursors
from pilothouse.storage.records.payload import is_mark
from pilothouse.storage.records.place import Place
from pilothouse.storage.records.rows import review_of, run_of, session_of, step_of, whole
from pilothouse.storage.records.statements import Database, ask

T = TypeVar("T")
END = 2**63 - 1
LAST_CHARACTER = "\U0010ffff"
ROWS_LIMIT = 10_000
"""Rows one read returns at most, whatever was asked for."""


ListSteps = Callable[[Any, str, str, int, int], list[tuple[int, StepRow]]]


class Reads:
    def __init__(self, place: Place, loop: AbstractEventLoop) -> None:
        self._place = place
        self._loop = loop
        self._near = place.connect()
        self._far = place.connect()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="records-reader")

    def stop(self) -> None:
        """Ends the reads aside. Blocks: not to be called on the loop."""
        self._reader.shutdown(cancel_futures=True)

    def close(self) -> None:
        """After `stop`, on the loop."""
        self._near.close()
        self._far.close()

    def now(self, read: Callable[..., T], *values: Any) -> T:
        with self._place.gate():
            return read(self._near, *values)

    async def aside(self, read: Callable[..., T], *values: Any) -> T:
        def work() -> T:
            with self._place.gate():
                return read(self._far, *values)

        return await self._loop.run_in_executor(self._reader, work)

    async def rows(self, limit: int, read: Callable[..., T], *values: Any) -> T:
        """Here when at most a few rows are wanted, aside when more."""
        if limit <= self._place.options.inline_rows:
            return self.now(read, *values, limit)
        return await self.aside(read, *values, min(limit, ROWS_LIMIT))

    async def journal(self, list_steps: ListSteps, tenant: str, run: str) -> list[StepRow]:
        """A short journal is read here; of a long one the rest is read aside, in pieces."""
        size = self._place.options.inline_rows
        found = self.now(list_steps, tenant, run, 0, size)
        rows = [row for _, row in found]
        while len(found) == size:
            size = ROWS_LIMIT
            found = await self.aside(list_steps, tenant, run, found[-1][0], size)
            rows += [row for _, row in found]
        return rows


# --- runs -------------------------------------------------------------------------------------------------------------


def get_run(connection: Database, tenant: str, run: str) -> Run | None:
    rows = ask(connection, "get_run", tenant=tenant, run=run)
    return run_of(connection, rows[0]) if rows else None


def list_runs(connection: Database, tenant: str, where: RunFilter, cursor: str | None, limit: int) -> Page:
    limit = min(limit, ROWS_LIMIT)
    of = ("runs", tenant, where)
    before = END if cursor is None else cursors.read(cursor, *of)
    statuses = f" {' '.join(where.statuses)} " if where.statuses else None
    values = {"agent": where.agent, "session": where.session, "parent": where.parent, "statuses": statuses}
    rows = ask(connection, list_for(where), tenant=tenant, before=before, limit=limit + 1, **values)
    more = cursors.make(rows[limit - 1][0], *of) if len(rows) > limit else None
    return Page([run_of(connection, row[1:]) for row in rows[:limit]], more)


def list_for(where: RunFilter) -> str:
    """The statement whose index fits the filter best."""
    if where.parent is not None:
        return "list_runs_of_parent"
    if where.session is not None and where.agent is not None:
        return "list_runs_of_session"
    if where.statuses and LIVE.issuperset(where.statuses):
        return "list_live_runs"
    if where.statuses == ("failed",):
        return "list_failed_runs"
    return "list_runs" if where.agent is None else "list_runs_of_agent"


def list_runs_of_subject(connection: Database, tenant: str, subject: str, after: int, limit: int) -> list[RunOfSubject]:
    rows = ask(connection, "list_runs_of_subject", tenant=tenant, subject=subject, after=after, limit=limit)
    return [RunOfSubject(*row) for row in rows]


def list_sessions_of_subject(connection: Database, tenant: str, subject: str) -> list[tuple[str, str]]:
    rows = ask(connection, "list_sessions_of_subject", tenant=tenant, subject=subject)
    return [(agent, key) for agent, key in rows]


def list_live_children(connection: Database, tenant: str, parent: str) -> list[str]:
    return [run for (run,) in ask(connection, "list_live_children", tenant=tenant, parent=parent)]


def list_live_turns(connection: Database, tenant: str, agent: str, key: str) -> list[Run]:
    return [run_of(connection, row) for row in ask(connection, "list_live_turns", tenant=tenant, agent=agent, key=key)]


def list_expired(connection: Database, at: int, limit: int) -> list[Run]:
    return [run_of(connection, row) for row in ask(connection, "list_expired", at=at, limit=limit)]


def list_holding(connection: Database) -> list[str]:
    return [hold for (hold,) in ask(connection, "list_holding")]


def list_owned(connection: Database, owner: str, limit: int) -> list[Run]:
    return [run_of(connection, row) for row in ask(connection, "list_owned", owner=owner, limit=limit)]


def list_cancelled(connection: Database, owner: str, limit: int) -> list[Run]:
    return [run_of(connection, row) for row in ask(connection, "list_cancelled", owner=owner, limit=limit)]


def list_overdue(connection: Database, at: int, limit: int) -> list[Run]:
    return [run_of(connection, row) for row in ask(connection, "list_overdue", at=at, limit=limit)]


def next_due(connection: Database) -> int | None:
    [(at,)] = ask(connection, "next_due")
    return at if at is None else int(at)


def count_begun(connection: Database) -> list[tuple[str, str, int]]:
    return [(agent, release, count) for agent, release, count in ask(connection, "count_begun")]


def count_queue(connection: Database, tenant: str | None, agent: str | None) -> Queue:
    counts = {
        (status, bool(ready)): n for status, ready, n in ask(connection, "count_live", tenant=tenant, agent=agent)
    }
    return _queue(counts)


def list_backlogs(connection: Database) -> list[Backlog]:
    counts: dict[tuple[str, str], dict[tuple[str, bool], int]] = {}
    oldest: dict[tuple[str, str], int] = {}
    for tenant, agent, status, ready, count, oldest_at in ask(connection, "list_backlogs"):
        counts.setdefault((tenant, agent), {})[status, bool(ready)] = count
        if oldest_at is not None:
            oldest[tenant, agent] = oldest_at
    return [Backlog(*key, _queue(found), oldest.get(key)) for key, found in counts.items()]


def is_left(connection: Database, agent: str, before: int) -> bool:
    return bool(ask(connection, "is_left", agent=agent, before=before))


def _queue(counts: dict[tuple[str, bool], int]) -> Queue:
    running = counts.get(("running", False), 0)
    waiting = counts.get(("waiting", False), 0)
    return Queue(counts.get(("queued", True), 0), counts.get(("queued", False), 0), running, waiting)


def list_facts(
    connection: Database, tenant: str, agent: str | None, since: int, limit: int
) -> tuple[list[RunFact], bool]:
    name = "list_facts" if agent is None else "list_facts_of_agent"
    rows = ask(connection, name, tenant=tenant, agent=agent, limit=limit + 1)
    is_whole = len(rows) <= limit or rows[-1][3] < since
    return [RunFact(*map(_unless_aside, row)) for row in rows[:limit] if row[3] >= since], is_whole


def _unless_aside(value: Any) -> Any:
    return None if isinstance(value, bytes) and is_mark(value) else value


def find_idempotency(connection: Database, tenant: str, key: str, at: int) -> Idempotency | None:
    rows = ask(connection, "find_idempotency", tenant=tenant, key=key, at=at)
    return Idempotency(*rows[0]) if rows else None


# --- journal and events -----------------------------------------------------------------------------------------------


def list_steps(connection: Database, tenant: str, run: str, after: int, limit: int) -> list[tuple[int, StepRow]]:
    rows = ask(connection, "load_journal", tenant=tenant, run=run, after=after, limit=limit)
    return [(pos, step_of(connection, tenant, packed)) for pos, packed in rows]


def count_ends(connection: Database, tenant: str, run: str, prefix: str) -> int:
    [(count,)] = ask(connection, "count_ends", tenant=tenant, run=run, prefix=prefix)
    return int(count)


def read_events(connection: Database, tenant: str, run: str, after: int, limit: int) -> list[Segment]:
    found: list[Segment] = []
    size = 0
    for row in ask(connection, "read_events", tenant=tenant, run=run, after=after, limit=limit):
        if size >= EVENTS_ROOM:
            break
        found.append(Segment(*whole(connection, tenant, row, (4,))))
        size += len(found[-1].data)
    return found


# --- sessions ---------------------------------------------------------------------------------------------------------


def get_session(connection: Database, tenant: str, agent: str, key: str) -> Session | None:
    rows = ask(connection, "get_session", tenant=tenant, agent=agent, key=key)
    return session_of(connection, rows[0]) if rows else None


def list_turns(connection: Database, tenant: str, agent: str, key: str, before: int | None, limit: int) -> list[Turn]:
    last = END if before is None else before
    rows = ask(connection, "list_turns", tenant=tenant, agent=agent, key=key, before=last, limit=limit)
    return [Turn(*whole(connection, tenant, row, (2, 3))) for row in reversed(rows)]


def list_trails(connection: Database, tenant: str, agent: str, key: str) -> list[Trail]:
    found = []
    for row in ask(connection, "list_trails", tenant=tenant, agent=agent, key=key):
        _, content, is_whole = whole(connection, tenant, row, (1,))
        found.append(Trail(content, bool(is_whole)))
    return found


def list_sessions(
    connection: Database, tenant: str, agent: str, prefix: str, cursor: str | None, limit: int
) -> tuple[list[Session], str | None]:
    limit = min(limit, ROWS_LIMIT)
    of = ("sessions", tenant, agent, prefix)
    values: dict[str, Any] = {"tenant": tenant, "agent": agent, "prefix": prefix, "limit": limit + 1}
    values["after"] = "" if cursor is None else key_at(connection, tenant, cursors.read(cursor, *of))
    rows = ask(connection, "list_sessions", end=prefix + LAST_CHARACTER, **values)
    more = cursors.make(rows[limit - 1][0], *of) if len(rows) > limit else None
    return [session_of(connection, row[1:]) for row in rows[:limit]], more


def key_at(connection: Database, tenant: str, pos: int) -> str:
    """The key of the session at a position; one that is gone meanwhile leads to the first page."""
    rows = ask(connection, "key_of_session", tenant=tenant, pos=pos)
    return str(rows[0][0]) if rows else ""


def list_stale_sessions(connection: Database, at: int, limit: int) -> list[Session]:
    return [session_of(connection, row) for row in ask(connection, "list_stale_sessions", at=at, limit=limit)]


# --- reviews ----------------------------------------------------------------------------------------------------------


def get_review(connection: Database, tenant: str, review: str) -> Review | None:
    rows = ask(connection, "get_review", tenant=tenant, review=review)
    return review_of(connection, rows[0]) if rows else None


def list_reviews(
    connection: Database,
    tenant: str,
    status: str | None,
    run: str | None,
    kind: str | None,
    newest: bool,
    cursor: str | None,
    limit: int,
) -> tuple[list[Review], str | None]:
    limit = min(limit, ROWS_LIMIT)
    of = ("reviews", tenant, status, run, kind, newest)
    values: dict[str, Any] = {"tenant": tenant, "limit": limit + 1} | _from(cursor, newest, of)
    order = "_newest" if newest else ""
    if run is not None:
        rows = ask(connection, f"list_reviews_of_run{order}", run=run, status=status, kind=kind, **values)
    elif status == "open":
        rows = ask(connection, f"list_open_reviews{order}", kind=kind, **values)
    elif kind is not None:
        rows = ask(connection, f"list_reviews_of_kind{order}", status=status, kind=kind, **values)
    else:
        rows = ask(connection, f"list_reviews{order}", status=status, **values)
    more = cursors.make(rows[limit - 1][0], *of) if len(rows) > limit else None
    return [review_of(connection, row[1:]) for row in rows[:limit]], more


def _from(cursor: str | None, newest: bool, of: tuple[object, ...]) -> dict[str, int]:
    """Where a list that may go either way goes on."""
    at = None if cursor is None else cursors.read(cursor, *of)
    if newest:
        return {"before": END if at is None else at}
    return {"after": 0 if at is None else at}


def count_open_reviews(connection: Database, tenant: str) -> OpenReviews:
    [row] = ask(connection, "count_open_reviews", tenant=tenant)
    return OpenReviews(*row)


def count_open_reviews_by_agent(connection: Database, limit: int) -> list[tuple[str, int, int]]:
    return [tuple(row) for row in ask(connection, "count_open_reviews_by_agent", limit=limit)]


def list_expired_reviews(connection: Database, at: int, limit: int) -> list[Review]:
    return [review_of(connection, row) for row in ask(connection, "list_expired_reviews", at=at, limit=limit)]


# --- evidence and oversight -------------------------------------------------------------------------------------------


def read_audit(connection: Database, tenant: str, after: int, limit: int) -> list[AuditSegment]:
    return [AuditSegment(*row) for row in ask(connection, "read_audit", tenant=tenant, after=after, limit=limit)]


def count_audit(connection: Database) -> list[tuple[str, int]]:
    return [(tenant, seq) for tenant, seq in ask(connection, "count_audit")]


def get_spend(connection: Database, tenant: str, scope: str, name: str, period: str) -> Amounts:
    rows = ask(connection, "get_spend", tenant=tenant, scope=scope, who=name, period=period)
    if not rows:
        return Amounts()
    tokens, cost_nano, model_calls, tool_calls, steps, wall_us = rows[0]
    return Amounts(tokens, cost_nano / 1e9, model_calls, tool_calls, steps, wall_us / 1e6)


def list_costs(
    connection: Database, tenant: str, grouping: str, first_day: str, last_day: str, agent: str | None, limit: int
) -> list[Cost]:
    of = {"tenant": tenant, "first_day": first_day, "last_day": last_day, "whose": agent or "", "limit": limit}
    if grouping == "session":
        rows = ask(connection, "list_costs_of_sessions", **of)
    else:
        rows = ask(connection, "list_costs", grouping=grouping, **of)
    return [  # PostgreSQL sums whole numbers as decimals
        Cost(name, int(calls), int(unpriced), int(untold), int(given), int(said), int(cached), int(nano) / 1e9)
        for name, calls, unpriced, untold, given, said, cached, nano in rows
    ]


def get_document(connection: Database, tenant: str, id: str) -> Document | None:
    rows = ask(connection, "get_document", tenant=tenant, id=id)
    return Document(*rows[0]) if rows else None


def list_documents(
    connection: Database,
    tenant: str | None,
    kind: str,
    state: str | None,
    newest: bool,
    cursor: str | None,
    limit: int,
) -> tuple[list[Document], str | None]:
    limit = min(limit, ROWS_LIMIT)
    of = ("documents", tenant, kind, state, newest)
    name = "list_documents_of_all" if tenant is None else "list_documents_newest" if newest else "list_documents"
    values = _from(cursor, newest, of)
    rows = ask(connection, name, tenant=tenant, kind=kind, state=state, limit=limit + 1, **values)
    more = cursors.make(rows[limit - 1][0], *of) if len(rows) > limit else None
    return [Document(*row[1:]) for row in rows[:limit]], more
