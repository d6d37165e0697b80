"""Statements and expectations with everything filled in that a clause does not talk about.

One tenant, one agent and one instant serve all clauses; what a clause is about it says itself.
"""

from collections.abc import Awaitable
from typing import Any, Protocol

from msgspec.structs import replace

from pilothouse.domain.event import Segment, line
from pilothouse.domain.journal import BEGUN, ENDED, StepRow
from pilothouse.domain.run import Run
from pilothouse.ports.change import (
    AppendEvents,
    AppendStep,
    CancelReviews,
    Change,
    Conflict,
    Fence,
    FinishRun,
    InsertReview,
    InsertRun,
    Receipt,
    Refused,
    Statement,
    TakeTurn,
)
from pilothouse.ports.records import Claim, ClaimWish, Custody, Records

TENANT = "acme"
AGENT = "desk"
RELEASE = "r1"
AT = 1_700_000_000_000_000
SECOND = 1_000_000
LEASE = AT + 10 * SECOND
LONG = b'"' + b"x" * 20_000 + b'"'
"""A payload that a backend may keep elsewhere."""

_INSERT = InsertRun(
    tenant=TENANT,
    id="",
    agent=AGENT,
    release=RELEASE,
    mode="event",
    session=None,
    subject=None,
    status="queued",
    priority=0,
    input=b'{"n":1}',
    metadata=b"{}",
    attempt=1,
    epoch=0,
    owner=None,
    lease_until=None,
    ready=True,
    due_at=None,
    deadline_at=None,
    parent=None,
    parent_key=None,
    origin=None,
    created_at=AT,
    started_at=None,
)
_BORN = replace(_INSERT, status="running", epoch=1, owner="node-1", lease_until=LEASE, ready=False, started_at=AT)


class OpenRecords(Records, Custody, Protocol):
    """What the fixture yields."""


def queued(run: str, **fields: Any) -> InsertRun:
    """A run that waits for a claim."""
    return replace(_INSERT, id=run, **fields)


def born(run: str, **fields: Any) -> InsertRun:
    """A run that is claimed from the start, with epoch 1."""
    return replace(_BORN, id=run, **fields)


def turn(run: str, key: str = "chat", **fields: Any) -> InsertRun:
    """A turn that is born claimed when its session is free."""
    return born(run, mode="session", session=key, **fields)


def delayed(run: str, due_at: int, key: str | None = None, **fields: Any) -> InsertRun:
    """A run, or a turn, that is not to start before an instant."""
    return queued(run, ready=False, due_at=due_at, session=key, **fields)


def finish(run: str, epoch: int = 1, status: str = "succeeded", **fields: Any) -> FinishRun:
    output = b'{"done":true}' if status == "succeeded" else None
    error = None if status == "succeeded" else b'{"code":"agent_failed"}'
    return replace(FinishRun(TENANT, run, epoch, status, output, error, None, AT + SECOND), **fields)


def cancels(run: str, at: int = AT, tenant: str = TENANT) -> CancelReviews:
    return CancelReviews(tenant, run, at, b'{"kind":"review.cancelled","run":"%b"}' % run.encode())


def fence(run: str, epoch: int = 1, tenant: str = TENANT) -> Fence:
    return Fence(tenant, run, epoch)


def ended(key: str, output: bytes | None = b"1", **fields: Any) -> StepRow:
    row = StepRow(key, "step", key, ENDED, "succeeded", output=output, started_at=AT, finished_at=AT + 1)
    return replace(row, **fields)


def begun(key: str, **fields: Any) -> StepRow:
    return replace(StepRow(key, "signal", key, BEGUN, "started", started_at=AT), **fields)


def step(run: str, row: StepRow, tenant: str = TENANT) -> AppendStep:
    return AppendStep(tenant, run, row)


def told(run: str, *kinds: str, tenant: str = TENANT) -> AppendEvents:
    """Events of these kinds."""
    lines = b"".join(line(kind, b'{"run":"%b"}' % run.encode()) for kind in kinds)
    return AppendEvents(tenant, run, AT, len(kinds), lines)


def takes(run: str, key: str = "chat", version: int = 0, state: bytes | None = None, **fields: Any) -> TakeTurn:
    return replace(TakeTurn(TENANT, key, AGENT, run, version, state, AT + SECOND, None), **fields)


def asks(review: str, run: str, **fields: Any) -> InsertReview:
    row = InsertReview(TENANT, review, run, f"ask-{review}", AGENT, "gate", "May I?", b'{"cents":1200}', AT, None)
    return replace(row, **fields)


def wish(count: int, agent: str = AGENT, release: str = RELEASE) -> ClaimWish:
    return ClaimWish(agent, count, release)


def claim(*wishes: ClaimWish, owner: str = "node-1", at: int = AT, until: int = LEASE) -> Claim:
    return Claim(owner, at, until, wishes)


def put(records: Records, *statements: Statement) -> Awaitable[Receipt]:
    """One Change, handed over at once; its receipt when it is awaited."""
    return records.commit(Change(statements))


async def falls(change: Awaitable[object]) -> str:
    """The name of the statement that fell."""
    try:
        await change
    except Conflict as conflict:
        return conflict.statement
    raise AssertionError("the Change stands, though one of its expectations should have fallen")


async def is_refused(change: Awaitable[object], kind: str) -> bool:
    """Whether the records refuse the Change for what it is, and name this kind of statement."""
    try:
        await change
    except Refused as refused:
        return kind in str(refused)
    return False


async def read(records: Records, run: str, tenant: str = TENANT) -> Run:
    """A run that must be there."""
    found = await records.get_run(tenant, run)
    assert found is not None, f"{run} is not in the records"
    return found


async def all_events(records: Records, run: str, tenant: str = TENANT) -> list[Segment]:
    return await records.read_events(tenant, run, 0, 1000)


def is_gapless(segments: list[Segment]) -> bool:
    """Whether the numbers go 1..n without gap or repeat (I3)."""
    following = 1
    for segment in segments:
        if segment.seq != following or segment.data.count(b"\n") != segment.count:
            return False
        following = segment.last + 1
    return True
