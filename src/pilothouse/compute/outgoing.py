"""The border of hosts, as they are told of it when they start: where agents may go and what to ask before.

The node's side of the same settings is given to the engine; both are made from one value here, so that a host never
asks for what the node has no rule for, and never fails to ask for what it has.
"""

from dataclasses import dataclass, field

from pilothouse.domain.budget import Budget
from pilothouse.domain.egress import HostRule
from pilothouse.engine.outgoing import OutgoingRules
from pilothouse.wire.host import EgressConfig


@dataclass(frozen=True, slots=True)
class OutgoingOptions:
    """`hosts` by agent; `budgets` by agent, those of the tenant included. `is_asked`: model calls are asked for even
    where no limit looks at them, so that their provider's state is known."""

    border: EgressConfig = field(default_factory=EgressConfig)
    hosts: dict[str, tuple[HostRule, ...]] = field(default_factory=dict)
    budgets: dict[str, tuple[Budget, ...]] = field(default_factory=dict)
    tenant: tuple[Budget, ...] = ()
    rules: OutgoingRules = field(default_factory=OutgoingRules)
    is_asked: bool = False

    def asks(self, agent: str) -> tuple[str, ...]:
        """What a host asks for before it is done."""
        caps = {name for budget in (*self.budgets.get(agent, ()), *self.tenant) for name in budget.caps}
        asks = ["model"] if self.is_asked or caps else []
        if "tool_calls" in caps or "wall_seconds" in caps:
            asks.append("tool")
        if "steps" in caps or "wall_seconds" in caps:
            asks.append("step")
        return tuple(asks)

    def is_limited(self, agent: str) -> bool:
        """Whether a model call of the agent must not be made without asking."""
        rules = self.rules
        rates = [rules.tenant, *(one.rates for one in rules.providers.values())]
        rates += [rules.agents[agent]] if agent in rules.agents else []
        return bool(self.budgets.get(agent) or self.tenant or any(one.all for one in rates))
