"""What the writer remembers, so that it need not ask the table each time: last event numbers, and sessions of runs.

Only the writer writes, hence what it remembers is what the table says, until a rollback: then it forgets everything.
Bounded: what is over the limit is forgotten as a whole and asked again.
"""

from collections.abc import Iterable, Sequence

from pilothouse.ports.change import InsertRun, Statement
from pilothouse.storage.records.statements import Database, many
from pilothouse.storage.records.ticket import STATE_MOVES, Key, Mark


class Memory:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seqs: dict[Key, int] = {}
        self._sessions: dict[Key, Mark | None] = {}
        self._entries: dict[str, int] = {}

    def forget(self) -> None:
        self._seqs.clear()
        self._sessions.clear()
        self._entries.clear()

    def forget_run(self, run: Key) -> None:
        self._seqs.pop(run, None)

    def learn_birth(self, run: Key, session: Mark | None, seq: int = 0) -> None:
        """A run that is new has no events."""
        self._seqs[run] = seq
        self._sessions[run] = session

    def session_of(self, run: Key) -> Mark | None:
        """Of a run whose session was asked before, by `sessions`."""
        return self._sessions.get(run)

    def last_seqs(self, connection: Database, events: Sequence[tuple[object, Statement]]) -> dict[Key, int]:
        """The last number of each run that gets events, to be counted on by the caller."""
        seqs = self._seqs
        if len(seqs) > self._limit:
            seqs.clear()
        missing = {key for _, statement in events if (key := (statement.tenant, statement.id)) not in seqs}
        if missing:
            for tenant, run, seq in many(connection, "last_seq", list(missing)):
                seqs[tenant, run] = seq
        return seqs

    def last_entries(self, connection: Database, tenants: Iterable[str]) -> dict[str, int]:
        """The number of the last audit entry of each tenant, to be counted on by the caller."""
        entries = self._entries
        missing = [(tenant,) for tenant in tenants if tenant not in entries]
        if missing:
            if len(entries) > self._limit:
                entries.clear()
                missing = [(tenant,) for tenant in tenants]
            for tenant, seq in many(connection, "last_entry", missing):
                entries[tenant] = seq
        return entries

    def sessions(self, connection: Database, moves: list[Statement]) -> dict[Key, set[Mark]]:
        """The sessions that changing the state of runs may touch: the one in the table, and the one which an insert
        of the same batch is about to write there."""
        found: dict[Key, set[Mark]] = {move.key: set() for move in moves if type(move) in STATE_MOVES}
        if len(self._sessions) > self._limit:
            self._sessions.clear()
        missing = [run for run in found if run not in self._sessions]
        for tenant, run, agent, session in many(connection, "session_of_run", missing):
            if agent is not None:  # Else the run is not there yet.
                self._sessions[tenant, run] = None if session is None else (tenant, agent, session)
        for run, marks in found.items():
            if (mark := self._sessions.get(run)) is not None:
                marks.add(mark)
        for move in moves:
            if isinstance(move, InsertRun) and move.session is not None and move.key in found:
                found[move.key].add((move.tenant, move.agent, move.session))
        return found
