"""Alerts: each node tells what it counted, and whoever looks next judges what all of them did.

The book of an agent is a document under a version, and the Change that keeps it also holds what follows from it: the
deliveries and the incident. So of several nodes, and of a node and its next life, exactly one tells that an alert fired
or was resolved; who loses reads the book again. A node that is killed loses what it counted in the last minute. When a
commit is not heard of, that minute may be counted twice, which moves a share by nothing and a cost by a minute's worth.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from pilothouse.domain.alert import Book, Gained, Habits
from pilothouse.domain.delivery import AlertEvent
from pilothouse.domain.objective import Alert, Objectives
from pilothouse.domain.usual import SLOT, KeptSlots, Quantity
from pilothouse.engine.encoding import encode
from pilothouse.engine.incident import incident_of_alert
from pilothouse.engine.outbox import BELL, tell_alert
from pilothouse.engine.own_key import NOBODY
from pilothouse.engine.timer import count_reviews
from pilothouse.engine.world import World
from pilothouse.ports.change import Change, Conflict, Statement, WriteDocument
from pilothouse.ports.records import Document

BOOK, HABITS = "alert", "usual"
TRIES = 5
PAGE = 500
RESOLVED_SHOWN = 200
RETIRED_AFTER = 3600 * 1_000_000
"""A book that nobody has touched for so long is about an agent that is judged no more."""

Facts = Callable[[Alert], bytes]
"""An alert as receivers read it: a JSON object."""
_read_book = msgspec.json.Decoder(Book).decode
_read_habits = msgspec.json.Decoder(dict[Quantity, KeptSlots]).decode


class Judged(Struct, frozen=True):
    """What fires now, what this look changed, and whether what was gained is kept."""

    firing: list[Alert]
    changes: list[Alert]
    is_kept: bool


async def judge_alerts(
    world: World, agent: str, objectives: Objectives, gained: Gained, facts: Facts, *, is_last: bool = False
) -> Judged:
    """Adds what this node counted to the book of the agent and judges it. `is_last`: what was counted is kept now, for
    this node ends. Raises `RecordsUnavailable`."""
    firing: list[Alert] = []
    for _ in range(TRIES):
        found = await world.records.get_document(NOBODY, f"{BOOK}:{agent}")
        book = Book() if found is None else _read_book(found.body)
        reviews: dict[str, tuple[int, float]] = {}
        if objectives.review_within_seconds is not None:  # after the book: a verdict that it knows is seen here too
            reviews = await count_reviews(world)
        at = world.clock.now()
        book.slot = book.slot or at // (SLOT * 1_000_000)
        book.add(gained, at)
        rows: list[Statement] = []
        changes: list[Alert] = []
        if book.has_ended(at) and objectives.anomalies:
            known = await world.records.get_document(NOBODY, f"{HABITS}:{agent}")
            habits = Habits() if known is None else Habits(_read_habits(known.body))
            changes += book.judge_habits(agent, habits, at)
            rows.append(_write(f"{HABITS}:{agent}", HABITS, known, encode(habits.keep()), at))
        changes += book.judge(agent, objectives, at, reviews.get(agent, (0, 0.0))[1])
        firing = list(book.firing.values())
        if not (changes or rows or book.is_due(at, gained) or (is_last and gained)):
            break
        if await _keep(world, agent, found, book, changes, rows, facts, at):
            return Judged(firing, changes, is_kept=True)
    return Judged(firing, [], is_kept=False)


async def list_alerts(world: World, with_resolved: bool) -> list[Alert]:
    """Those that fire, of all nodes, the worst first; then the last ones that were resolved, the newest first."""
    books = [_read_book(one.body) for one in await _documents(world)]
    firing = sorted((one for book in books for one in book.firing.values()), key=lambda one: (one.severity, one.since))
    if not with_resolved:
        return firing
    resolved = [one for book in books for one in book.resolved]
    return [*firing, *sorted(resolved, key=lambda one: -(one.resolved_at or 0))[:RESOLVED_SHOWN]]


async def retire_alerts(world: World, judged: Sequence[str], facts: Facts) -> list[Alert]:
    """Resolves what fires of agents that no node judges any more, and forgets their books. Gives what was resolved."""
    at, resolved = world.clock.now(), list[Alert]()
    for one in await _documents(world):
        agent = one.id.partition(":")[2]
        if agent in judged or at - one.updated_at < RETIRED_AFTER:
            continue
        book = _read_book(one.body)
        changes = book.close(at)
        habits = await world.records.get_document(NOBODY, f"{HABITS}:{agent}")
        rows = [] if habits is None else [_write(habits.id, HABITS, habits, None, at)]
        if await _keep(world, agent, one, None, changes, rows, facts, at):
            resolved += changes
    return resolved


async def _keep(
    world: World, agent: str, found: Document | None, book: Book | None, changes: list[Alert],
    rows: Sequence[Statement], facts: Facts, at: int,
) -> bool:  # fmt: skip
    """False: somebody else was faster."""
    body: bytes | None = None
    if book is not None:
        book.kept_at = at
        body = encode(book)
    said: list[Any] = [_write(f"{BOOK}:{agent}", BOOK, found, body, at), *rows]
    for alert in changes:
        kind: AlertEvent = "alert.fired" if alert.resolved_at is None else "alert.resolved"
        said += tell_alert(world, kind, agent, facts(alert))
        if kind == "alert.fired":
            said += await incident_of_alert(world, agent, alert.objective, alert.since, facts(alert))
    try:
        await world.records.commit(Change(tuple(said)))
    except Conflict:
        return False
    if changes:
        world.bus.ring(BELL)
        world.bus.ring("timer")
    return True


def _write(id: str, kind: str, found: Document | None, body: bytes | None, at: int) -> WriteDocument:
    return WriteDocument(NOBODY, id, kind, 0 if found is None else found.version, "", body, at)


async def _documents(world: World) -> list[Document]:
    found: list[Document] = []
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(NOBODY, BOOK, None, cursor, PAGE)
        found += page
        if cursor is None:
            return found
