"""Runs that people look at after the fact: chosen as they end, filled up by stratum, and measured with known cases.

A chosen run gets its review in the Change of its end, so none is missed and none is asked twice. A queue over its
capacity lowers the rate, which is recorded, or places a hold; it never answers a review (G7). Known cases that somebody
put among the others tell how far the judgement of reviewers can be trusted. Only people set plans (G10). Agents without
a plan cost a look at an empty table.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from pilothouse.domain import ids
from pilothouse.domain.hold import Selector
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.review import Answer
from pilothouse.domain.run import Run
from pilothouse.domain.sampling import (
    Plan,
    ReviewerFigures,
    Seeded,
    adjusted,
    fill_up,
    place_of,
    stratum_of,
)
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import encode
from pilothouse.engine.evidence import ready_seal
from pilothouse.engine.hold import place_hold
from pilothouse.engine.own_key import own_key
from pilothouse.engine.sample import sample_id, sample_rows
from pilothouse.engine.world import World
from pilothouse.errors import AgentNotFound, Forbidden, NotOnRecord, StateConflict
from pilothouse.ports.change import Change, Conflict, KeepRun, Row, WriteDocument
from pilothouse.ports.records import RunFilter

SAMPLING, SAMPLING_KEY, SEEDED = "sampling", "sampling_key", "seeded"
PAGE = 200
OPEN_LIMIT = 10_000
PERIOD_RUNS = 20_000
"""Runs of a period that are looked through to fill up its strata."""
SEEDED_LIMIT = 10_000

_read = msgspec.json.Decoder(Plan).decode
_read_seeded = msgspec.json.Decoder(Seeded).decode
_read_answer = msgspec.json.Decoder(Answer).decode


async def set_plan(world: World, by: Principal, plan: Plan) -> Plan:
    """From now on runs of the agent that end are sampled so. Raises `AgentNotFound`, `Forbidden`."""
    _check_person(by)
    if world.worker.find(plan.agent) is None:
        raise AgentNotFound(agent=plan.agent)
    at = world.clock.now()
    plan = replace(plan, rate_now=plan.rate, set_by=by.name, set_at=at, filled_until=at)
    await sampling_key(world, by.tenant)
    await _write(world, by.tenant, plan, "active", "sampling.set", by.name)
    world.plans = {**world.plans, (by.tenant, plan.agent): plan}
    return plan


async def drop_plan(world: World, by: Principal, agent: str) -> None:
    """Raises `NotOnRecord`, `Forbidden`."""
    _check_person(by)
    plan = await get_plan(world, by.tenant, agent)
    await _write(world, by.tenant, plan, "dropped", "sampling.dropped", by.name)
    world.plans = {name: one for name, one in world.plans.items() if name != (by.tenant, agent)}


async def get_plan(world: World, tenant: str, agent: str) -> Plan:
    found = await world.records.get_document(tenant, f"{SAMPLING}:{agent}")
    if found is None or found.state != "active":
        raise NotOnRecord(kind="sampling of", name=agent, place="/v1/agents")
    return _read(found.body)


async def load_plans(world: World) -> None:
    """What is in force, as the records have it now. Called at the start and with every round of leases."""
    found: dict[tuple[str, str], Plan] = {}
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(None, SAMPLING, "active", cursor, PAGE)
        for one in page:
            plan = _read(one.body)
            await sampling_key(world, one.tenant)
            found[one.tenant, plan.agent] = plan
        if cursor is None:
            break
    if found or world.plans:
        world.plans = found


def _check_person(by: Principal) -> None:
    if by.kind != "human":
        raise Forbidden(reason="only people say what is looked at", hint="Use the key of a person.")


async def sampling_key(world: World, tenant: str) -> bytes:
    """The key by which runs of the tenant are chosen."""
    if tenant not in world.sampling_keys:
        world.sampling_keys[tenant] = await own_key(world, tenant, SAMPLING_KEY)
    return world.sampling_keys[tenant]


async def _write(
    world: World, tenant: str, plan: Plan, state: str, kind: str, by: str, rows: Sequence[Row] = (), **facts: Any
) -> None:
    at, id = world.clock.now(), f"{SAMPLING}:{plan.agent}"
    kept = await world.records.get_document(tenant, id)
    write = WriteDocument(tenant, id, SAMPLING, kept.version if kept else 0, state, encode(plan), at)
    told = entry(tenant, id, at, kind, by, rate=plan.rate, rate_now=plan.rate_now, minimum=plan.minimum, **facts)
    try:
        await world.records.commit(Change((write, *rows, told)))
    except Conflict:
        raise StateConflict("The plan was changed by somebody else.", hint="Look at it again.", session=id,
                            version=0) from None  # fmt: skip


# --- rounds -----------------------------------------------------------------------------------------------------------


async def sample_round(world: World) -> None:
    """Of each plan: the rate follows the queue, and periods that ended are filled up. Several nodes may do so at once;
    the version of the plan lets one of them."""
    for tenant, agent in list(world.plans):
        with contextlib.suppress(StateConflict, NotOnRecord):
            await _follow_queue(world, tenant, agent)
            await _fill_period(world, tenant, agent)


async def _follow_queue(world: World, tenant: str, agent: str) -> None:
    plan = await get_plan(world, tenant, agent)
    waiting = await count_waiting(world, tenant, agent)
    rate = adjusted(plan, waiting)
    if rate == plan.rate_now or (plan.when_full == "hold" and rate < plan.rate_now):
        if waiting > plan.capacity and plan.when_full == "hold":
            await _hold(world, tenant, agent, waiting)
        return
    await _change(world, tenant, replace(plan, rate_now=rate), "sampling.adjusted", waiting=waiting)


async def _hold(world: World, tenant: str, agent: str, waiting: int) -> None:
    selector = Selector(agent=agent)
    if not any(hold.tenant == tenant and hold.selector == selector for hold in world.holds.values()):
        by = replace(LOCAL, name=NODE, kind="service", tenant=tenant)
        await place_hold(world, by, "pause", selector, f"{waiting} runs wait to be looked at")


async def count_waiting(world: World, tenant: str, agent: str) -> int:
    waiting, seen, cursor = 0, 0, None
    while seen < OPEN_LIMIT:
        page, cursor = await world.records.list_reviews(tenant, "open", None, cursor, PAGE)
        waiting += sum(one.kind == "sample" and one.agent == agent for one in page)
        seen += len(page)
        if cursor is None:
            break
    return waiting


async def _change(world: World, tenant: str, plan: Plan, kind: str, rows: Sequence[Row] = (), **facts: Any) -> None:
    await _write(world, tenant, plan, "active", kind, NODE, rows, **facts)
    world.plans = {**world.plans, (tenant, plan.agent): plan}


async def _fill_period(world: World, tenant: str, agent: str) -> None:
    plan = await get_plan(world, tenant, agent)
    period = round(plan.period_seconds * 1e6)
    end = world.clock.now() // period * period
    if plan.minimum == 0 or plan.filled_until >= end:
        return
    runs = await _runs_between(world, tenant, agent, plan.filled_until, end)
    key = await sampling_key(world, tenant)
    places = {run.id: place_of(key, run.id) for run in runs}
    strata = {run.id: stratum_of(plan, run.input, run.output, run.metadata) for run in runs}
    reviewed = [run.id for run in runs if await world.records.get_review(tenant, sample_id(run.id)) is not None]
    added = set(fill_up(plan, places, strata, reviewed))
    rows: list[Row] = []
    for run in runs:
        if run.id in added:
            rows += sample_rows(world, plan, run, run.output, world.clock.now())
    await _change(world, tenant, replace(plan, filled_until=end), "sampling.filled", rows, added=len(added))


async def _runs_between(world: World, tenant: str, agent: str, start: int, end: int) -> list[Run]:
    found: list[Run] = []
    cursor: str | None = None
    where = RunFilter(agent=agent, statuses=("succeeded",))
    while len(found) < PERIOD_RUNS:
        page = await world.records.list_runs(tenant, where, cursor, PAGE)
        found += [run for run in page.items if start <= run.created_at < end]
        cursor = page.next_cursor
        if cursor is None or page.items[-1].created_at < start:
            break
    return found


# --- known cases ------------------------------------------------------------------------------------------------------


async def seed_case(world: World, by: Principal, agent: str, input: bytes, output: bytes, *, is_right: bool) -> None:
    """Puts a case whose right answer is known among those to be reviewed: a run like any other, that was never run. It
    is told to nobody which one it is, not even to whoever asks for it. Raises `NotOnRecord`, `Forbidden`."""
    _check_person(by)
    plan = await get_plan(world, by.tenant, agent)
    known = world.worker.find(agent)
    at = world.clock.now()
    await ready_seal(world, by.tenant, None)
    run = Run(
        tenant=by.tenant, id=ids.run_id(at, world.entropy.bits()), agent=agent, mode="stateless", status="succeeded",
        release="" if known is None else known.release, input=input, output=output, created_at=at, started_at=at,
        finished_at=at,
    )  # fmt: skip
    keep = KeepRun(
        run.tenant, run.id, agent, run.release, None, "succeeded", input, output, None, run.metadata, None, 1, at, at,
        at,
    )  # fmt: skip
    review = sample_id(run.id)
    seeded = Seeded(review, run.id, agent, is_right, by.name, at)
    write = WriteDocument(run.tenant, f"{SEEDED}:{review}", SEEDED, 0, agent, encode(seeded), at)
    ended = entry(run.tenant, run.id, at, "run.succeeded", NODE, attempt=1)
    told = entry(run.tenant, f"{SAMPLING}:{agent}", at, "sampling.seeded", by.name)
    await world.records.commit(Change((keep, write, *sample_rows(world, plan, run, output, at), ended, told)))


async def seeded_runs(world: World, tenant: str, agent: str) -> dict[str, Seeded]:
    """By run. They are no decisions about anybody."""
    found: dict[str, Seeded] = {}
    cursor: str | None = None
    while len(found) < SEEDED_LIMIT:
        page, cursor = await world.records.list_documents(tenant, SEEDED, agent, cursor, PAGE)
        found |= {one.run: one for one in (_read_seeded(document.body) for document in page)}
        if cursor is None:
            break
    return found


async def measure_reviewers(world: World, tenant: str, agent: str) -> list[ReviewerFigures]:
    """How each reviewer judged the known cases of an agent."""
    counts: dict[str, list[int]] = {}
    for one in (await seeded_runs(world, tenant, agent)).values():
        review = await world.records.get_review(tenant, one.review)
        if review is None or review.status != "decided" or review.answer is None:
            continue
        answer = _read_answer(review.answer)
        approved = answer.verdict == "approve"
        figures = counts.setdefault(answer.by, [0, 0, 0, 0])
        figures[0] += 1
        figures[1] += approved is one.is_right
        figures[2] += not one.is_right
        figures[3] += approved and not one.is_right
    return [
        ReviewerFigures(reviewer=name, decided=one[0], agreed=one[1], wrong_seen=one[2], wrong_approved=one[3])
        for name, one in sorted(counts.items())
    ]
