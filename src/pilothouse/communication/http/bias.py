"""The routes of bias audits: groups are recorded, audits run, findings dealt with.

What is recorded of a run is never shown again: the answer names the attributes, not the groups.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.call import Call, check_cursor, tenant_of
from pilothouse.communication.http.run import check_run_id
from pilothouse.domain.finding import FindingState
from pilothouse.engine import bias as verbs
from pilothouse.errors import InvalidInput
from pilothouse.wire.bias import (
    AuditRequest,
    BiasAuditPage,
    BiasAuditView,
    DeclaredView,
    FindingPage,
    GroupsNoted,
    GroupsRequest,
    MoveRequest,
    finding_view,
)
from pilothouse.wire.instant import stamp


class AuditsQuery(Struct, forbid_unknown_fields=True):
    agent: Annotated[str, Meta(max_length=256)] | None = None
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class FindingsQuery(Struct, forbid_unknown_fields=True):
    state: FindingState | None = None
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


async def record_groups(call: Call, run: str, body: GroupsRequest) -> None:
    """What is named is set; what was recorded before stays."""
    check_run_id(run)
    kept = await verbs.record_groups(call.front.world, call.principal, run, body.groups, body.label)
    await call.show(GroupsNoted(run=run, attributes=sorted(kept.groups), has_label=kept.label is not None))


async def audit_bias(call: Call, agent: str, body: AuditRequest) -> None:
    """Looks at all cases of the span, keeps the figures, and opens a finding for each group that is flagged."""
    until = call.front.world.clock.now() if body.until is None else _micros(body.until, "until")
    span = verbs.AuditSpan(
        since=0 if body.since is None else _micros(body.since, "since"),
        until=until,
        minimum=body.minimum,
        confidence=body.confidence,
        outcomes=body.outcomes,
    )
    await call.show(audit_view(await verbs.audit_bias(call.front.world, call.principal, agent, span)), 201)


def _micros(text: str, name: str) -> int:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
        return max(0, round(found.timestamp() * 1e6))
    except (ValueError, OverflowError):
        fault = {"path": f"$.{name}", "message": "expected an instant with a zone, as in 2026-11-22T12:00:00Z"}
        raise InvalidInput(faults=[fault]) from None


def audit_view(one: verbs.BiasAudit) -> BiasAuditView:
    said, figures = one.decision, one.figures
    return BiasAuditView(
        id=one.id,
        agent=one.agent,
        at=stamp(one.at),
        by=one.by,
        since=stamp(one.since),
        until=stamp(one.until),
        outcomes=one.outcomes,
        decision=DeclaredView(outcome=said.outcome, favourable=list(said.favourable), groups=list(said.groups)),
        releases=list(one.releases),
        cases=figures.cases,
        selected=figures.selected,
        minimum=figures.minimum,
        confidence=figures.confidence,
        not_ended=one.left_out.not_ended,
        undecided=one.left_out.undecided,
        overridden=one.overridden,
        attributes=list(figures.attributes),
        findings=list(one.findings),
    )


async def list_audits(call: Call, query: AuditsQuery) -> None:
    check_cursor(query.cursor)
    world, tenant = call.front.world, tenant_of(call)
    found, cursor = await verbs.list_audits(world, tenant, query.agent, query.cursor, query.limit)
    await call.show(BiasAuditPage([audit_view(one) for one in found], cursor))


async def get_audit(call: Call, audit: str) -> None:
    await call.show(audit_view(await verbs.get_audit(call.front.world, tenant_of(call), audit)))


async def list_findings(call: Call, query: FindingsQuery) -> None:
    check_cursor(query.cursor)
    world, tenant = call.front.world, tenant_of(call)
    found, cursor = await verbs.list_findings(world, tenant, query.state, query.cursor, query.limit)
    await call.show(FindingPage([finding_view(one) for one in found], cursor))


async def move_finding(call: Call, finding: str, body: MoveRequest) -> None:
    moved = await verbs.move_finding(call.front.world, call.principal, finding, body.state, body.reason)
    await call.show(finding_view(moved))
