"""What a lane remembers, where other nodes write as well: hints, never the truth.

The last event number of a run is remembered only for the attempts of this node: others write to such a run rarely, and
a number that is given twice is refused by the unique index, upon which all is forgotten and the batch done again. For
everything else the table is asked, behind the lock on the run.
"""

from collections.abc import Iterable, Sequence

from pilothouse.domain.run import Run
from pilothouse.ports import change as c
from pilothouse.storage.records.memory import Memory
from pilothouse.storage.records.statements import Database
from pilothouse.storage.records.ticket import Key, Ticket

OWN = (c.Fence, c.FinishRun, c.ParkRun, c.RequeueRun)
"""Only the attempt that holds the run says these."""
BIRTHS = (c.InsertRun, c.KeepRun)
"""A run that is new has no events."""


class Hints(Memory):
    def learn_claimed(self, run: Run, seq: int) -> None:
        """`seq`: its last event number, when it was claimed."""
        key = (run.tenant, run.id)
        self.learn_birth(key, None if run.session is None else (run.tenant, run.agent, run.session), seq)

    def last_entries(self, connection: Database, tenants: Iterable[str]) -> dict[str, int]:
        """Every node writes into the log of a tenant: the table is asked, behind the lock on the log."""
        self._entries.clear()
        return super().last_entries(connection, tenants)

    def last_seqs(self, connection: Database, events: Sequence[tuple[object, c.Statement]]) -> dict[Key, int]:
        for ticket, statement in events:
            assert isinstance(ticket, Ticket)
            if not any(
                isinstance(one, (*OWN, *BIRTHS)) and one.key == statement.key for one in ticket.change.statements
            ):
                self.forget_run(statement.key)
        return super().last_seqs(connection, events)
