"""Erasing a subject: all that was kept of a person goes, in rounds, and the log says that it went without saying who.

In an order in which it can be asked for again after a crash: what lives is cancelled, sessions and runs go, then
examples, and last the key of the subject's digests, in the Change of the entry that tells of it (I12, I14). Until then
nothing says that it is done. A hold over any of it stops it before anything has gone: evidence that a court asked for
is kept (`domain.retention`).
"""

import asyncio
from collections.abc import AsyncIterator

from msgspec import Struct

from pilothouse.domain.principal import Principal
from pilothouse.domain.run import LIVE
from pilothouse.engine.audit_entry import entry
from pilothouse.engine.cancel import cancel_run
from pilothouse.engine.evidence import ready_seal, seal_dropped
from pilothouse.engine.example import withdraw_examples
from pilothouse.engine.hold import load_holds
from pilothouse.engine.run import wait_run
from pilothouse.engine.scratch import forget_scratch
from pilothouse.engine.session import delete_session, refuse_held
from pilothouse.engine.world import World
from pilothouse.errors import Forbidden, Held, RecordsUnavailable, RunActive, RunNotFound, SessionNotFound
from pilothouse.ports.change import Change, Conflict
from pilothouse.ports.records import RunOfSubject

BATCH = 256
PATIENCE = 10.0
"""Seconds in which the runs of a subject that were cancelled have to end."""
TRIES = 20
PAUSE = 0.05
"""Seconds until what another node has locked is tried again."""


class Erasure(Struct, frozen=True):
    """How much went. `runs` are those of the subject, also in sessions."""

    runs: int
    sessions: int
    examples: int


async def erase_subject(world: World, by: Principal, subject: str) -> Erasure:
    """Removes the runs of a subject, the sessions in which it has a turn, with their scratch, and its examples, and
    destroys the key of its digests. A second call removes what came since. Raises `Held` when a hold covers any of it
    (then nothing has gone), `RunActive` and `SessionBusy` when something lives on (then ask again), `Forbidden`."""
    if by.kind == "agent":
        raise Forbidden(reason="agents do not erase", hint="Use the key of a person or a program.")
    tenant = by.tenant
    await load_holds(world)
    sessions = set(await world.records.list_sessions_of_subject(tenant, subject))
    live: list[str] = []
    runs = 0
    async for run in _runs_of(world, tenant, subject):
        _refuse_held_run(world, tenant, run)
        runs += 1
        if run.session is not None:
            sessions.add((run.agent, run.session))
        if run.status in LIVE:
            live.append(run.id)
    for agent, key in sorted(sessions):
        await refuse_held(world, tenant, agent, key)
    await _end(world, by, live)
    dropped = [await _drop(world, by, agent, key) for agent, key in sorted(sessions)]
    await _erase_runs(world, tenant, subject)
    examples = await withdraw_examples(world, by, subject)
    erased = Erasure(runs, sum(dropped), examples)
    await _tell(world, by, subject, erased)
    return erased


async def _runs_of(world: World, tenant: str, subject: str) -> AsyncIterator[RunOfSubject]:
    after = 0
    while page := await world.records.list_runs_of_subject(tenant, subject, after, BATCH):
        for run in page:
            yield run
        after = page[-1].pos


def _refuse_held_run(world: World, tenant: str, run: RunOfSubject) -> None:
    for hold in world.holds.values():
        if hold.tenant == tenant and hold.selector.covers_names(
            agent=run.agent, release=run.release, run=run.id, session=run.session
        ):
            raise Held(hold=hold.id, reason=hold.reason)


async def _end(world: World, by: Principal, live: list[str]) -> None:
    """What lives is cancelled; an attempt is given some time to obey."""
    for run in live:
        await cancel_run(world, by.tenant, run, "its subject is erased", by=by.name)
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    for run in live:
        try:
            found = await wait_run(world, by.tenant, run, max(0.0, until - loop.time()))
        except RunNotFound:  # somebody else has removed it
            continue
        if not found.is_terminal:
            raise RunActive(run=run, status=found.status)


async def _drop(world: World, by: Principal, agent: str, key: str) -> bool:
    """A session of which no turn has ended is not there, yet it may have a scratch."""
    try:
        await delete_session(world, by.tenant, agent, key, by.name)
    except SessionNotFound:
        await forget_scratch(world, by.tenant, agent, key)
        return False
    return True


async def _erase_runs(world: World, tenant: str, subject: str) -> None:
    waits = 0
    while True:
        erased = await world.records.erase_runs(tenant, subject, BATCH)
        if erased.hold is not None:  # placed since it was asked
            raise Held(hold=erased.hold, reason=erased.reason)
        if erased.runs:
            continue
        left = await world.records.list_runs_of_subject(tenant, subject, 0, 1)
        if not left:
            return
        if left[0].status in LIVE:  # begun since it was asked
            raise RunActive(run=left[0].id, status=left[0].status)
        waits += 1
        if waits == TRIES:
            raise RecordsUnavailable
        await asyncio.sleep(PAUSE)


async def _tell(world: World, by: Principal, subject: str, erased: Erasure) -> None:
    """The key goes in the Change of the entry, which names the subject by a digest under the key of the tenant."""
    await ready_seal(world, by.tenant, None)
    digest = world.seals.digest(by.tenant, None, subject)
    for _ in range(TRIES):
        at = world.clock.now()
        told = entry(
            by.tenant, f"subject:{digest}", at, "subject.erased", by.name,
            runs=erased.runs, sessions=erased.sessions, examples=erased.examples,
        )  # fmt: skip
        drops = await seal_dropped(world, by.tenant, subject)
        try:
            await world.records.commit(Change((*drops, told)))
            return
        except Conflict:
            continue
    raise RecordsUnavailable
