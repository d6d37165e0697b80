"""What a batch is, and how it is applied within a transaction that somebody else begins and commits.

The same for both databases: the Changes are cut into waves (see `ticket`), jobs (claims, timers, pruning) stand between
them in their order. When the database refuses a row, the batch is rolled back and done again one by one behind
savepoints, so that only the faulty Change is `Refused`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from pilothouse.domain.event import Segment
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import Receipt, Refused, Statement
from pilothouse.storage.records.memory import Memory
from pilothouse.storage.records.moves import DOERS
from pilothouse.storage.records.shared import Shared
from pilothouse.storage.records.statements import Database
from pilothouse.storage.records.ticket import Ticket, find_moves, waves
from pilothouse.storage.records.wave import Wave


class Job(Struct):
    """Something else that is done within the transaction. `done` gets what `work` returned, or an exception."""

    work: Callable[[Database], Any]
    done: Callable[[Any], None]
    outcome: Any = None
    segments: tuple[tuple[str, Segment], ...] = ()

    def reset(self) -> None:
        self.outcome = None


Item = Ticket | Job
Batch = list[Item]


def audited(batch: Batch) -> Iterator[bytes]:
    """The entries of the audit log that became durable with these."""
    for item in batch:
        if type(item) is Ticket and item.told and isinstance(item.outcome, Receipt):
            for statement in item.told:
                yield statement.entry


def apply_batch(connection: Database, memory: Memory, batch: Batch) -> None:
    tickets: list[Ticket] = []
    for item in batch:
        if isinstance(item, Ticket):
            tickets.append(item)
        else:
            apply_tickets(connection, memory, tickets)
            tickets = []
            item.outcome = item.work(connection)
    apply_tickets(connection, memory, tickets)


def apply_tickets(connection: Database, memory: Memory, tickets: list[Ticket]) -> None:
    moves: list[Statement] = []
    for ticket in tickets:
        if found := find_moves(ticket.change):
            ticket.moves = found
            moves += found
    sessions = memory.sessions(connection, moves) if moves else {}
    shared = Shared()
    for wave in waves(tickets, sessions):
        Wave(connection, memory, wave, DOERS, shared).apply()
    shared.write(connection, memory)


def apply_singly(connection: Database, memory: Memory, batch: Batch, out_of_order: tuple[type[Exception], ...]) -> None:
    """`out_of_order`: what the database raises when it, and not the Change, is at fault."""
    for item in batch:
        connection.execute("savepoint single")
        try:
            apply_batch(connection, memory, [item])
        except out_of_order:
            raise
        except Exception as fault:
            memory.forget()
            connection.execute("rollback to single")
            item.reset()
            item.outcome = refusal(item, fault)
        connection.execute("release single")


def give_up(batch: Batch, fault: Exception) -> None:
    for item in batch:
        item.reset()
        item.outcome = RecordsUnavailable()
        item.outcome.__cause__ = fault


def refusal(item: Item, fault: Exception) -> Exception:
    if isinstance(item, Job):
        return fault
    names = ", ".join(type(statement).__name__ for statement in item.change.statements)
    refused = Refused(names, str(fault))
    refused.__cause__ = fault
    return refused
