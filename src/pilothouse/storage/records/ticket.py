"""A Change on its way through the writer, and how many of them may be applied together.

Two Changes may share a **wave** (and so the same multi-row statements) when neither can see what the other does. What a
Change touches is told by marks: shared ones it only relies on (many attempts append to their runs at once), exclusive
ones it changes. That two unlike things have the same mark costs a wave and nothing else, so the mark of whatever has an
id is that id, without its tenant. Most Changes only append behind a fence: they touch nothing exclusively, and are not
looked at further as long as the wave has no exclusive marks.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec import Struct

from pilothouse.domain.event import Segment
from pilothouse.ports import change as c

Key = tuple[str, str]
Mark = str | tuple[str, str, str]
"""An id, or (tenant, agent, key) of a session."""

Outcome = c.Receipt | c.Conflict | Exception

REVIEWS: Final[Mark] = "reviews"
"""Closing one review and cancelling those of a run touch rows which only the database knows to be the same."""

APPENDING: Final = frozenset({c.Fence, c.AppendStep, c.AppendEvents, c.AppendAudit, c.AddSpend, c.AddCost})
"""Statements that see nothing of other Changes but what their fence looks at."""

STATE_MOVES: Final = frozenset(
    {c.FinishRun, c.EndIdleRun, c.EndLostRun, c.ParkRun, c.RequeueRun, c.WakeRun, c.RequestCancel}
)
"""They change what the other turns of the run's session may do; which session that is the Change does not say."""


# Without garbage collection: a ticket is part of no cycle, and there are a hundred thousand of them in a second.
class Ticket(Struct, gc=False):
    """`moves` are the statements that are not APPENDING, in order, acts before rows."""

    change: c.Change
    done: Callable[[Outcome], None]
    outcome: Any = None
    segments: tuple[tuple[str, Segment], ...] = ()
    moves: tuple[c.Statement, ...] = ()
    status: str = ""
    seq: int = 0
    told: tuple[c.AppendAudit, ...] = ()
    """Its entries of the audit log, and those that came of its moves."""

    def fall(self, statement: c.Statement) -> None:
        self.outcome = c.Conflict(name_of(type(statement)), statement.key)

    def reset(self) -> None:
        """Forgets what came of a try that was rolled back."""
        self.outcome, self.segments, self.status, self.seq, self.told = None, (), "", 0, ()


def name_of(kind: type[c.Statement]) -> str:
    """`InsertRun` -> `insert_run`."""
    return _NAMES[kind]


def snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name).removeprefix("_")


KINDS: Final = tuple(
    kind
    for kind in vars(c).values()
    if isinstance(kind, type) and issubclass(kind, c.Statement) and kind not in {c.Statement, c.Check, c.Act, c.Row}
)
_NAMES: Final = {kind: snake(kind.__name__) for kind in KINDS}


def find_moves(change: c.Change) -> tuple[c.Statement, ...]:
    if APPENDING.issuperset(map(type, change.statements)):
        return ()
    moves = [statement for statement in change.statements if type(statement) not in APPENDING]
    if len(moves) > 1:
        moves.sort(key=_is_row)  # A stable sort: acts keep their order, and rows theirs.
    return tuple(moves)


def _is_row(statement: c.Statement) -> bool:
    return isinstance(statement, c.Row)


def waves(tickets: list[Ticket], sessions: dict[Key, set[Mark]]) -> Iterator[list[Ticket]]:
    """Cuts the tickets, in order, where one touches what an earlier one of the wave touches. `sessions` tells which
    sessions the runs of STATE_MOVES belong to."""
    wave: list[Ticket] = []
    shared: set[Mark] = set()
    exclusive: set[Mark] = set()
    unread = 0  # From here on the tickets of the wave only append, and are not in `shared` yet.
    for ticket in tickets:
        if ticket.moves:
            for earlier in wave[unread:]:
                shared.update(statement.id for statement in earlier.change.statements)
            own_shared, own_exclusive = footprint(ticket, sessions)
            if not (
                exclusive.isdisjoint(own_exclusive)
                and shared.isdisjoint(own_exclusive)
                and exclusive.isdisjoint(own_shared)
            ):
                yield wave
                wave, shared, exclusive = [], set(), set()
            wave.append(ticket)
            shared |= own_shared
            exclusive |= own_exclusive
            unread = len(wave)
        else:
            if exclusive:
                for statement in ticket.change.statements:
                    if statement.id in exclusive:
                        yield wave
                        wave, shared, exclusive, unread = [], set(), set(), 0
                        break
            wave.append(ticket)
    yield wave


def footprint(ticket: Ticket, sessions: dict[Key, set[Mark]]) -> tuple[set[Mark], set[Mark]]:
    """(shared, exclusive) marks of a Change with moves."""
    shared: set[Mark] = {statement.id for statement in ticket.change.statements if type(statement) in APPENDING}
    exclusive: set[Mark] = set()
    for statement in ticket.moves:
        tenant, id = statement.key
        if type(statement) in STATE_MOVES:
            exclusive.add(id)
            exclusive |= sessions[tenant, id]
            continue
        match statement:
            case c.InsertRun(agent=agent, session=str(session)):
                exclusive |= {id, (tenant, agent, session)}
            case c.TakeTurn(agent=agent, run=run):
                exclusive.add((tenant, agent, id))
                shared.add(run)
            case c.ForkSession(agent=agent, source=source):
                exclusive |= {(tenant, agent, id), (tenant, agent, source)}
            case (
                c.WriteState(agent=agent)
                | c.TrimSession(agent=agent)
                | c.DropSession(agent=agent)
                | c.AdvanceSession(agent=agent)
            ):
                exclusive.add((tenant, agent, id))
            case c.InsertReview(run=run):
                exclusive.add(id)
                shared.add(run)
            case c.CloseReview() | c.ExtendReview():
                exclusive |= {id, REVIEWS}
            case c.SupersedeReview(run=run):
                exclusive |= {id, REVIEWS}
                shared.add(run)
            case c.CancelReviews():
                exclusive.add(id)
                shared.add(REVIEWS)
            case _:
                exclusive.add(id)
    return shared, exclusive
