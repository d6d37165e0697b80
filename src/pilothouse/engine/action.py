"""Actions: what an attempt is about to do to the world, decided before it happens and told when it has happened.

The host proposes a call of a tool; here the active policies rule on it, and what comes of it (a row of the journal and
an entry of the audit log) is durable before the host hears it (G1). A question to people is a review: when it is
decided the host proposes again, and the same action, by its digest, is judged as approved. What goes wrong is a deny.
An allowed call whose end nobody saw is told as `unknown`. Without policies and holds nothing of this is asked.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from pilothouse.domain.agent import Agent
from pilothouse.domain.ids import call_review_id
from pilothouse.domain.journal import BEGUN, ENDED, StepRow, gate_key, gate_review_key
from pilothouse.domain.label import labels_of_metadata
from pilothouse.domain.policy import (
    HAND_OFF_MARK,
    PUBLISH,
    Ask,
    PolicyRequest,
    Proposal,
    Ruling,
    Tool,
    action_id,
    digest_action,
    hand_off_tool,
    publish_tool,
)
from pilothouse.domain.principal import read_chain
from pilothouse.domain.review import Answer, Review
from pilothouse.domain.run import Run
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import decode, encode, raw
from pilothouse.engine.hold import hold_over_call, load_holds
from pilothouse.engine.label import Seen, labels_now
from pilothouse.engine.policy import load_policies, ruling_under
from pilothouse.engine.principal import CALL_SCOPE, acting_principal
from pilothouse.engine.world import World, persist, spawn
from pilothouse.ports.change import Row
from pilothouse.ports.policy import ActivePolicies
from pilothouse.ports.worker import Actor

REVIEWS_LIMIT = 20
"""Reviews about one call: each edit may open another one."""

QUESTION = "May {agent} call {tool}?"
_read_answer = msgspec.json.Decoder(Answer).decode


class Asking(Protocol):
    """The attempt that proposes, kept or not."""

    run: Run
    agent: Agent
    kept: bool
    actor: Actor | None
    labels: set[str]
    seen: Seen

    def reviews_about(self, key: str) -> int:
        """How many reviews the step `key` has asked for."""
        ...

    def tell_decision(self, ref: int, row: StepRow, told: Sequence[Row], acts: str | None) -> None:
        """Keeps the decision and what is told with it; then the host hears it. `acts`: the action that may happen."""
        ...

    def open_review(self, row: StepRow, question: str, details: bytes, expires_at: int | None) -> None:
        """A review that the node asks for itself."""
        ...

    def hold_off(self, hold: str) -> None:
        """The attempt ends, and the run goes on when this hold is lifted."""
        ...

    def flush(self) -> None: ...


class Case(Struct):
    """One proposal while it is judged."""

    asking: Any
    ref: int
    asked: Proposal
    tool: Tool
    request: PolicyRequest
    digest: str

    @property
    def id(self) -> str:
        return action_id(self.asking.run.id, self.asked.key)


def propose(world: World, asking: Asking, ref: int, asked: Proposal) -> None:
    """Decides about a call, at once where no person has been asked before. Answers by `Actor.decided`, exactly once."""
    if not world.knows_rules:
        spawn(world, persist(lambda: _read_first(world, asking, ref, asked)))
        return
    case = _case(world, asking, ref, asked, asked.arguments, approved=False)
    refused = _beyond(world, case)
    if refused is not None:
        _answer(world, case, "deny", world.policies.get(asking.run.tenant), reason=refused)
        return
    hold = hold_over_call(world, asking.run, asked.tool) if world.holds else None
    if hold is not None:
        if hold.effect == "pause" and asking.kept:
            asking.hold_off(hold.id)
        else:
            _answer(world, case, "deny", world.policies.get(asking.run.tenant), reason=f"on hold: {hold.reason}")
    elif asking.run.tenant not in world.policies:
        _answer(world, case, "allow", None, recorded=False)
    elif asking.kept:
        spawn(world, persist(lambda: _judge_labelled(world, case)))
    else:  # what it has seen nobody can tell: whatever its tools may bring
        asking.labels.update(*(tool.labels for tool in asking.agent.tools), labels_of_metadata(asking.run.metadata))
        _judge(world, _case(world, asking, ref, asked, asked.arguments, approved=False))


def _beyond(world: World, case: Case) -> str | None:
    """Why the action is more than the run may do, whatever policies say: an agent has what it is given and what whoever
    it acts for has, and not more."""
    if not world.keys:
        return None
    run, who = case.asking.run, acting_principal(world, case.asking.run)
    whom = f"{run.agent} acts for {who.on_behalf_of}"
    lacking = [role for role in case.tool.needs if not who.has_role(role)]
    if lacking:
        return f"{whom}, and not both of them have the role {lacking[0]}"
    if case.asked.tool.startswith(HAND_OFF_MARK) and not who.may(CALL_SCOPE):
        return f"{whom}, and not both of them have the scope {CALL_SCOPE}"
    return None


async def _read_first(world: World, asking: Asking, ref: int, asked: Proposal) -> None:
    await load_policies(world)
    await load_holds(world)
    propose(world, asking, ref, asked)
    asking.flush()


async def _judge_labelled(world: World, case: Case) -> None:
    """The labels of what the run has seen are known first; then it is judged, or what people said of it weighed."""
    asking, asked = case.asking, case.asked
    tools = {tool.name: tool for tool in asking.agent.tools}
    asking.labels = set(await labels_now(world, asking.run, tools, asking.seen))
    case = _case(world, asking, case.ref, asked, asked.arguments, approved=False)
    if asking.reviews_about(asked.key):
        await _after_review(world, case)
    else:
        _judge(world, case)
        asking.flush()


def _case(world: World, asking: Asking, ref: int, asked: Proposal, arguments: bytes, *, approved: bool) -> Case:
    run = asking.run
    tool, chain, who = _tool(world, asking.agent, asked), read_chain(run.started_by), acting_principal(world, run)
    request = PolicyRequest(
        tenant=run.tenant,
        agent=run.agent,
        release=asking.agent.release,
        tool=asked.tool,
        risk=tool.risk,
        arguments=arguments,
        on_behalf_of=chain.principal,
        via=chain.agents,
        roles=tuple(sorted(who.roles)),
        subject=run.subject,
        session=run.session,
        labels=tuple(sorted(asking.labels)),
        approved=approved,
        at=world.clock.now(),
    )
    return Case(asking, ref, asked, tool, request, digest_action(request, tool.schema))


def _tool(world: World, agent: Agent, asked: Proposal) -> Tool:
    """What is known of it here; what a host says of a tool that nobody described is only believed where that is all."""
    if asked.tool.startswith(HAND_OFF_MARK):
        called = world.worker.find(asked.tool.removeprefix(HAND_OFF_MARK))
        if called is not None:
            return hand_off_tool(called.name, called.input_schema)
    if asked.tool == PUBLISH:
        return publish_tool()
    return next((one for one in agent.tools if one.name == asked.tool), Tool(asked.tool, asked.risk))


def _judge(world: World, case: Case) -> None:
    active = world.policies.get(case.request.tenant)
    if active is None:
        _answer(world, case, "allow", None, recorded=False)
        return
    ruling = ruling_under(active.compiled, case.request)
    if active.mode == "log":
        _answer(world, case, "allow", active, ruling=ruling, would=ruling.verdict)
    elif ruling.verdict != "ask":
        _answer(world, case, ruling.verdict, active, ruling=ruling, reason=ruling.reason)
    elif not case.asking.kept:
        reason = "people must be asked, and this run is not kept; set keep = true for its agent"
        _answer(world, case, "deny", active, ruling=ruling, reason=reason)
    else:
        assert ruling.ask is not None
        _ask(world, case, active, ruling, ruling.ask)


def _ask(
    world: World, case: Case, active: ActivePolicies, ruling: Ruling, ask: Ask, edited_by: str | None = None
) -> None:
    """Opens a review and tells the host to wait for it. `edited_by`: who has made this very action of another one; that
    counts as their vote."""
    asking, run, at = case.asking, case.asking.run, world.clock.now()
    number = asking.reviews_about(case.asked.key) + 1
    if number > REVIEWS_LIMIT:
        _answer(world, case, "deny", active, ruling=ruling, reason="it was asked about too often")
        return
    key = gate_review_key(case.asked.key, number)
    request = case.request
    details = {
        "action": case.id,
        "tool": request.tool,
        "risk": request.risk,
        "arguments": raw(request.arguments),
        "labels": request.labels,
        "agent": request.agent,
        "release": request.release,
        "subject": request.subject,
        "requester": request.on_behalf_of,
        "policies": ruling.policies,
        "reason": ruling.reason,
        "digest": case.digest,
        "role": ask.role,
        "quorum": ask.quorum,
        "ladder": [{"role": one.role, "after": one.after} for one in ask.ladder],
        "edited": edited_by is not None,
        "voted": edited_by or "",
    }
    question = ask.question or QUESTION.format(agent=request.agent, tool=request.tool)
    row = StepRow(key, "review", "review", BEGUN, "started", started_at=at)
    spans = [one for one in (ask.within, *(one.after for one in ask.ladder[:1])) if one is not None]
    expires_at = at + round(min(spans) * 1e6) if spans else None
    if ask.within is not None:
        details["until"] = at + round(ask.within * 1e6)
    asking.open_review(row, question, encode(details), expires_at)
    review = call_review_id(run.id, key)
    _answer(world, case, "ask", active, ruling=ruling, wait=key, review=review)


async def _after_review(world: World, case: Case) -> None:
    """People were asked about this call before: what they said counts if it is about the same action, now."""
    asking, run = case.asking, case.asking.run
    key = gate_review_key(case.asked.key, asking.reviews_about(case.asked.key))
    review = await world.records.get_review(run.tenant, call_review_id(run.id, key))
    active = world.policies.get(run.tenant)
    if review is None or review.status == "open":  # its Change is under way in this very attempt
        _answer(world, case, "ask", active, wait=key, recorded=False)
    elif active is None:
        _answer(world, case, "allow", None, recorded=False)
    else:
        _weigh(world, case, active, review)
    asking.flush()


def _weigh(world: World, case: Case, active: ActivePolicies, review: Review) -> None:
    answer = Answer(verdict="expired") if review.answer is None else _read_answer(review.answer)
    details = decode(review.details)
    of = review.id
    match answer.verdict:
        case "respond":
            _answer(world, case, "respond", active, response=answer.response, review=of)
            return
        case "reject" | "expired":
            reason = answer.reason or (
                "a person rejected it" if answer.verdict == "reject" else "nobody decided in time"
            )
            _answer(world, case, "deny", active, reason=reason, review=of)
            return
        case "edit":
            arguments = encode(answer.edited)
        case _:
            arguments = encode(details["arguments"])
    if not arguments.startswith(b"{"):
        _answer(world, case, "deny", active, reason="the edited arguments are no JSON object", review=of)
        return
    same = _case(world, case.asking, case.ref, case.asked, arguments, approved=True)
    if answer.verdict == "approve" and same.digest != details["digest"]:
        reason = "what was approved is not what would run now (another release, tool or subject)"
        _answer(world, case, "deny", active, reason=reason, review=of)
        return
    ruling = ruling_under(active.compiled, same.request)
    if ruling.verdict == "deny":
        _answer(world, same, "deny", active, ruling=ruling, reason=ruling.reason, review=of)
    elif ruling.verdict == "ask" and ruling.ask is not None and not _suffices(answer, details, ruling.ask):
        _ask(world, same, active, ruling, ruling.ask, edited_by=answer.by if answer.verdict == "edit" else None)
    else:
        is_edited = answer.verdict == "edit" or details["edited"]
        given = raw(arguments) if is_edited else None  # else the host runs the very objects that it proposed
        _answer(world, same, "allow", active, ruling=ruling, arguments=given, review=of)


def _suffices(answer: Answer, details: dict[str, Any], ask: Ask) -> bool:
    """Whether what was granted answers the question that policies ask now. An edit is one vote for another action."""
    if ask.role != details["role"]:
        return False
    return ask.quorum <= (1 if answer.verdict == "edit" else details["quorum"])


def _answer(
    world: World,
    case: Case,
    verdict: str,
    active: ActivePolicies | None,
    *,
    ruling: Ruling | None = None,
    recorded: bool = True,
    reason: str = "",
    wait: str = "",
    arguments: Any = None,
    response: str = "",
    review: str | None = None,
    would: str | None = None,
) -> None:
    asking, run, at = case.asking, case.asking.run, world.clock.now()
    reply: dict[str, Any] = {"verdict": verdict, "reason": reason}
    reply |= {
        name: value for name, value in (("wait", wait), ("response", response), ("arguments", arguments)) if value
    }
    policies = () if ruling is None else ruling.policies
    kept = {"digest": case.digest, "policies": policies, "action": case.id, "review": review, "would": would}
    request = {name: value for name, value in msgspec.structs.asdict(case.request).items() if name != "arguments"}
    row = StepRow(
        gate_key(case.asked.key, run.epoch * 1_000_000 + case.ref),
        "gate",
        case.asked.tool,
        ENDED,
        "succeeded",
        input=encode(request | {"arguments": raw(case.request.arguments), "step": case.asked.key}),
        output=encode(reply | kept),
        started_at=case.request.at,
        finished_at=at,
    )
    told: list[Row] = []
    if recorded and asking.kept:
        by = NODE if active is None else f"policy:{active.version}"
        kind = {"allow": "allowed", "deny": "denied", "ask": "asked", "respond": "answered"}[verdict]
        told.append(
            entry(
                run.tenant, case.id, at, f"action.{kind}", by, run=run.id, step=case.asked.key,
                tool=case.asked.tool, risk=case.tool.risk, agent=run.agent, policies=list(policies), review=review,
                digest=world.seals.digest(run.tenant, run.subject, case.digest), would=would, reason=reason or None,
                labels=list(case.request.labels) or None, on_behalf_of=case.request.on_behalf_of or None,
                via=list(case.request.via) or None,
            )
        )  # fmt: skip
    acts = case.id if recorded and verdict == "allow" and active is not None else None
    asking.tell_decision(case.ref, row, told, acts)
