"""Claiming runs, keeping them, and taking over those whose worker is gone (I6, I8).

A lease bounds how long a dead worker holds a run; the epoch keeps one that only seemed dead from writing.
"""

from pilothouse.domain.event import line
from pilothouse.domain.lease import lease_until
from pilothouse.domain.roster import LEFT_FOR
from pilothouse.domain.run import Run
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.cancel import TRIES, actions_left, cancel_children, ring_parent
from pilothouse.engine.encoding import encode, error_json
from pilothouse.engine.ending import Ending, ending_acts, terminal_line
from pilothouse.engine.outbox import deliveries_of
from pilothouse.engine.trace import tell_end
from pilothouse.engine.world import World
from pilothouse.errors import Cancelled, HostLost
from pilothouse.ports.change import AppendEvents, Change, Conflict, EndLostRun, RequeueRun
from pilothouse.ports.records import Claim, ClaimWish

BATCH = 256


async def claim_runs(world: World, wishes: tuple[ClaimWish, ...]) -> list[Run]:
    """Runs that are ready, now held by this node."""
    at = world.clock.now()
    claimed = await world.records.claim(Claim(world.worker.owner, at, lease_until(at), wishes, at - LEFT_FOR))
    world.queued = max(0, world.queued - len(claimed))
    return claimed


async def renew_leases(world: World) -> int:
    """All leases of this node, in one statement. Attempts that are no longer held learn it at their next write."""
    at = world.clock.now()
    return await world.records.renew_leases(world.worker.owner, at, lease_until(at))


async def take_over_expired(world: World) -> int:
    """Runs whose worker let its lease expire go back to the queue. Those that this node itself holds are left alone:
    its own attempts are known to live."""
    count = 0
    for run in await world.records.list_expired(world.clock.now(), BATCH):
        if (run.tenant, run.id) not in world.attempts:
            count += await take_over(world, run)
    return count


async def take_over_orphans(world: World) -> int:
    """Runs of earlier nodes, on records that only one node can open: nobody else can hold them, so nobody waits for
    their leases."""
    count = 0
    while True:
        found = await world.records.list_owned(world.worker.owner, BATCH)
        taken = [await take_over(world, run) for run in found]
        count += sum(taken)
        if len(found) < BATCH or not any(taken):
            return count


async def take_over(world: World, run: Run) -> bool:
    """One run whose worker is gone: to the queue for another attempt, or to the end that was asked for. The loss of a
    node does not count as a loss of the run's host: whoever was in it is not to blame."""
    ending = None
    if run.cancel_at is not None:
        ending = Ending("cancelled", 0, error=error_json(Cancelled(reason=run.cancel_reason or "asked by a caller")))
        ending.keeps_turn = run.session is not None and not run.rollback
    elif run.epoch > ATTEMPTS_LIMIT:
        ending = Ending("failed", 0, error=error_json(HostLost(losses=run.attempt)))
    if ending is not None:
        ending.unknown = await actions_left(world, run)
    at = world.clock.now()
    for _ in range(TRIES):
        try:
            await world.records.commit(_take_over_change(world, run, ending, at))
        except Conflict as fell:
            if ending is not None and fell.statement in ("resolve_step", "wake_run"):
                ending.tells_parent = False
            elif ending is not None and fell.statement == "take_turn":
                ending.keeps_turn = False
            else:
                return False
        else:
            break
    if ending is not None:
        await tell_end(world, run, ending)
        await cancel_children(world, run.tenant, run.id)
        if run.parent is not None:
            ring_parent(world, run.tenant, run.parent)
    if run.session is not None:
        world.sessions.forget((run.tenant, run.agent, run.session))
    world.bus.ring("work", run.agent)
    return True


ATTEMPTS_LIMIT = 10_000
"""Claims after which a run that always loses its node is given up."""


def _take_over_change(world: World, run: Run, ending: Ending | None, at: int) -> Change:
    if ending is None:
        body = encode({"reason": "worker_lost", "attempt": run.attempt + 1})
        queued = line("run.queued", body)
        told = AppendEvents(run.tenant, run.id, at, 1, queued)
        requeue = RequeueRun(run.tenant, run.id, run.epoch, run.attempt + 1, run.losses, None)
        facts = {"reason": "worker_lost", "attempt": run.attempt + 1, "owner": run.owner}
        noted = entry(run.tenant, run.id, at, "run.requeued", NODE, **facts)
        return Change((requeue, told, noted, *deliveries_of(world, run, at, (queued,))))
    ending.at = at
    acts, rows = ending_acts(run, ending)
    end = EndLostRun(run.tenant, run.id, run.epoch, ending.status, ending.error, at)
    last = terminal_line(ending)
    told = AppendEvents(run.tenant, run.id, at, 1, last)
    return Change((end, *acts, *rows, told, *deliveries_of(world, run, at, (last,))))
