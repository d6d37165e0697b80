"""A batch in one statement, or nearly: what nodes do all the time needs no conversation with the server.

The batch is applied by the same code as everywhere, on a `Database` that puts the rows of each statement aside and
answers that all of it stood. Then `Gathering.send` asks for everything at once: the statements of the batch are parts
(CTEs) of one, which is committed only if each has touched as many rows as was assumed, else a division fails and
nothing was written; the lane then does the batch again in detail. Whatever looks at what another part changes is worded
apart in `sql/postgres/gathered.sql`, and what has no such wording is not simple.

Parts see one snapshot, older than the locks that the statement itself waits for. A condition on the row that is
updated is looked at again in the newest version of that row, and unique indexes are never out of date; whoever must see
more (the turns of a session, remembered cancels) takes the locks in a statement before.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from msgspec import Struct

from pilothouse.ports import change as c
from pilothouse.storage.records import payload
from pilothouse.storage.records.memory import Memory
from pilothouse.storage.records.moves import DOERS
from pilothouse.storage.records.postgres.connection import PostgresConnection, is_lost
from pilothouse.storage.records.postgres.dialect import load
from pilothouse.storage.records.postgres.link import Mark
from pilothouse.storage.records.postgres.lock import Locks
from pilothouse.storage.records.shared import ADDED, Shared, add_up
from pilothouse.storage.records.ticket import Key, Ticket, name_of
from pilothouse.storage.records.wave import Wave

LOCKS, HEADS = "gathered_locks", "gathered_heads"

ON_RUN: Final = {
    name_of(kind): kind
    for kind in (c.InsertRun, c.KeepRun, c.FinishRun, c.ParkRun, c.RequeueRun, c.WakeRun, c.RequestCancel)
}
"""They return the run and its status. Ends that somebody else than its attempt gives a run are left out: what the
attempt has begun meanwhile (an open review) must be seen behind the lock."""
STATUS_AT = {"insert_run": 7, "keep_run": 5, "finish_run": 3}
OVERTAKEN = "queued"
"""What a park has come to as long as nobody knows better: then everybody looks again, which hurts nobody."""

ACTS: Final = frozenset(
    {*ON_RUN, "insert_idempotency", "resolve_step", "take_turn", "close_review", "extend_review", "settle_delivery",
     "retry_delivery", "gathered_turns"}
)  # fmt: skip
"""Each row must have touched one."""

PARTS: Final = (
    LOCKS, "insert_idempotency", "insert_run", "keep_run", "finish_run", "park_run", "requeue_run", "wake_run",
    "request_cancel", "resolve_step", "take_turn", "gathered_turns", "gathered_uses", "gathered_releases",
    "gathered_advance", "append_step", "append_events", "insert_review", "close_review", "extend_review",
    "cancel_reviews", "insert_delivery", "settle_delivery", "retry_delivery", "keep_payload", "use_payload",
    HEADS, "gathered_audit", "add_spend", "add_cost",
)  # fmt: skip
"""Rows that all nodes write (heads, then spend and cost) come last and in one order; see `lock`."""

TAKEN: Final = frozenset(PARTS) | {"fence", "advance_session", "append_turn", "release_payloads", "append_audit"}
REPEATED: Final = frozenset({c.ResolveStep, c.InsertDelivery})
"""Of these a Change may have several: none of them sees another one."""
NOTHING: Final = frozenset({"savepoint wave", "release wave"})

_SOURCE = re.compile(r"select \* from unnest\([^()]*\)")
_NUMBER = re.compile(r"\$(\d+)")


class NotSimple(Exception):
    """The batch needs another statement as well."""


class Gathering:
    """A `Database` for one batch."""

    def __init__(self, connection: PostgresConnection, memory: Memory) -> None:
        self._connection, self._memory = connection, memory
        self._rows: dict[str, list[tuple[Any, ...]]] = {}

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        if name == "last_seq":
            return self._connection.many(name, rows)
        if name == "last_entry":
            return [(tenant, 0) for (tenant,) in rows]  # The statement numbers them itself.
        if name not in TAKEN:
            raise NotSimple(name)
        self._rows.setdefault(name, []).extend(rows)
        if name == "take_turn":
            return [(row[0], row[1], 0) for row in rows]  # So it does with turns.
        if name in ON_RUN:
            at = STATUS_AT.get(name)
            return [(row[0], row[1], OVERTAKEN if at is None else row[at]) for row in rows]
        return [row[:2] for row in rows] if name in ACTS else []

    def ask(self, name: str, values: dict[str, Any]) -> list[Any]:
        raise NotSimple(name)

    def execute(self, statements: str) -> Any:
        if statements not in NOTHING:
            raise NotSimple(statements)

    @property
    def must_tell(self) -> bool:
        """Whether a caller has to know what became of a run even when the answer to the commit is lost."""
        return "request_cancel" in self._rows

    def send(self, locks: Locks, mark: Mark) -> dict[tuple[str, str, str], str]:
        """`mark`: the new number of the batch, the time, the lane, the number before. What became of the runs: their
        status, by statement, tenant and id. Raises when anything did not stand."""
        rows = self._parts(locks)
        composed = compose(tuple(name for name in PARTS if name in rows))
        values: list[Any] = [*mark]
        for name in composed.parts:
            if name != "gathered_uses":
                values += zip(*rows[name], strict=True)
        values += (len(rows[name]) for name in composed.counted)
        if LOCKS in rows:
            values.append(sum(row[2] is not None for row in rows[LOCKS]))
        found = self._connection.fetch(composed.text, *values)
        return {(name, tenant, id): status for name, tenant, id, status, _ in found}

    def _parts(self, locks: Locks) -> dict[str, list[tuple[Any, ...]]]:
        """The rows of each part."""
        rows = self._rows
        fences = set(rows.pop("fence", ()))
        runs: list[tuple[Any, ...]] = list(fences)
        runs += ((*run, None) for run in locks.runs.difference((tenant, id) for tenant, id, _ in fences))
        if runs:
            rows[LOCKS] = runs
        if turns := rows.pop("append_turn", None):
            rows["gathered_turns"] = self._turns(turns)
            rows["gathered_uses"] = []
        if released := rows.pop("release_payloads", None):
            rows["gathered_releases"] = released
        if advanced := rows.pop("advance_session", None):
            rows["gathered_advance"] = self._advances(advanced)
        if entries := rows.pop("append_audit", None):
            rows[HEADS] = [(tenant, count) for tenant, _, count, _ in entries]
            rows["gathered_audit"] = [(tenant, count, lines) for tenant, _, count, lines in entries]
        for name in ADDED:
            if name in rows:  # of several waves
                rows[name] = add_up(name, rows[name])
        return rows

    def _turns(self, turns: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """A turn is a copy of its run, whose end is a row of this statement."""
        ends = {(row[0], row[1]): (row[4], row[3], row[7]) for row in self._rows.get("finish_run", ())}
        found = []
        for tenant, agent, session, _, run, _, trail, is_whole in turns:
            end = ends.get((tenant, run))
            if end is None:
                raise NotSimple("append_turn")
            if payload.is_mark(end[0]):
                use = (tenant, payload.owner_of_turns(agent, session), end[0][1:])
                self._rows.setdefault("use_payload", []).append(use)
            found.append((tenant, agent, session, run, *end, trail, is_whole))
        return found

    def _advances(self, advanced: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """With the run that ends. Whoever else advances a session (a remembered cancel) is not simple."""
        ended: dict[object, str] = {}
        for row in self._rows.get("finish_run", ()):
            mark = self._memory.session_of((row[0], row[1]))
            if mark is not None:
                ended[mark] = row[1]
        try:
            return [(*row, ended[row[0], row[2], row[1]]) for row in advanced]
        except KeyError:
            raise NotSimple("advance_session") from None


class Composed(Struct, frozen=True):
    """`counted`: parts that must have touched a row for each of theirs."""

    text: str
    parts: tuple[str, ...]
    counted: tuple[str, ...]


@cache
def compose(parts: tuple[str, ...]) -> Composed:
    """The statement for a batch with these parts, in the order of PARTS. Its values: the mark, the columns of each
    part, how many rows each counted part must have touched, and how many fences must hold. At most a few dozen are
    ever asked for: what nodes do at once is always the same."""
    worded = load()
    texts = [f"mark as ({worded['mark_batch'].text})"]
    taken = len(worded["mark_batch"].names)
    waits: list[str] = []
    for name in parts:
        text = _NUMBER.sub(lambda found, by=taken: f"${int(found[1]) + by}", worded[name].text)  # type: ignore[misc]
        taken += worded[name].columns
        before = waits if name == HEADS else [one for one in (LOCKS, HEADS) if one in parts and one in waits]
        if name != LOCKS and before:
            all_done = " + ".join(f"(select count(*) from {one})" for one in before)
            text = _SOURCE.sub(lambda found, last=all_done: f"{found[0]} where {last} >= 0", text, count=1)  # type: ignore[misc]
        is_read = name in (LOCKS, "gathered_releases")
        if not is_read and "returning" not in text:
            text += " returning 1"
        texts.append(f"{name} as {'materialized ' if is_read else ''}({text})")
        waits.append(name)
    counted = tuple(name for name in parts if name in ACTS)
    holds = ["(select count(*) from mark) = 1"]
    for name in counted:
        taken += 1
        holds.append(f"(select count(*) from {name}) = ${taken}::bigint")
    if LOCKS in parts:
        taken += 1
        holds.append(f"(select count(epoch) from {LOCKS}) = ${taken}::bigint")
    none = [name for name in ("gathered_releases", "cancel_reviews") if name in parts]
    holds += [f"not exists (select 1 from {name})" for name in none]  # what comes of their rows is done in detail
    held = f"1 / (case when {' and '.join(holds)} then 1 else 0 end)"
    said = [f"select '' as part, '' as tenant, '' as id, '' as status, {held}"]
    said += [f"select '{name}', tenant, id, status, 1 from {name}" for name in parts if name in ON_RUN]
    return Composed(f"with {', '.join(texts)} {' union all '.join(said)}", parts, counted)


def is_in_order(moves: Sequence[c.Statement]) -> bool:
    """Whether the moves of a Change may as well be made at the same time."""
    kinds = [kind for move in moves if (kind := type(move)) not in REPEATED]
    return len(set(kinds)) == len(kinds) and not (c.InsertReview in kinds and c.CancelReviews in kinds)


def apply_at_once(
    connection: PostgresConnection, memory: Memory, tickets: list[Ticket], locks: Locks, mark: Mark
) -> bool:
    """Applies tickets that are one wave, and commits. False: nothing was written, since something does not hold or
    needs more than this. Raises when the connection is lost."""
    if not all(len(ticket.moves) < 2 or is_in_order(ticket.moves) for ticket in tickets):
        return False
    gathering = Gathering(connection, memory)
    begun = False
    try:
        shared = Shared()
        Wave(gathering, memory, tickets, DOERS, shared).apply()
        shared.write(gathering, memory)
        if locks.by_number or gathering.must_tell:
            connection.execute(locks.begin())
            begun = True
        _tell_statuses(tickets, gathering.send(locks, mark))
        if begun:
            connection.execute("commit")
    except Exception as error:
        if is_lost(error):
            raise
        memory.forget()
        if begun:
            connection.execute("rollback")
        return False
    return True


def _tell_statuses(tickets: list[Ticket], statuses: dict[tuple[str, str, str], str]) -> None:
    """What a run became is known only now (a turn stands in line, a park was overtaken)."""
    for ticket in tickets:
        for statement in ticket.moves:
            key: Key = statement.key
            status = statuses.get((name_of(type(statement)), *key))
            if status is not None:
                ticket.outcome.status = status
