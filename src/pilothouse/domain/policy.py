"""Policy: what an agent may do to the world, decided of one proposed action at a time.

Cedar answers permit or forbid; here that becomes a ruling. Deny is the default and every error is a deny (I15). A
policy with the annotation `@review("role")` turns what it decides into a question to people; `@quorum`, `@within` and
`@escalate` say how many, until when, and who after them. Of several policies the strictest question counts, and a plain
permit beside one that asks does not answer it. Pure: an engine is passed in as its answers.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

Risk = Literal["read", "reversible", "irreversible", "consequential"]
Mode = Literal["enforce", "log"]
RulingVerdict = Literal["allow", "deny", "ask"]

SPAN = re.compile(r"(\d{1,6})([smhd])\Z")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
ROLE = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
QUORUM_LIMIT = 20
ANNOTATIONS = frozenset({"id", "review", "quorum", "within", "escalate", "question", "reason"})

_encode = msgspec.json.Encoder(order="deterministic").encode


class Tool(Struct, frozen=True):
    """A tool as a host describes it. `schema`: JSON schema of its arguments."""

    name: str
    risk: Risk = "reversible"
    once: bool = False
    schema: bytes = b"{}"
    labels: tuple[str, ...] = ()
    """What its results bring into a run."""
    needs: tuple[str, ...] = ()
    """Roles that the agent and whoever it acts for must hold, all of them."""


class Proposal(Struct, frozen=True):
    """An action as an attempt proposes it: the step `key` wants to call `tool`. `arguments` is a JSON object."""

    key: str
    tool: str
    risk: Risk
    arguments: bytes


class PolicyRequest(Struct, frozen=True, kw_only=True):
    """Everything that a policy sees. `labels` are set by the runtime; `at` is microseconds since 1970 UTC."""

    tenant: str
    agent: str
    release: str
    tool: str
    risk: Risk
    arguments: bytes
    on_behalf_of: str = ""
    via: tuple[str, ...] = ()
    """The agents between that person and this agent, which called one another."""
    roles: tuple[str, ...] = ()
    """What the agent is allowed to be for that person: the roles that both of them hold."""
    subject: str | None = None
    session: str | None = None
    labels: tuple[str, ...] = ()
    approved: bool = False
    at: int = 0


class Evaluation(Struct, frozen=True):
    """What the engine says: whether a permit and no forbid matched, which policies decided, and what went wrong."""

    is_allowed: bool
    policies: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class Rung(Struct, frozen=True):
    """Who is asked after so many seconds of silence."""

    role: str
    after: float


class Ask(Struct, frozen=True):
    """A question to people: who, how many of them, until when (seconds), and who after that."""

    role: str = ""
    quorum: int = 1
    within: float | None = None
    ladder: tuple[Rung, ...] = ()
    question: str = ""


class Ruling(Struct, frozen=True):
    verdict: RulingVerdict
    policies: tuple[str, ...] = ()
    reason: str = ""
    ask: Ask | None = None


def rule(first: Evaluation, second: Evaluation, annotations: Mapping[str, Mapping[str, str]]) -> Ruling:
    """The ruling of an evaluation. `second` is that of the same action as if people had approved it: a forbid that
    yields to them asks them instead."""
    if first.errors:
        return Ruling("deny", first.policies, f"a policy could not be evaluated: {first.errors[0]}")
    asking = [annotations[one] for one in first.policies if "review" in annotations.get(one, {})]
    if first.is_allowed:
        if not asking:
            return Ruling("allow", first.policies)
        return Ruling("ask", first.policies, _reason(asking), strictest([ask_of(one) for one in asking]))
    if not first.policies:
        return Ruling("deny", (), "no policy permits it")
    reason = _reason([annotations.get(one, {}) for one in first.policies])
    if len(asking) < len(first.policies):
        return Ruling("deny", first.policies, reason)
    if second.errors or not second.is_allowed:
        return Ruling("deny", first.policies, reason)
    more = [annotations[one] for one in second.policies if "review" in annotations.get(one, {})]
    return Ruling("ask", first.policies, reason, strictest([ask_of(one) for one in (*asking, *more)]))


def _reason(annotations: Sequence[Mapping[str, str]]) -> str:
    return "; ".join(dict.fromkeys(one["reason"] for one in annotations if one.get("reason")))


def ask_of(annotations: Mapping[str, str]) -> Ask:
    """The question that a policy asks. Raises ValueError with what is wrong with its annotations."""
    role = annotations.get("review", "")
    if role and not ROLE.match(role):
        raise ValueError(f'@review("{role}"): a role is lower case letters, digits, _ and -')
    quorum = annotations.get("quorum", "1")
    if not quorum.isdigit() or not 1 <= int(quorum) <= QUORUM_LIMIT:
        raise ValueError(f'@quorum("{quorum}"): expected a number from 1 to {QUORUM_LIMIT}')
    ladder = []
    for rung in annotations.get("escalate", "").split(","):
        if rung.strip():
            name, _, after = rung.strip().partition(" after ")
            if not ROLE.match(name):
                raise ValueError(f'@escalate("{rung}"): expected as in "chief after 4h"')
            ladder.append(Rung(name, seconds_of(after.strip())))
    within = annotations.get("within")
    return Ask(
        role,
        int(quorum),
        None if within is None else seconds_of(within),
        tuple(sorted(ladder, key=lambda one: one.after)),
        annotations.get("question", ""),
    )


def seconds_of(text: str) -> float:
    """`90s`, `15m`, `4h`, `2d`. Raises ValueError."""
    found = SPAN.match(text)
    if found is None or int(found[1]) == 0:
        raise ValueError(f"{text!r} is no span; write it as 90s, 15m, 4h or 2d")
    return float(int(found[1]) * SECONDS[found[2]])


def strictest(asks: Sequence[Ask]) -> Ask:
    """One question for all: that of the largest quorum, with the shortest time."""
    first = max(asks, key=lambda one: (one.quorum, bool(one.role)))
    withins = [one.within for one in asks if one.within is not None]
    question = first.question or next((one.question for one in asks if one.question), "")
    return Ask(first.role, first.quorum, min(withins, default=None), first.ladder, question)


def digest_action(request: PolicyRequest, schema: bytes) -> str:
    """SHA-256 over all that the action is: agent, release, subject, tool and its schema, arguments. What people approve
    is this, and what is executed has to have the same (G1)."""
    whole = (
        request.tenant,
        request.agent,
        request.release,
        request.subject,
        request.tool,
        hashlib.sha256(schema).hexdigest(),
        msgspec.json.decode(request.arguments),
    )
    return hashlib.sha256(_encode(whole)).hexdigest()


def action_id(run: str, key: str) -> str:
    """The id of the action of a step: the same on every attempt."""
    return "act_" + hashlib.blake2b(f"{run}\n{key}".encode(), digest_size=16).hexdigest()


def version_of(text: str) -> str:
    """The version of a set of policies."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# --- before it becomes active -----------------------------------------------------------------------------------------

Difference = Literal["same", "newly_denied", "newly_asked", "newly_allowed"]


def difference(before: Ruling, after: Ruling) -> Difference:
    """What another set of policies would have made of an action (G6). Easier questions count as newly allowed: fewer
    people, or others."""
    if after.verdict == "deny":
        return "same" if before.verdict == "deny" else "newly_denied"
    if after.verdict == "ask":
        if before.verdict == "deny":
            return "newly_asked"
        if before.verdict == "allow":
            return "newly_asked"
        assert before.ask is not None
        assert after.ask is not None
        if (before.ask.role, before.ask.quorum) == (after.ask.role, after.ask.quorum):
            return "same"
        return "newly_asked" if after.ask.quorum > before.ask.quorum else "newly_allowed"
    return "same" if before.verdict == "allow" else "newly_allowed"


# --- hand-offs --------------------------------------------------------------------------------------------------------

HAND_OFF = "hand_off"
"""The group that all hand-offs are actions of: `action in Action::"hand_off"`."""

HAND_OFF_MARK = "call:"


def hand_off_name(agent: str) -> str:
    """The action of handing over to this agent. No tool is named like that: its names hold no colon."""
    return HAND_OFF_MARK + agent


def hand_off_tool(agent: str, input_schema: bytes) -> Tool:
    """A hand-off as policies see it: what is handed over is `context.arguments.input`. What the other agent then does
    is decided by itself, under what both may."""
    schema = msgspec.json.decode(input_schema)
    named = schema if isinstance(schema, dict) else {}
    whole = {"type": "object", "properties": {"input": named}, "required": ["input"], "$defs": named.get("$defs", {})}
    return Tool(hand_off_name(agent), "reversible", schema=_encode(whole))


INNER_MARK = "hand_off:"


def inner_hand_off_name(to: str) -> str:
    """The action of handing over to an agent of the same framework object, inside of one run. `*`: to all there are."""
    return INNER_MARK + to


def inner_hand_off(to: str, schema: bytes = b"{}") -> Tool:
    """The same as policies see it. `schema`: what the model says beside the name of the other agent."""
    return Tool(inner_hand_off_name(to), "reversible", schema=schema)


PUBLISH = "topic:publish"
"""The action of publishing an event: an outgoing message. No tool is named like that either."""


def publish_tool() -> Tool:
    """Policies see the topic; the event itself has no schema. It may leave the house, so it counts as irreversible."""
    whole = {"type": "object", "properties": {"topic": {"type": "string"}, "event": {}}, "required": ["topic", "event"]}
    return Tool(PUBLISH, "irreversible", schema=_encode(whole))


def plain(value: Any) -> bytes:
    return _encode(value)
