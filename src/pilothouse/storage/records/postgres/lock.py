"""The locks of a transaction, in the one order in which all nodes take them: births, sessions, runs, logs.

Who has locked what it touches before it looks sees it as it is, and nobody changes it until the commit. So everything
that is right on SQLite because one writer writes is right here as well, whatever other nodes do. Sessions have no row
until their first turn has ended, and a cancel may come before its run: these are locked by number (advisory locks).
Where a database knows none of those (CockroachDB), its serializable isolation does their work.
"""

import hashlib

from msgspec import Struct

from pilothouse.ports import change as c
from pilothouse.storage.records.postgres.connection import PostgresConnection
from pilothouse.storage.records.ticket import APPENDING, STATE_MOVES, Key, Mark, Ticket, footprint

BIRTHS = 0x50494C4842495254
ON_RUN = APPENDING - {c.AppendAudit, c.AddSpend, c.AddCost} | STATE_MOVES | {c.ResolveStep, c.CancelReviews}
OF_RUN = (c.TakeTurn, c.InsertReview)


class Locks(Struct):
    """What a batch touches. `keys`: of its sessions, sorted."""

    births: bool
    """A run is born, while nobody may remember a cancel of one that is not there."""
    cancels: bool
    """A cancel is remembered, while no run may be born."""
    keys: list[int]
    runs: set[Key]
    logs: list[str]
    """Tenants whose audit log is written, sorted."""

    @property
    def by_number(self) -> bool:
        return self.births or self.cancels or bool(self.keys)

    def begin(self) -> str:
        """Statements that begin a transaction which holds the advisory locks; what it sees after them is as it is."""
        found = ["begin"]
        if self.cancels:
            found.append(f"select pg_advisory_xact_lock({BIRTHS})")
        elif self.births:
            found.append(f"select pg_advisory_xact_lock_shared({BIRTHS})")
        if self.keys:
            found.append(f"select pg_advisory_xact_lock(n.key) from unnest(array{self.keys}::bigint[]) as n(key)")
        return "; ".join(found)


def find_locks(tickets: list[Ticket], sessions: dict[Key, set[Mark]]) -> Locks:
    runs: set[Key] = set()
    marks: set[Mark] = set()
    logs: set[str] = set()
    kinds: set[type[c.Statement]] = set()
    for ticket in tickets:
        for statement in ticket.change.statements:
            kind = type(statement)
            kinds.add(kind)
            if kind is c.AppendAudit or kind is c.CancelReviews:
                logs.add(statement.tenant)
            if kind in ON_RUN:
                runs.add((statement.tenant, statement.id))
            elif isinstance(statement, OF_RUN):
                runs.add((statement.tenant, statement.run))
        if ticket.moves:
            shared, exclusive = footprint(ticket, sessions)
            marks |= shared | exclusive
    keys = sorted({number_of(mark) for mark in marks if isinstance(mark, tuple)})
    return Locks(c.InsertRun in kinds, c.RememberCancel in kinds, keys, runs, sorted(logs))


def take_locks(connection: PostgresConnection, locks: Locks) -> None:
    """Within a transaction that `Locks.begin` has begun. Heads of logs are locked when all else is done: who has one
    must want nothing more (see `shared`)."""
    if locks.logs:
        # Nodes of the release before this one know of no rows of logs, and number under this.
        keys = sorted(number_of((tenant, "audit", "")) for tenant in locks.logs)
        connection.ask("hold", {"keys": keys})
    if locks.runs:
        connection.many("guard", list(locks.runs))


def number_of(mark: Mark) -> int:
    """64 bits, the same on every node. That two marks share a number costs a wait and nothing else."""
    return int.from_bytes(hashlib.blake2b(repr(mark).encode(), digest_size=8).digest(), "big", signed=True)
