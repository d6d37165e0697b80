"""Runs made from other runs: a retry keeps the finished steps, a fork keeps those up to a point and may edit them.

The end of a run is absorbing, so both make a new run, on the current release. Its `origin` is the first run of such a
chain, since the idempotency keys that the outside sees follow from it: a retry of a retry shows the same ones.
"""

from typing import Any

from msgspec.structs import replace as edited

from pilothouse.domain import ids
from pilothouse.domain.journal import BEGUN, ENDED, StepRow
from pilothouse.domain.run import Run
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.evidence import ready_seal
from pilothouse.engine.outbox import read_webhook
from pilothouse.engine.run import Started, StartRun, get_run, start_run
from pilothouse.engine.world import World
from pilothouse.errors import NotKept, RunActive, RunEnded, StepNotFound
from pilothouse.ports.change import Change, Conflict, ForkSession


async def retry_run(world: World, tenant: str, run: str, by: str = NODE) -> Started:
    """A new run with the same input that finds the finished steps of `run`; failed ones are tried again. Raises
    `RunActive` when it has not ended, `RunEnded` when it succeeded."""
    found = await _kept(world, tenant, run)
    if not found.is_terminal:
        raise RunActive(run=run, status=found.status)
    if found.status == "succeeded":
        raise RunEnded(run=run, status=found.status, what="retries")
    journal = await world.records.load_journal(tenant, run)
    rows = [row for row in journal if row.status == "succeeded" or _is_unknown(row, journal)]
    return await _start_from(world, found, rows, found.session, by, "run.retried")


async def fork_run(
    world: World,
    tenant: str,
    run: str,
    after: str | None,
    replace: dict[str, bytes],
    by: str = NODE,
    reason: str | None = None,
) -> Started:
    """A new run that has the finished steps of `run` up to and with the step `after` (None: all of them), some with
    another output. A turn of a session is forked into a new session. Who, why and which steps were replaced with what
    stands in the log, in the Change that starts it. Raises `StepNotFound`."""
    found = await _kept(world, tenant, run)
    everything = await world.records.load_journal(tenant, run)
    journal = [row for row in everything if row.phase == ENDED or _is_unknown(row, everything)]
    keys = {row.key for row in journal if row.phase == ENDED}
    for key in [*replace, *([] if after is None else [after])]:
        if key not in keys:
            raise StepNotFound(run=run, step=key)
    rows: list[StepRow] = []
    for row in journal:
        if row.kind == "checkpoint" and any(one.key in replace for one in rows):
            continue  # it holds what came of the output that is replaced
        if row.key in replace and row.phase == ENDED:
            row = edited(row, status="succeeded", output=replace[row.key], error=None)
        rows.append(row)
        if row.key == after and row.phase == ENDED:
            break
    session = None if found.session is None else await _fork_before(world, found, by)
    await ready_seal(world, tenant, found.subject)
    digests = {key: world.seals.digest(tenant, found.subject, output) for key, output in sorted(replace.items())}
    return await _start_from(
        world, found, rows, session, by, "run.forked", reason=reason, after=after, replaced=digests or None
    )


def _is_unknown(row: StepRow, journal: list[StepRow]) -> bool:
    """A `once` step that began and whose end nobody saw: the new run must ask a person too, not run it again (I2)."""
    return row.once and row.phase == BEGUN and not any(one.key == row.key and one.phase == ENDED for one in journal)


async def _kept(world: World, tenant: str, run: str) -> Run:
    found = await get_run(world, tenant, run)
    live = world.attempts.get((tenant, run))
    if live is not None and not live.kept:
        raise NotKept(what="A new run from this one")
    return found


async def _start_from(
    world: World, run: Run, rows: list[StepRow], session: str | None, by: str, kind: str, **facts: Any
) -> Started:
    at = world.clock.now()
    new = ids.run_id(at, world.entropy.bits())
    command = StartRun(
        tenant=run.tenant,
        agent=run.agent,
        input=run.input,
        session=session,
        subject=run.subject,
        metadata=run.metadata,
        priority=run.priority,
        wants="later",
        origin=run.origin or run.id,
        webhook=read_webhook(run),
        journal=rows,
        run_id=new,
        by=by,
        beside=(entry(run.tenant, run.id, at, kind, by, to=new, **facts),),
    )
    return await start_run(world, command)


async def _fork_before(world: World, run: Run, by: str) -> str:
    """A session of its own for the forked turn, with the history from before it: the old one is not disturbed."""
    assert run.session is not None
    key = f"{run.session[:200]}~{world.entropy.bits():016x}"
    turns = await world.records.list_turns(run.tenant, run.agent, run.session, None, 10_000)
    own = next((turn.number for turn in turns if turn.run == run.id), None)
    began_at = run.created_at if run.started_at is None else run.started_at  # it may have stood in line
    before = [turn.run for turn in turns if (turn.finished_at <= began_at if own is None else turn.number < own)]
    session = await world.records.get_session(run.tenant, run.agent, run.session)
    if before and session is not None:
        at = world.clock.now()
        fork = ForkSession(run.tenant, key, run.agent, run.session, before[-1], session.state, at, session.expires_at)
        digest = world.seals.digest(run.tenant, run.subject, run.session) or "unknown"
        told = entry(run.tenant, f"session:{run.agent}", at, "session.forked", by, session=digest)
        try:
            await world.records.commit(Change((fork, told)))
        except Conflict:  # the session was dropped meanwhile: the fork starts without a past
            return key
    return key
