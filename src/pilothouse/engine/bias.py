"""Bias audits: groups recorded apart from runs, figures over both, findings that somebody has to deal with.

What group somebody belongs to is a document of its own class beside the run, written and read under scopes of their
own. It is in no payload, event or log, agents never see it, and it goes when the run goes. An audit looks at the runs
of a span that have both an outcome and groups, and says how many it had to leave out and why; its result is kept as
figures only. Agents neither record groups nor audit (G10).
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pilothouse.domain.bias import NOT_TOLD, TOGETHER, Case, Figures, figures_of
from pilothouse.domain.decision import Decision
from pilothouse.domain.finding import MOVES, Finding, FindingState, Move
from pilothouse.domain.override import in_force, read_overrides
from pilothouse.domain.principal import Principal
from pilothouse.engine.audit_entry import entry
from pilothouse.engine.encoding import encode
from pilothouse.engine.run import get_run
from pilothouse.engine.sampling import seeded_runs
from pilothouse.engine.world import World
from pilothouse.errors import (
    AgentNotFound,
    Forbidden,
    InvalidInput,
    LimitReached,
    NotDeclared,
    NotOnRecord,
    StateConflict,
)
from pilothouse.ports.change import Change, Conflict, Statement, WriteDocument
from pilothouse.ports.records import Document

GROUPS, AUDIT, FINDING = "groups", "bias_audit", "finding"
PAGE = 500
CASES_LIMIT = 200_000
"""Cases of one audit; more are refused, so that no figure is of an unknown part."""
GROUP_LIMIT = 64
"""Characters of a group."""

GROUP_FORM = f"expected 1 to {GROUP_LIMIT} printable characters, without `{TOGETHER}`"

Outcomes = Literal["original", "in_force"]


class Groups(Struct, frozen=True, kw_only=True):
    """Of the person a run was about. `label`: whether the outcome should have been favourable, once that is known."""

    run: str
    groups: dict[str, str]
    label: bool | None = None


class LeftOut(Struct, kw_only=True):
    """Cases with groups that an audit could not count: the run has not succeeded, or its output does not say."""

    not_ended: int = 0
    undecided: int = 0


class AuditSpan(Struct, frozen=True, kw_only=True):
    """What an audit looks at: runs that were made from `since` to before `until` (microseconds)."""

    since: int = 0
    until: int
    minimum: int | None = None
    confidence: float = 0.95
    outcomes: Outcomes = "original"
    """What the agent decided, or what is in force after people overrode it."""


class BiasAudit(Struct, frozen=True, kw_only=True):
    id: str
    agent: str
    at: int
    by: str
    since: int
    until: int
    outcomes: Outcomes
    decision: Decision
    figures: Figures
    left_out: LeftOut
    overridden: int
    """Cases whose outcome somebody has overridden since."""
    releases: tuple[str, ...]
    findings: tuple[str, ...] = ()


_read_groups = msgspec.json.Decoder(Groups).decode
_read_audit = msgspec.json.Decoder(BiasAudit).decode
_read_finding = msgspec.json.Decoder(Finding).decode


def decision_of(world: World, agent: str) -> Decision:
    """What the agent declares. Raises `AgentNotFound`, `NotDeclared`."""
    found = world.worker.find(agent)
    if found is None:
        raise AgentNotFound(agent=agent)
    if found.decision is None:
        raise NotDeclared(agent=agent)
    return found.decision


async def record_groups(world: World, by: Principal, run: str, groups: Mapping[str, str], label: bool | None) -> Groups:
    """Records, or completes, the groups of whom the run is about. Raises `RunNotFound`, `NotDeclared`, `Forbidden`."""
    _refuse_agents(by)
    found = await get_run(world, by.tenant, run)
    decision = decision_of(world, found.agent)
    faults = [
        {"path": f"$.groups.{name[:64]}", "message": f"the agent declares {', '.join(decision.groups)}"}
        for name in groups
        if name not in decision.groups
    ]
    faults += [
        {
            "path": f"$.groups.{name}",
            "message": f"expected 1 to {GROUP_LIMIT} printable characters, without `{TOGETHER}`",
        }
        for name, group in groups.items()
        if not (0 < len(group) <= GROUP_LIMIT and group.isprintable()) or TOGETHER in group or group == NOT_TOLD
    ]
    if faults:
        raise InvalidInput(faults=faults)
    id, at = groups_id(run), world.clock.now()
    kept = await world.records.get_document(by.tenant, id)
    before = Groups(run=run, groups={}) if kept is None else _read_groups(kept.body)
    after = Groups(run=run, groups=before.groups | dict(groups), label=before.label if label is None else label)
    write = WriteDocument(by.tenant, id, GROUPS, kept.version if kept else 0, found.agent, encode(after), at)
    told = entry(by.tenant, run, at, "groups.recorded", by.name, attributes=sorted(groups), has_label=label is not None)
    try:
        await world.records.commit(Change((write, told)))
    except Conflict:
        raise StateConflict("The groups were recorded by somebody else at the same moment.", hint="Send them again.",
                            session=id, version=0) from None  # fmt: skip
    return after


def groups_id(run: str) -> str:
    return f"{GROUPS}:{run}"


def _refuse_agents(by: Principal) -> None:
    if by.kind == "agent":
        raise Forbidden(reason="agents do not see the groups of people", hint="Use the key of a person or a program.")


async def audit_bias(world: World, by: Principal, agent: str, span: AuditSpan) -> BiasAudit:
    """Looks at all cases of the span, keeps the figures and opens what was found. Raises `NotDeclared`,
    `LimitReached`, `Forbidden`."""
    _refuse_agents(by)
    decision = decision_of(world, agent)
    cases, left_out, overridden, releases = await _gather(world, by.tenant, agent, decision, span)
    minimum = decision.minimum if span.minimum is None else span.minimum
    figures = figures_of(cases, decision.groups, minimum, span.confidence)
    at = world.clock.now()
    audit = BiasAudit(
        id=f"bias_{at:014x}{world.entropy.bits():016x}",
        agent=agent,
        at=at,
        by=by.name,
        since=span.since,
        until=span.until,
        outcomes=span.outcomes,
        decision=decision,
        figures=figures,
        left_out=left_out,
        overridden=overridden,
        releases=tuple(sorted(releases)),
    )
    findings = await _findings_of(world, by.tenant, audit)
    audit = replace(audit, findings=tuple(one.id for one, _ in findings))
    statements: list[Statement] = [WriteDocument(by.tenant, audit.id, AUDIT, 0, agent, encode(audit), at)]
    statements.append(
        entry(by.tenant, audit.id, at, "bias.audited", by.name, agent=agent, cases=len(cases), findings=len(findings))
    )
    for one, version in findings:
        statements.append(WriteDocument(by.tenant, one.id, FINDING, version, one.state, encode(one), at))
        if version == 0:
            facts = {"agent": agent, "audit": audit.id, "attribute": one.attribute, "ratio": round(one.ratio, 4)}
            statements.append(entry(by.tenant, one.id, at, "finding.opened", by.name, **facts))
    try:
        await world.records.commit(Change(tuple(statements)))
    except Conflict:
        raise StateConflict("A finding was changed meanwhile.", hint="Audit again.", session=audit.id,
                            version=0) from None  # fmt: skip
    return audit


async def _gather(
    world: World, tenant: str, agent: str, decision: Decision, span: AuditSpan
) -> tuple[list[Case], LeftOut, int, set[str]]:
    cases: list[Case] = []
    left_out, overridden, releases = LeftOut(), 0, set[str]()
    seeded = await seeded_runs(world, tenant, agent)
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(tenant, GROUPS, agent, cursor, PAGE)
        for document in page:
            told = _read_groups(document.body)
            run = await world.records.get_run(tenant, told.run)
            if run is None or run.id in seeded or not span.since <= run.created_at < span.until:
                continue
            if run.status != "succeeded":
                left_out.not_ended += 1
                continue
            output = run.output
            if run.overrides is not None:
                overridden += 1
                if span.outcomes == "in_force":
                    output = in_force(output, read_overrides(run.overrides))
            selected = decision.is_favourable(output)
            if selected is None:
                left_out.undecided += 1
                continue
            releases.add(run.release)
            cases.append(Case(told.groups, selected, told.label))
            if len(cases) > CASES_LIMIT:
                raise LimitReached(what="The audit", limit=CASES_LIMIT, hint="Audit a shorter span.")
        if cursor is None:
            return cases, left_out, overridden, releases


async def _findings_of(world: World, tenant: str, audit: BiasAudit) -> list[tuple[Finding, int]]:
    """What is flagged, each with the version of its document: one that is not closed yet is found again."""
    known: dict[tuple[str, str, str], tuple[Finding, int]] = {}
    for document in await _documents(world, tenant, FINDING, None):
        one = _read_finding(document.body)
        if one.state != "closed":
            known[one.agent, one.attribute, one.group] = one, document.version
    found: list[tuple[Finding, int]] = []
    for attribute in audit.figures.attributes:
        for group in attribute.groups:
            if not group.is_flagged or group.ratio is None:
                continue
            before, version = known.get((audit.agent, attribute.attribute, group.group), (None, 0))
            interval = group.ratio_interval
            found.append(
                (
                    Finding(
                        id=f"fnd_{audit.at:014x}{world.entropy.bits():016x}" if before is None else before.id,
                        agent=audit.agent,
                        audit=audit.id,
                        attribute=attribute.attribute,
                        group=group.group,
                        reference=attribute.reference or "",
                        ratio=group.ratio,
                        low=None if interval is None else interval.low,
                        high=None if interval is None else interval.high,
                        count=group.count,
                        state="open" if before is None else before.state,
                        history=() if before is None else before.history,
                    ),
                    version,
                )
            )
    return found


async def _documents(world: World, tenant: str, kind: str, state: str | None) -> list[Document]:
    found: list[Document] = []
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(tenant, kind, state, cursor, PAGE)
        found += page
        if cursor is None:
            return found


async def get_audit(world: World, tenant: str, id: str) -> BiasAudit:
    found = await world.records.get_document(tenant, id)
    if found is None or found.kind != AUDIT:
        raise NotOnRecord(kind="bias audit", name=id[:80], place="/v1/bias/audits")
    return _read_audit(found.body)


async def list_audits(
    world: World, tenant: str, agent: str | None, cursor: str | None, limit: int
) -> tuple[list[BiasAudit], str | None]:
    """Newest first."""
    page, following = await world.records.list_documents(tenant, AUDIT, agent, cursor, limit, newest=True)
    return [_read_audit(one.body) for one in page], following


async def list_findings(
    world: World, tenant: str, state: str | None, cursor: str | None, limit: int
) -> tuple[list[Finding], str | None]:
    """Newest first."""
    page, following = await world.records.list_documents(tenant, FINDING, state, cursor, limit, newest=True)
    return [_read_finding(one.body) for one in page], following


async def move_finding(world: World, by: Principal, id: str, state: FindingState, reason: str) -> Finding:
    """Raises `NotOnRecord`, `InvalidInput` for a move that there is not, `Forbidden`."""
    if by.kind != "human":
        raise Forbidden(reason="only people deal with findings", hint="Use the key of a person.")
    kept = await world.records.get_document(by.tenant, id)
    if kept is None or kept.kind != FINDING:
        raise NotOnRecord(kind="finding", name=id[:80], place="/v1/bias/findings")
    found = _read_finding(kept.body)
    if state not in MOVES[found.state]:
        fault = f"it is {found.state}, and becomes {' or '.join(sorted(MOVES[found.state])) or 'nothing any more'}"
        raise InvalidInput("The finding does not move so.", faults=[{"path": "$.state", "message": fault}])
    at = world.clock.now()
    moved = replace(found, state=state, history=(*found.history, Move(state, by.name, at, reason)))
    write = WriteDocument(by.tenant, id, FINDING, kept.version, state, encode(moved), at)
    told = entry(by.tenant, id, at, f"finding.{state}", by.name, before=found.state, reason=reason)
    try:
        await world.records.commit(Change((write, told)))
    except Conflict:
        raise StateConflict("The finding was changed by somebody else.", hint="Look at it again.", session=id,
                            version=kept.version) from None  # fmt: skip
    return moved
