"""What the engine asks of a policy language: to compile a set of policies against the tools, and to evaluate actions.

Parsing and checking happen once, when a set is compiled; an evaluation is a pure function of the action.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from pilothouse.domain.policy import Evaluation, Mode, PolicyRequest, Tool


class CompiledPolicies(Protocol):
    @property
    def annotations(self) -> Mapping[str, Mapping[str, str]]:
        """By the id of the policy."""
        ...

    def evaluate(self, request: PolicyRequest) -> tuple[Evaluation, Evaluation]:
        """The action as it is, and as if people had approved it; the same twice where no policy looks at that. Raises
        nothing: what goes wrong is an error of the evaluation."""
        ...


class ActivePolicies(Struct, frozen=True):
    """The policies of a tenant as this node has compiled them. `log`: they rule, and nothing obeys."""

    version: str
    mode: Mode
    compiled: CompiledPolicies
    tools: tuple[Tool, ...]


class PolicyLanguage(Protocol):
    def compile(self, text: str, tools: Sequence[Tool], agents: Sequence[str]) -> CompiledPolicies:
        """Raises `PolicyInvalid` with every fault."""
        ...

    def schema_of(self, tools: Sequence[Tool], agents: Sequence[str]) -> bytes:
        """What policies can speak about, as JSON in the form of the language."""
        ...
