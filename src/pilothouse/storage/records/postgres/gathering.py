"""Batches that only append, in one statement.

Most batches of a busy node are attempts that append steps and events behind their fences. They are applied by the same
code as all others, on a `Database` that puts their rows aside and sends them together: see `append_all`. What needs
more than that is done by the lane in a transaction of several statements.
"""

from collections.abc import Sequence
from typing import Any

from pilothouse.storage.records.memory import Memory
from pilothouse.storage.records.moves import DOERS
from pilothouse.storage.records.postgres.connection import PostgresConnection, is_lost
from pilothouse.storage.records.postgres.dialect import load
from pilothouse.storage.records.ticket import APPENDING, Ticket
from pilothouse.storage.records.wave import Wave

GATHERED = {"fence": 3, "append_step": 5, "append_events": 6}
"""Statements, and how many columns the rows of each have."""


class NotSimple(Exception):
    """The batch needs another statement as well."""


class Gathering:
    """A `Database` for one batch."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in GATHERED}

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        if name in GATHERED:
            self._rows[name] += rows
            return []
        if name == "last_seq":
            return self._connection.many(name, rows)
        raise NotSimple(name)

    def ask(self, name: str, values: dict[str, Any]) -> list[Any]:
        raise NotSimple(name)

    def execute(self, statements: str) -> Any:
        raise NotSimple(statements)

    def send(self, *mark: Any) -> None:
        """`mark`: the new number of the batch, the time, the lane, the number before."""
        fences = sorted(set(self._rows["fence"]))
        self._rows["fence"] = fences
        arrays: list[Any] = []
        for name, columns in GATHERED.items():
            rows = self._rows[name]
            arrays += zip(*rows, strict=True) if rows else [()] * columns
        self._connection.fetch(load()["append_all"].text, *mark, *arrays, len(fences))


def only_appends(tickets: Sequence[Ticket]) -> bool:
    return all(APPENDING.issuperset(map(type, ticket.change.statements)) for ticket in tickets)


def append_all(connection: PostgresConnection, memory: Memory, tickets: list[Ticket], *mark: Any) -> bool:
    """Applies the tickets, which only append, and commits; False: nothing was written, since something does not hold
    or needs more than this. Raises when the connection is lost."""
    gathering = Gathering(connection)
    try:
        Wave(gathering, memory, tickets, DOERS).apply()
        gathering.send(*mark)
    except Exception as error:
        if is_lost(error):
            raise
        memory.forget()
        return False
    return True
