"""A signal: the n-th signal of a name is the end of the n-th step that waits for it, whichever comes first.

So an early signal needs no inbox: it is a row of the journal that the run finds when it asks.
"""

import asyncio

from pilothouse.domain.event import line
from pilothouse.domain.journal import ENDED, StepRow, signal_key
from pilothouse.domain.run import Run
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import step_finished
from pilothouse.engine.naming import ring_for
from pilothouse.engine.run import get_run
from pilothouse.engine.world import World
from pilothouse.errors import LimitReached, NotKept, RunEnded
from pilothouse.ports.change import AppendEvents, Change, Conflict, ResolveStep, WakeRun

TRIES = 100


async def send_signal(world: World, tenant: str, run: str, name: str, payload: bytes, by: str = NODE) -> Run:
    """Hands the payload to the run, now or when it asks. Durable when this returns. Each call is one more signal.
    Raises `RunNotFound`, `RunEnded`, `LimitReached`."""
    lock = world.signalling.setdefault((tenant, run, name), asyncio.Lock())
    async with lock:
        return await _send(world, tenant, run, name, payload, by)


async def _send(world: World, tenant: str, run: str, name: str, payload: bytes, by: str = NODE) -> Run:
    for _ in range(TRIES):
        found = await get_run(world, tenant, run)
        if found.is_terminal:
            raise RunEnded(run=run, status=found.status, what="signals")
        if (tenant, run) in world.attempts and not world.attempts[(tenant, run)].kept:
            raise NotKept(what="A signal")
        count = await world.records.count_ends(tenant, run, f"signal.{name}-")
        if count >= world.limits.signals:
            raise LimitReached(what=f"The signals {name!r} of this run", limit=world.limits.signals)
        at = world.clock.now()
        row = StepRow(
            key=signal_key(name, count + 1),
            kind="signal",
            name=name,
            phase=ENDED,
            status="succeeded",
            output=payload,
            started_at=at,
            finished_at=at,
        )
        event = AppendEvents(tenant, run, at, 1, line("step.finished", step_finished(row)))
        digest = world.seals.digest(tenant, found.subject, payload)
        told = entry(tenant, run, at, "signal.sent", by, name=name, payload=digest)
        try:
            await world.records.commit(Change((ResolveStep(tenant, run, row), WakeRun(tenant, run), event, told)))
        except Conflict:
            continue  # another node took the number, the time of that wait ran out, or the run ended
        world.bus.ring("resolved", f"{tenant}/{run}")
        ring_for(world, tenant, found.agent, found.session)
        return await get_run(world, tenant, run)
    raise LimitReached(what="Signals sent at once", limit=TRIES)
