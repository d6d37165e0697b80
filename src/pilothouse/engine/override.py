"""Overriding what was decided or came out, once it can change no more (G4).

Of a run that has ended, or a review whose run has: while a run lives it may be acting on what would be superseded, so a
living one is refused in the very statement that writes, not by a look before. Who overrides has seen what they
override: of two at the same moment one stands, and the other learns what is in force now. With it, in one Change, go
the entry of the log, the word to whoever is to hear of it, and the start of a compensation run, whose actions pass
policy like any other. Only people override (G10).
"""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from pilothouse.domain import ids
from pilothouse.domain.journal import StepRow
from pilothouse.domain.override import OVERRIDES_LIMIT, Override, changed_places, in_force, read_overrides
from pilothouse.domain.principal import Principal
from pilothouse.domain.review import Answer, Review
from pilothouse.domain.run import Run
from pilothouse.engine.audit_entry import entry
from pilothouse.engine.encoding import decode, encode, raw
from pilothouse.engine.evidence import ready_seal
from pilothouse.engine.example import CONTENT_LIMIT, example_rows, make_example
from pilothouse.engine.label import Seen, labels_now
from pilothouse.engine.outbox import tell_override
from pilothouse.engine.review import get_review
from pilothouse.engine.run import StartRun, get_run, start_run
from pilothouse.engine.world import World
from pilothouse.errors import Forbidden, LimitReached, NotKept, OverrideConflict, RunActive, TooLarge
from pilothouse.ports.change import Act, Change, Conflict, Row, Statement, SupersedeReview, SupersedeRun

VALUE_LIMIT = 4 * 1024 * 1024
"""Bytes of what is put in force."""


class Correction(Struct, kw_only=True):
    """What is to be in force, and why. `value` None: what was. `superseded`: how many overrides its author has seen;
    None: whatever there is. `compensate`: the agent that corrects what was done, which is given what it corrects."""

    reason: str
    value: bytes | None = None
    superseded: int | None = None
    compensate: str | None = None


class Case(Struct, kw_only=True):
    """What is overridden: the outcome of `run`, or the answer of `review`, one of its questions."""

    by: Principal
    run: Run
    review: Review | None
    original: bytes | None
    before: tuple[Override, ...]
    asked: Correction
    is_consequential: bool

    @property
    def what(self) -> str:
        return f"run {self.run.id}" if self.review is None else f"review {self.review.id}"

    @property
    def was_in_force(self) -> bytes | None:
        return in_force(self.original, self.before)


async def override_run(
    world: World, by: Principal, run: str, asked: Correction, *, beside: tuple[Statement, ...] = ()
) -> Run:
    """`beside` goes into the same Change; `Conflict` tells that one of these fell. Raises `RunNotFound`, `RunActive`,
    `OverrideConflict`, `Forbidden`."""
    _check(by, asked)
    found = await ended_run(world, by.tenant, run)
    case = Case(
        by=by,
        run=found,
        review=None,
        original=found.output,
        before=read_overrides(found.overrides),
        asked=asked,
        is_consequential=_has_consequence(await world.records.load_journal(by.tenant, run)),
    )
    made = _make(world, case)
    supersede = SupersedeRun(by.tenant, run, len(case.before), encode((*case.before, made)))
    await _commit(world, case, made, (supersede, *beside))
    return await get_run(world, by.tenant, run)


async def override_review(
    world: World, by: Principal, review: str, answer: Answer, asked: Correction, *, beside: tuple[Statement, ...] = ()
) -> Review:
    """Puts another answer in force. Raises `ReviewNotFound`, `RunActive`, `OverrideConflict`, `Forbidden`."""
    value = encode(replace(answer, by=by.name, reason=asked.reason))
    asked = replace(asked, value=value)
    _check(by, asked)
    found = await get_review(world, by.tenant, review)
    if found.status not in ("decided", "expired"):
        raise OverrideConflict(what=f"review {review}", reason=f"it is {found.status} and has no answer to supersede")
    case = Case(
        by=by,
        run=await ended_run(world, by.tenant, found.run),
        review=found,
        original=found.answer,
        before=read_overrides(found.overrides),
        asked=asked,
        is_consequential=found.kind == "action" and decode(found.details).get("risk") == "consequential",
    )
    made = _make(world, case)
    overrides = encode((*case.before, made))
    supersede = SupersedeReview(by.tenant, review, found.run, len(case.before), overrides)
    await _commit(world, case, made, (supersede, *beside))
    return await get_review(world, by.tenant, review)


def _check(by: Principal, asked: Correction) -> None:
    if by.kind != "human":
        raise Forbidden(reason="only people override", hint="Use the key of a person.")
    if asked.value is not None and len(asked.value) > VALUE_LIMIT:
        raise TooLarge(what="What is put in force", limit=VALUE_LIMIT)


async def ended_run(world: World, tenant: str, run: str, what: str = "An override") -> Run:
    """Raises `RunNotFound`, `NotKept`, `RunActive`."""
    live = world.attempts.get((tenant, run))
    if live is not None and not live.kept:
        raise NotKept(what=what)
    found = await get_run(world, tenant, run)
    if not found.is_terminal:
        raise RunActive(run=run, status=found.status)
    return found


def _has_consequence(rows: Sequence[StepRow]) -> bool:
    """Whether the run was about to do something with a legal or similar effect on a person."""
    return any(row.kind == "gate" and row.input and decode(row.input).get("risk") == "consequential" for row in rows)


def _make(world: World, case: Case) -> Override:
    asked, times = case.asked, len(case.before)
    if asked.superseded is not None and asked.superseded != times:
        raise OverrideConflict(what=case.what, reason=f"it was superseded {times} times, not {asked.superseded}")
    if times >= OVERRIDES_LIMIT:
        raise LimitReached(what=f"The overrides of the {case.what}", limit=OVERRIDES_LIMIT)
    at = world.clock.now()
    return Override(
        id=f"ovr_{at:014x}{world.entropy.bits():016x}",
        by=case.by.name,
        at=at,
        reason=asked.reason,
        value=UNSET if asked.value is None else Raw(asked.value),
        changed=() if asked.value is None else changed_places(case.was_in_force, asked.value),
        compensation=None if asked.compensate is None else ids.run_id(at, world.entropy.bits()),
    )


async def _commit(world: World, case: Case, made: Override, acts: tuple[Statement, ...]) -> None:
    await ready_seal(world, case.run.tenant, case.run.subject)
    statements = (*acts, *_rows(world, case, made), *_example(world, case, made))
    try:
        if case.asked.compensate is None:
            await world.records.commit(Change(statements))
        else:
            await start_run(world, await _compensation(world, case, made, statements))
    except Conflict as fell:
        if fell.statement not in ("supersede_run", "supersede_review"):
            raise
        now = await get_run(world, case.run.tenant, case.run.id)
        if not now.is_terminal:
            raise RunActive(run=now.id, status=now.status) from None
        raise OverrideConflict(what=case.what, reason="somebody else has overridden it meanwhile") from None


def _rows(world: World, case: Case, made: Override) -> list[Row]:
    """The entry, and who is told."""
    run, review, before = case.run, case.review, case.was_in_force
    after = in_force(before, (made,))
    facts: dict[str, Any] = {"override": made.id, "reason": made.reason, "changed": len(made.changed)}
    for name, value in (("original", case.original), ("before", before), ("after", after)):
        facts[name] = world.seals.digest(run.tenant, run.subject, value)
    if review is not None:
        facts |= {"run": run.id, "verdict_before": _verdict(before), "verdict_after": _verdict(after)}
    id, kind = (run.id, "run.overridden") if review is None else (review.id, "review.overridden")
    told = entry(run.tenant, id, made.at, kind, case.by.name, compensation=made.compensation, **facts)
    said = {
        "override": made.id,
        "review": None if review is None else review.id,
        "reason": made.reason,
        "changed": made.changed,
        "in_force": raw(after),
        "compensation": made.compensation,
    }
    return [told, *tell_override(world, run, made.at, encode(said), must=case.is_consequential)]


def _example(world: World, case: Case, made: Override) -> tuple[Act | Row, ...]:
    """Another outcome of a run is what its output should have been."""
    if case.review is not None or not isinstance(made.value, Raw):
        return ()
    value = bytes(made.value)
    if len(value) + len(case.run.input) + len(case.run.output or b"") > CONTENT_LIMIT:
        return ()
    one = make_example(world, case.run, case.by.name, "override", expected=value, score=0.0)
    return example_rows(world, case.run, one)


def _verdict(answer: bytes | None) -> str | None:
    return None if answer is None else decode(answer).get("verdict")


async def _compensation(world: World, case: Case, made: Override, beside: tuple[Statement, ...]) -> StartRun:
    """The run that corrects: it is told what it corrects, and carries the labels of that."""
    run, review = case.run, case.review
    agent = world.worker.find(run.agent)
    tools = {} if agent is None else {tool.name: tool for tool in agent.tools}
    labels = sorted(await labels_now(world, run, tools, Seen()))
    given = {
        "corrects": run.id,
        "review": None if review is None else review.id,
        "reason": made.reason,
        "input": raw(run.input),
        "output": raw(run.output),
        "in_force": raw(in_force(case.was_in_force, (made,))),
    }
    linked: dict[str, Any] = {"corrects": run.id, "override": made.id}
    return StartRun(
        tenant=run.tenant,
        agent=case.asked.compensate or "",
        input=encode(given),
        subject=run.subject,
        metadata=encode(linked | ({"labels": labels} if labels else {})),
        run_id=made.compensation,
        wants="later",
        by=case.by.name,
        beside=beside,
    )
