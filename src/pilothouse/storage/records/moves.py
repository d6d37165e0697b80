"""The moves: for each statement that changes what others see, the rows it becomes and the keys that stood.

Most are their fields and nothing else. A turn, a fork and a dropped session have consequences in other tables, which
are written in the same transaction.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import astuple

from pilothouse.ports import change as c
from pilothouse.storage.records import payload
from pilothouse.storage.records.removal import bounded, remove_runs
from pilothouse.storage.records.statements import ask, many
from pilothouse.storage.records.ticket import Key, Ticket, name_of
from pilothouse.storage.records.wave import Members, Wave

Stood = dict[Key, Any]
Doer = Callable[[Wave, Members], Stood]


def plain(*payloads: int) -> Doer:
    """A statement whose fields are its columns, some of which hold payloads; its id owns these."""

    def do(wave: Wave, members: Members) -> Stood:
        return dict.fromkeys(many(wave.connection, _name(members), _rows(wave, members, payloads)))

    return do


def on_run(*payloads: int) -> Doer:
    """The same for a run; the receipt tells the status that came of it."""

    def do(wave: Wave, members: Members) -> Stood:
        rows = many(wave.connection, _name(members), _rows(wave, members, payloads))
        stood = {(tenant, run): status for tenant, run, status in rows}
        for ticket, statement in members:
            ticket.status = stood.get(statement.key, "")
        return stood

    return do


def _name(members: Members) -> str:
    return name_of(type(members[0][1]))


def _rows(wave: Wave, members: Members, payloads: tuple[int, ...]) -> list[tuple[Any, ...]]:
    return [wave.spill(ticket, astuple(statement), payloads, statement.id) for ticket, statement in members]


def resolve_step(wave: Wave, members: Members) -> Stood:
    rows = [wave.step_row(ticket, statement) for ticket, statement in members]
    return dict.fromkeys(many(wave.connection, "resolve_step", rows))


def take_turn(wave: Wave, members: Members) -> Stood:
    rows = [_state_row(wave, ticket, statement, 5)[:8] for ticket, statement in members]
    stood = {(tenant, key): number for tenant, key, number in many(wave.connection, "take_turn", rows)}
    for ticket, turn in members:
        if turn.key in stood:
            trail, is_whole = turn.trail, int(turn.is_whole)
            row: tuple[Any, ...]
            row = (turn.tenant, turn.agent, turn.id, stood[turn.key], turn.run, turn.at, trail, is_whole)
            if trail is not None:
                row = wave.spill(ticket, row, (6,), payload.owner_of_turns(turn.agent, turn.id))
            wave.turns.append((ticket, row))
    return stood


def write_state(wave: Wave, members: Members) -> Stood:
    rows = [_state_row(wave, ticket, statement, 4) for ticket, statement in members]
    return dict.fromkeys(many(wave.connection, "write_state", rows))


def _state_row(wave: Wave, ticket: Ticket, statement: c.TakeTurn | c.WriteState, column: int) -> tuple[Any, ...]:
    """A state that replaces another lets go of the payload of that one."""
    owner = payload.owner_of_state(statement.agent, statement.id)
    if statement.state is not None:
        wave.released.append((ticket, (statement.tenant, owner)))
    return wave.spill(ticket, astuple(statement), (column,), owner)


def fork_session(wave: Wave, members: Members) -> Stood:
    rows = []
    for ticket, fork in members:
        rows.append(wave.spill(ticket, astuple(fork), (5,), payload.owner_of_state(fork.agent, fork.id)))
    stood = {(tenant, key): turns for tenant, key, turns in many(wave.connection, "fork_session", rows)}
    for _, fork in members:
        if fork.key in stood:
            agent, source, key = fork.agent, fork.source, fork.id
            turns = stood[fork.key]
            ask(wave.connection, "fork_turns", tenant=fork.tenant, agent=agent, key=key, source=source, turns=turns)
            owners = {"owner": payload.owner_of_turns(agent, key), "source": payload.owner_of_turns(agent, source)}
            ask(wave.connection, "fork_uses", tenant=fork.tenant, **owners)
    return stood


def drop_session(wave: Wave, members: Members) -> Stood:
    rows = [astuple(statement) for _, statement in members]
    stood: Stood = dict.fromkeys(many(wave.connection, "drop_session", rows))
    for ticket, drop in members:
        if drop.key in stood:
            of = {"tenant": drop.tenant, "agent": drop.agent, "key": drop.id}
            ask(wave.connection, "drop_turns", **of)
            ask(wave.connection, "drop_costs", **of)
            remove_runs(wave.connection, ask(wave.connection, "runs_of_session", **of))
            wave.released.append((ticket, (drop.tenant, payload.owner_of_turns(drop.agent, drop.id))))
            wave.released.append((ticket, (drop.tenant, payload.owner_of_state(drop.agent, drop.id))))
    return stood


def trim_session(wave: Wave, members: Members) -> Stood:
    """Its oldest runs and turns, at most `limit` of each; the receipt says whether there were so many."""
    rows = [(statement.tenant, statement.id, statement.agent) for _, statement in members]
    stood: Stood = dict.fromkeys(many(wave.connection, "idle_sessions", rows))
    for ticket, trim in members:
        if trim.key in stood:
            of = {"tenant": trim.tenant, "agent": trim.agent, "key": trim.id}
            runs = ask(wave.connection, "trim_runs", limit=trim.limit, **of)
            chosen = bounded(wave.connection, runs)
            remove_runs(wave.connection, chosen)
            turns = ask(wave.connection, "trim_turns", limit=trim.limit, **of)
            owner = payload.owner_of_turns(trim.agent, trim.id)
            lost = ask(wave.connection, "trim_uses", owner=owner, limit=trim.limit, **of)
            many(wave.connection, "drop_unused_payloads", lost)
            has_more = len(chosen) < len(runs) or trim.limit in (len(runs), len(turns), len(lost))
            ticket.status = c.MORE if has_more else ""
    return stood


def cancel_reviews(wave: Wave, members: Members) -> Stood:
    """Each that is cancelled has its entry in the log. Usually there is none."""
    rows = [(statement.tenant, statement.id, statement.at) for _, statement in members]
    cancelled = many(wave.connection, "cancel_reviews", rows)
    if cancelled:
        ends = {statement.key: (ticket, statement) for ticket, statement in members}
        for tenant, review, run in sorted(cancelled):
            ticket, statement = ends[tenant, run]
            told = b'{"id":"%b",%b' % (review.encode(), statement.entry[1:])
            wave.entries.append((ticket, c.AppendAudit(tenant, review, told)))
    return {}


def write_document(wave: Wave, members: Members) -> Stood:
    """Written or removed; a document that is removed leaves nothing behind."""
    rows = [astuple(statement) for _, statement in members]
    stood: Stood = dict.fromkeys(many(wave.connection, "write_document", [row for row in rows if row[5] is not None]))
    removed = [(row[0], row[1], row[3]) for row in rows if row[5] is None]
    stood |= dict.fromkeys(many(wave.connection, "remove_document", removed))
    return stood


DOERS: dict[type[c.Statement], Doer] = {
    c.InsertRun: on_run(9, 10),
    c.KeepRun: on_run(6, 7, 8, 9, 10),
    c.InsertIdempotency: plain(),
    c.FinishRun: on_run(4, 5, 6),
    c.EndIdleRun: on_run(3),
    c.EndLostRun: on_run(4),
    c.ParkRun: on_run(),
    c.RequeueRun: on_run(),
    c.WakeRun: on_run(),
    c.RequestCancel: on_run(),
    c.RememberCancel: plain(),
    c.ResolveStep: resolve_step,
    c.TakeTurn: take_turn,
    c.WriteState: write_state,
    c.ForkSession: fork_session,
    c.TrimSession: trim_session,
    c.DropSession: drop_session,
    c.AdvanceSession: plain(),
    c.InsertReview: plain(7),
    c.CloseReview: plain(3),
    c.ExtendReview: plain(),
    c.CancelReviews: cancel_reviews,
    c.SupersedeRun: plain(3),
    c.SupersedeReview: plain(4),
    c.WriteDocument: write_document,
    c.InsertDelivery: plain(7),
    c.SettleDelivery: plain(),
    c.RetryDelivery: plain(),
    c.StopReceiver: plain(),
    c.AllowReceiver: plain(),
}
