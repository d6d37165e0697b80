"""The locks of a transaction, in the one order in which all nodes take them: births, sessions and logs, runs.

Who has locked what it touches before it looks sees it as it is, and nobody changes it until the commit. So everything
that is right on SQLite because one writer writes is right here as well, whatever other nodes do. Sessions have no row
until their first turn has ended, and a cancel may come before its run: these are locked by number (advisory locks).
Where a database knows none of those (CockroachDB), its serializable isolation does their work.
"""

import hashlib
from collections.abc import Iterable

from pilothouse.ports import change as c
from pilothouse.storage.records.postgres.connection import PostgresConnection
from pilothouse.storage.records.ticket import APPENDING, STATE_MOVES, Key, Mark, Ticket, footprint

BIRTHS = 0x50494C4842495254
ON_RUN = APPENDING | STATE_MOVES | {c.ResolveStep, c.CancelReviews}
OF_RUN = (c.TakeTurn, c.InsertReview)


def take_locks(connection: PostgresConnection, tickets: list[Ticket], sessions: dict[Key, set[Mark]]) -> None:
    runs: set[Key] = set()
    marks: set[Mark] = set()
    kinds: set[type[c.Statement]] = set()
    for ticket in tickets:
        for statement in ticket.change.statements:
            kind = type(statement)
            kinds.add(kind)
            if kind is c.AppendAudit:
                marks.add((statement.tenant, "audit", ""))
            elif kind in ON_RUN:
                runs.add(statement.key)
            elif isinstance(statement, OF_RUN):
                runs.add((statement.tenant, statement.run))
        if ticket.moves:
            shared, exclusive = footprint(ticket, sessions)
            marks |= shared | exclusive
    if c.RememberCancel in kinds:
        connection.ask("hold_cancels", {"births": BIRTHS})
    elif c.InsertRun in kinds:
        connection.ask("hold_births", {"births": BIRTHS})
    hold(connection, (mark for mark in marks if isinstance(mark, tuple)))
    if runs:
        connection.many("guard", list(runs))


def hold(connection: PostgresConnection, marks: Iterable[Mark]) -> None:
    keys = sorted({number_of(mark) for mark in marks})
    if keys:
        connection.ask("hold", {"keys": keys})


def number_of(mark: Mark) -> int:
    """64 bits, the same on every node. That two marks share a number costs a wait and nothing else."""
    return int.from_bytes(hashlib.blake2b(repr(mark).encode(), digest_size=8).digest(), "big", signed=True)
