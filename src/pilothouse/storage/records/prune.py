"""What is old goes, in one transaction of bounded size, between the Changes of the living.

Holds are read in the same transaction that deletes, so what a hold covers when it is effective stays. Runs that stay
although they are old (held, or of an agent that keeps them longer) are stepped over: the caller goes on behind them. A
round is bounded in runs and in what hangs on them, since one run may have a hundred thousand steps.
"""

from collections.abc import Sequence

import msgspec

from pilothouse.domain.hold import Hold
from pilothouse.domain.retention import EndedRun, Retention, is_held
from pilothouse.ports.records import Erased, Pruned
from pilothouse.storage.records.removal import bounded, remove_deliveries, remove_runs
from pilothouse.storage.records.statements import Database, ask

_read_hold = msgspec.json.Decoder(Hold).decode


def prune(connection: Database, retention: Retention, limit: int, after: int) -> Pruned:
    holds = [_read_hold(body) for (body,) in ask(connection, "list_placed_holds")]
    found, looked_at = _ended(connection, retention, limit, after)
    due = [run for run in found if retention.is_due(run.tenant, run.agent, run.ended_at) and not is_held(run, holds)]
    chosen = bounded(connection, [(run.tenant, run.id) for run in due[:limit]])
    remove_runs(connection, chosen)
    if not after and _prune_others(connection, retention, limit, holds):
        return Pruned(len(chosen), 0)
    return Pruned(len(chosen), _next(found, due, chosen, after, looked_at))


def _ended(connection: Database, retention: Retention, limit: int, after: int) -> tuple[list[EndedRun], int]:
    """And the limit with which they were asked for: more than was wished where so many ended in the very instant
    `after`, since who goes on behind that instant must have seen all of it."""
    while True:
        rows = ask(connection, "ended_runs", after=after, before=retention.latest, limit=limit)
        found = [EndedRun(*row) for row in rows]
        if len(found) < limit or found[-1].ended_at > after:
            return found, limit
        limit *= 2


def erase_runs(connection: Database, tenant: str, subject: str, limit: int) -> Erased:
    """Ended runs of a subject, whatever their age; none of them when a hold covers one."""
    holds = [_read_hold(body) for (body,) in ask(connection, "list_placed_holds")]
    found = [EndedRun(*row) for row in ask(connection, "ended_runs_of_subject", tenant=tenant, subject=subject,
                                           limit=limit)]  # fmt: skip
    for run in found:
        for hold in holds:
            if is_held(run, (hold,)):
                return Erased(0, hold.id, hold.reason)
    chosen = bounded(connection, [(run.tenant, run.id) for run in found])
    remove_runs(connection, chosen)
    return Erased(len(chosen))


def _next(
    found: Sequence[EndedRun], due: Sequence[EndedRun], chosen: Sequence[object], after: int, limit: int
) -> int | None:
    """Behind what was stepped over, when all that is due of this round has gone."""
    if len(chosen) < len(due) or len(due) == len(found) == limit:
        return after
    if len(found) < limit:
        return None
    last = found[-1].ended_at
    return last if last > after else after + 1


def _prune_others(connection: Database, retention: Retention, limit: int, holds: Sequence[Hold]) -> bool:
    """What hangs on no run. True: there may be more."""
    before = retention.before or 0
    old = ask(connection, "ended_deliveries", before=before, limit=limit)
    gone = [(tenant, id) for tenant, id, run, agent in old if not _keeps(holds, tenant, run, agent)]
    remove_deliveries(connection, gone)
    counts = [
        len(gone),
        len(ask(connection, "prune_spend", before=before, limit=limit)),
        len(ask(connection, "prune_idempotency", before=retention.at, limit=limit)),
        len(ask(connection, "prune_early_cancels", before=retention.at, limit=limit)),
    ]
    return limit in counts


def _keeps(holds: Sequence[Hold], tenant: str, run: str, agent: str) -> bool:
    """Whether a delivery may belong to what is held; its release and session are not asked."""
    return any(
        hold.tenant == tenant and hold.selector.agent in (None, agent) and hold.selector.run in (None, run)
        for hold in holds
    )
