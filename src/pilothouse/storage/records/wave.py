"""Applies one wave of Changes in the writer's transaction: fences, acts, rows, each as multi-row statements.

A round takes at most one move of every Change, so that within a Change the order holds while the wave shares
statements. A Change of which a later act falls may have left traces of an earlier one: then the wave is rolled back to
its start and done again without it. Steps and events come last, when nothing can fall any more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import msgpack
from msgspec.structs import astuple, replace

from pilothouse.domain.event import Segment
from pilothouse.ports import change as c
from pilothouse.storage.records import payload
from pilothouse.storage.records.memory import Memory
from pilothouse.storage.records.payload import Spilled
from pilothouse.storage.records.shared import Shared
from pilothouse.storage.records.statements import Database, many
from pilothouse.storage.records.ticket import Key, Ticket

Row = tuple[Any, ...]
Members = list[tuple[Ticket, Any]]
Doers = Mapping[type[c.Statement], Callable[["Wave", Members], dict[Key, Any]]]
_pack = msgpack.Encoder().encode
AGED: Mapping[type[c.Statement], str] = {
    c.InsertRun: "run",
    c.KeepRun: "run",
    c.InsertReview: "review",
    c.InsertDelivery: "delivery",
}
"""Statements that make rows which are listed, or claimed, by age."""

BIRTHS = frozenset({c.InsertRun, c.KeepRun})
ENDS = frozenset({c.KeepRun, c.FinishRun, c.EndIdleRun, c.EndLostRun})


def in_rounds(movers: list[Ticket]) -> Iterator[dict[type[c.Statement], Members]]:
    """The moves of each Change one after the other, those of all Changes beside each other. What makes a row whose
    position is its age is put off until no earlier Change makes one in a later round."""
    rounds: list[dict[type[c.Statement], Members]] = []
    last: dict[str, tuple[int, type[c.Statement]]] = {}
    for ticket in movers:
        at = 0
        for statement in ticket.moves:
            kind = type(statement)
            if (table := AGED.get(kind)) is not None:
                latest, latest_kind = last.get(table, (0, kind))
                at = max(at, latest if latest_kind is kind else latest + 1)
                last[table] = (at, kind)
            if at >= len(rounds):
                rounds.extend({} for _ in range(at + 1 - len(rounds)))
            rounds[at].setdefault(kind, []).append((ticket, statement))
            at += 1
    yield from rounds


class Wave:
    """`doers` has for each kind of move what applies it to all its members and tells which keys stood; `shared` gets
    what is written when all waves are done."""

    def __init__(
        self, connection: Database, memory: Memory, tickets: list[Ticket], doers: Doers, shared: Shared
    ) -> None:
        self.connection = connection
        self.memory = memory
        self.tickets = tickets
        self._doers = doers
        self._shared = shared
        self._forget_traces()

    def _forget_traces(self) -> None:
        self.aside: list[tuple[Ticket, Spilled]] = []
        self.released: list[tuple[Ticket, Key]] = []
        self.turns: list[tuple[Ticket, Row]] = []
        self.entries: list[tuple[Ticket, c.AppendAudit]] = []

    def apply(self) -> None:
        """Gives every ticket its outcome. An exception means that the transaction must be rolled back."""
        fences, steps, events, entries, spends, costs = self._read(self.tickets)
        fell = bool(fences) and self._look_at(fences)
        movers = [ticket for ticket in self.tickets if ticket.moves and ticket.outcome is None]
        if movers:
            self._move(movers)
            self._follow_up()
        standing = self.tickets
        if fell or movers:
            standing = [ticket for ticket in self.tickets if ticket.outcome is None]
            if len(standing) < len(self.tickets):
                _, steps, events, entries, spends, costs = self._read(standing)
        if steps:
            many(self.connection, "append_step", [self.step_row(ticket, statement) for ticket, statement in steps])
        if events:
            self._append(events)
        if self.aside:
            self._keep_payloads()
        for ticket in movers:
            for statement in ticket.moves:
                kind = type(statement)
                if kind in ENDS:
                    self.memory.forget_run(statement.key)
                elif kind is c.DropSession and ticket.outcome is None:
                    self._shared.forget_session(*statement.key, statement.agent)  # type: ignore[attr-defined]
        entries += [(ticket, statement) for ticket, statement in self.entries if ticket.outcome is None]
        for ticket, statement in entries:
            ticket.told = (*ticket.told, statement)
        if entries or spends or costs:
            self._shared.add([statement for _, statement in entries], spends, costs)
        receipt = c.Receipt
        for ticket in standing:
            ticket.outcome = receipt(ticket.seq, ticket.status)

    @staticmethod
    def _read(
        tickets: list[Ticket],
    ) -> tuple[list[Row], Members, Members, Members, list[Row], list[Row]]:
        """What is not a move: fences, steps, events, entries of the audit log, what was spent and cost, in order."""
        append_step, append_events, append_audit, fence = c.AppendStep, c.AppendEvents, c.AppendAudit, c.Fence
        fences: list[Row] = []
        steps: Members = []
        events: Members = []
        entries: Members = []
        spends: list[Row] = []
        costs: list[Row] = []
        for ticket in tickets:
            for statement in ticket.change.statements:
                kind = type(statement)
                if kind is append_step:
                    steps.append((ticket, statement))
                elif kind is append_events:
                    events.append((ticket, statement))
                elif kind is append_audit:
                    entries.append((ticket, statement))
                elif kind is fence:
                    fences.append(astuple(statement))
                elif kind is c.AddSpend:
                    spends.append(astuple(statement))
                elif kind is c.AddCost:
                    costs.append(astuple(statement))
        return fences, steps, events, entries, spends, costs

    def _look_at(self, fences: list[Row]) -> bool:
        """Whether a fence fell. The statement returns those that did: usually none."""
        fallen = set(many(self.connection, "fence", fences))
        if fallen:
            for ticket in self.tickets:
                for statement in ticket.change.statements:
                    if isinstance(statement, c.Fence) and astuple(statement) in fallen:
                        ticket.fall(statement)
                        break
        return bool(fallen)

    # --- moves --------------------------------------------------------------------------------------------------------

    def _move(self, movers: list[Ticket]) -> None:
        if all(len(ticket.moves) == 1 for ticket in movers):
            self._run_rounds(movers)  # A single act that falls has left no trace.
            return
        torn = True
        while torn:
            self.connection.execute("savepoint wave")
            torn = self._run_rounds(movers)
            if torn:
                self.connection.execute("rollback to wave")
                self._forget_traces()
                movers = [ticket for ticket in movers if ticket.outcome is None]
            self.connection.execute("release wave")

    def _run_rounds(self, movers: list[Ticket]) -> bool:
        """Whether a Change fell after one of its moves had been done."""
        torn = False
        for groups in in_rounds(movers):
            for kind, members in groups.items():
                members = [member for member in members if member[0].outcome is None]
                if not members:
                    continue
                stood = self._doers[kind](self, members)
                if not issubclass(kind, c.Act):
                    continue
                for ticket, statement in members:
                    if statement.key not in stood:
                        ticket.fall(statement)
                        torn = torn or statement is not ticket.moves[0]
                    elif isinstance(statement, c.InsertRun) and statement.session is not None:
                        self.memory.learn_birth(statement.key, (statement.tenant, statement.agent, statement.session))
                    elif kind in BIRTHS:
                        self.memory.learn_birth(statement.key, None)
        return torn

    def _follow_up(self) -> None:
        """What comes of the acts, once it is certain that they stand."""
        turns = [turn for ticket, turn in self.turns if ticket.outcome is None]
        if turns:
            uses = []
            for tenant, agent, key, *columns in many(self.connection, "append_turn", turns):
                owner = payload.owner_of_turns(agent, key)
                uses += [(tenant, owner, mark[1:]) for mark in columns if payload.is_mark(mark)]
            many(self.connection, "use_payload", uses)
        released = [owner for ticket, owner in self.released if ticket.outcome is None]
        lost = many(self.connection, "release_payloads", released)
        self._keep_payloads()
        many(self.connection, "drop_unused_payloads", lost)

    # --- steps, events and their payloads -----------------------------------------------------------------------------

    def step_row(self, ticket: Ticket, statement: c.AppendStep | c.ResolveStep) -> Row:
        row = statement.row
        for content in (row.input, row.output, row.error, row.usage):
            if content and (len(content) > payload.LIMIT or content[0] == 0):
                tenant, run = statement.key
                payloads = (tenant, row.input, row.output, row.error, row.usage)
                _, *marks = self.spill(ticket, payloads, (1, 2, 3, 4), run)
                row = replace(row, **dict(zip(("input", "output", "error", "usage"), marks, strict=True)))
                break
        return (statement.tenant, statement.id, row.key, row.phase, _pack(row))

    def _append(self, events: Members) -> None:
        last = self.memory.last_seqs(self.connection, events)
        rows: list[Row] = []
        for ticket, statement in events:
            tenant, run, at, count, lines = astuple(statement)
            key = (tenant, run)
            seq = last[key] + 1
            last[key] = seq + count - 1
            segment = (tenant, Segment(run, seq, count, at, lines))
            if ticket.segments:
                ticket.segments = (*ticket.segments, segment)
            else:
                ticket.segments = (segment,)
                ticket.seq = seq
            row = (tenant, run, seq, count, at, lines)
            rows.append(row if len(lines) <= payload.LIMIT else self.spill(ticket, row, (5,), run))
        many(self.connection, "append_events", rows)

    def spill(self, ticket: Ticket, row: Row, columns: Sequence[int], owner: str) -> Row:
        """The row with its long payloads replaced by their marks; the tenant is its first column."""
        for column in columns:
            content = row[column]
            if content and (len(content) > payload.LIMIT or content[0] == 0):
                digest = payload.digest_of(content)
                self.aside.append((ticket, Spilled(row[0], owner, digest, content)))
                row = (*row[:column], payload.NUL + digest, *row[column + 1 :])
        return row

    def _keep_payloads(self) -> None:
        aside = [spilled for ticket, spilled in self.aside if ticket.outcome is None]
        many(self.connection, "keep_payload", [(one.tenant, one.digest, one.content) for one in aside])
        many(self.connection, "use_payload", [(one.tenant, one.owner, one.digest) for one in aside])
        self.aside = []
