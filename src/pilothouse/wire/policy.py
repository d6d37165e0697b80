"""Policies as JSON: their text, what they would change, and how they rule on an action.

A comparison shows what would have become of recent actions; a ruling names the policies that decided.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from pilothouse.domain.policy import Mode, Risk, Ruling, RulingVerdict
from pilothouse.wire.payload import Instant

Text = Annotated[str, Meta(max_length=1024 * 1024)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]


class PolicyText(Struct, kw_only=True, forbid_unknown_fields=True):
    text: Text


class PolicyRequestBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """`mode` `log`: they rule, and nothing obeys. `signed`: the person who asks takes what is newly allowed upon
    themselves."""

    text: Text
    mode: Mode = "enforce"
    signed: bool = False


class ExplainRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """An action that was not proposed. Without `text` the active policies rule."""

    tool: Name
    arguments: dict[str, Any] = {}
    text: Text | None = None
    agent: Name = "agent"
    release: Annotated[str, Meta(max_length=256)] = ""
    on_behalf_of: Annotated[str, Meta(max_length=256)] = ""
    subject: Annotated[str, Meta(max_length=256)] | None = None
    session: Annotated[str, Meta(max_length=256)] | None = None
    labels: Annotated[list[Name], Meta(max_length=50)] = []
    approved: bool = False
    risk: Risk | None = None
    """Without it, what the tool says of itself."""


class AskView(Struct):
    role: str
    quorum: int
    within_seconds: float | None


class RulingView(Struct):
    verdict: RulingVerdict
    policies: list[str]
    reason: str
    ask: AskView | None


class PolicyFault(Struct):
    path: str
    message: str


class CheckView(Struct):
    """`faults` empty: they can be activated."""

    version: str
    faults: list[PolicyFault]


class ComparedView(Struct):
    run: str
    step: str
    tool: str
    difference: str
    before: RulingView
    after: RulingView


class ComparisonView(Struct):
    """What these policies would have made of recent actions; `examples` are some that differ."""

    version: str
    actions: int
    same: int
    newly_denied: int
    newly_asked: int
    newly_allowed: int
    examples: list[ComparedView]


class PolicyView(Struct, kw_only=True):
    version: str
    text: str
    mode: Mode
    activated_at: Instant
    activated_by: str
    signed_by: str | None


class PolicyState(Struct):
    """`active` null: no policies, and nothing is asked."""

    active: PolicyView | None


def ruling_view(ruling: Ruling) -> RulingView:
    ask = None if ruling.ask is None else AskView(ruling.ask.role, ruling.ask.quorum, ruling.ask.within)
    return RulingView(ruling.verdict, list(ruling.policies), ruling.reason, ask)
