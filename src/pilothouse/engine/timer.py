"""What becomes due: delayed and waiting runs, deadlines and reviews (I9).

A timer is a row with a time, never a task in memory. Each function does one bounded round and says whether there is
more; the loops that call them are in `compute`.
"""

from pilothouse.engine.cancel import expire_run, request_cancel
from pilothouse.engine.review import expire_review
from pilothouse.engine.world import World

BATCH = 256
AGENTS_LIMIT = 200
"""Whose open reviews are counted; the metrics tell no more agents apart."""


async def run_timers(world: World) -> bool:
    """Everything that is due now, in one bounded round. True: there may be more."""
    at = world.clock.now()
    woken = await world.records.wake_due(at, BATCH)
    if woken:
        world.bus.ring("work")
    overdue = await world.records.list_overdue(at, BATCH)
    ended = 0
    for run in overdue:
        if run.cancel_at is not None and run.status != "running":
            found = await request_cancel(world, run, run.cancel_reason or "asked by a caller", rollback=run.rollback)
            ended += found.is_terminal
        else:
            ended += await expire_run(world, run)
    reviews = await world.records.list_expired_reviews(at, BATCH)
    for review in reviews:
        await expire_review(world, review)
    expire_attempts(world)
    return BATCH in (woken, len(reviews)) or (len(overdue) == BATCH and ended > 0)


def expire_attempts(world: World) -> None:
    """Attempts that ran longer than their agent allows, and unkept runs whose deadline or next try has come."""
    at = world.clock.now()
    for live in list(world.attempts.values()):
        timeout = live.agent.timeout
        if (timeout is not None and at - live.began_at > timeout * 1e6) or (
            not live.kept and live.run.deadline_at is not None and live.run.deadline_at <= at
        ):
            live.expire()
        live.wake()


async def count_reviews(world: World) -> dict[str, tuple[int, float]]:
    """By agent: how many reviews are open, and for how many seconds the oldest of them has been."""
    found, now = await world.records.count_open_reviews_by_agent(AGENTS_LIMIT), world.clock.now()
    return {agent: (count, max(0, now - oldest) / 1e6) for agent, count, oldest in found}


async def deliver_resolved(world: World, tenant: str, run: str) -> None:
    """Tells the attempt of the run in this node, if there is one, which of its waits have ended."""
    live = world.attempts.get((tenant, run))
    if live is None or not live.kept:
        return
    live.learn(await world.records.load_journal(tenant, run))


async def deliver_cancels(world: World) -> None:
    """Cancels of runs of this node that were asked for elsewhere, and whose bell was lost."""
    for run in await world.records.list_cancelled(world.worker.owner, BATCH):
        live = world.attempts.get((run.tenant, run.id))
        if live is not None:
            live.cancel(run.cancel_reason or "asked by a caller", rollback=run.rollback)


async def deliver_cancel(world: World, tenant: str, run: str) -> None:
    """Tells the attempt of the run in this node, if there is one, that a cancel was asked for."""
    live = world.attempts.get((tenant, run))
    found = await world.records.get_run(tenant, run)
    if live is not None and found is not None and found.cancel_at is not None:
        live.cancel(found.cancel_reason or "asked by a caller", rollback=found.rollback)
