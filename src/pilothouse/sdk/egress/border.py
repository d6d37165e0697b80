"""Who may go where, and which requests are model calls: what the settings say of a host's agents, ready to be asked.

One border serves all attempts of a host. It is found through the attempt that a call belongs to (a context variable,
which tasks and `to_thread` inherit). Code that runs outside of every attempt (imports, threads that somebody started
long ago) may go where any agent of the host may: it belongs to all of them.
"""

from typing import Any, Protocol

from pilothouse.domain.egress import EgressPolicy, HostRule
from pilothouse.domain.fallback import Fallback
from pilothouse.domain.hedge import Times
from pilothouse.domain.hedge import hedge_after as hedge_after_of
from pilothouse.domain.provider import recognise
from pilothouse.errors import EgressDenied
from pilothouse.sdk.egress.asking import Caller
from pilothouse.sdk.egress.body import read_body
from pilothouse.sdk.egress.call import ModelCall, Terms
from pilothouse.sdk.egress.exchange import Outgoing
from pilothouse.sdk.egress.patience import Patience
from pilothouse.sdk.egress.secret import Secrets
from pilothouse.sdk.scope import attempt_here, step_here
from pilothouse.wire.host import AgentTarget, EgressConfig


class Border:
    def __init__(self, config: EgressConfig, agents: dict[str, AgentTarget]) -> None:
        self._config = config
        self._agents = agents
        self._patience = Patience(config.retries, config.retry_wait_seconds)
        self._policies = {name: self._policy(agent.egress) for name, agent in agents.items()}
        everybody = tuple(rule for agent in agents.values() for rule in agent.egress)
        self.outside = self._policy(everybody)
        self._asks = {name: _steps_asked(agent.asks) for name, agent in agents.items()}
        self._times: dict[tuple[str, str, bool], Times] = {}
        self.secrets = Secrets()
        self.is_closed = config.mode != "open"

    def _policy(self, rules: tuple[HostRule, ...]) -> EgressPolicy:
        return EgressPolicy(self._config.mode, rules, self._config.networks)

    def policy_of(self, agent: str) -> EgressPolicy:
        return self._policies.get(agent, self.outside)

    def asks_of(self, agent: str) -> frozenset[str]:
        """The kinds of steps that the node is asked before."""
        return self._asks.get(agent, NOTHING)

    def check_host(self, agent: str | None, host: str, port: int) -> None:
        """Raises `EgressDenied`."""
        policy = self.outside if agent is None else self.policy_of(agent)
        if host and not policy.allows_host(host, port):
            raise denied(agent, host, port)

    def model_call(self, caller: Caller, agent: str, request: Outgoing) -> ModelCall | None:
        """The model call that a request is; None: it is a call like any other."""
        if request.method != "POST" or not request.body:
            return None
        host, port, path = request.place
        seen = recognise(host, port, path, self._config.providers)
        facts = None if seen is None else read_body(request.body, seen)
        if seen is None or facts is None:
            return None
        target = self._agents.get(agent)
        asks = target is not None and "model" in target.asks
        must_ask = asks and target is not None and target.is_limited
        rule = self._config.hedges.get(seen.provider)
        hedge_after, measured = None, _unmeasured
        if rule is not None:
            times = self._times_of(seen.provider, facts.model, facts.is_stream)
            hedge_after, measured = hedge_after_of(rule, facts.model, times), times.add
        terms = Terms(
            self._patience, asks, must_ask, self._fallbacks(seen.provider, facts.model), self._config.places,
            hedge_after, measured,
        )  # fmt: skip
        return ModelCall(caller, request, seen, facts, step_here.get(), terms)

    def _fallbacks(self, provider: str, model: str) -> tuple[Fallback, ...]:
        own = self._config.provider_fallbacks.get(provider)
        found = own.get(model) if own is not None else None
        return found if found is not None else self._config.fallbacks.get(model, ())

    def _times_of(self, provider: str, model: str, is_stream: bool) -> Times:
        key = (provider, model, is_stream)
        if key not in self._times and len(self._times) >= MODELS_LIMIT:
            key = (provider, "", is_stream)
        return self._times.setdefault(key, Times())


NOTHING: frozenset[str] = frozenset()
MODELS_LIMIT = 1000
"""Models whose times are told apart."""


def _unmeasured(seconds: float) -> None: ...


def _steps_asked(asks: tuple[str, ...]) -> frozenset[str]:
    """A budget of steps asks before tools and models too, since they are steps."""
    if "step" in asks:
        return frozenset({"step", "tool", "model"})
    return frozenset({"tool"}) if "tool" in asks else NOTHING


def denied(agent: str | None, host: str, port: int) -> EgressDenied:
    who = "Code outside of any run" if agent is None else f"The agent {agent!r}"
    return EgressDenied(who=who, host=host[:200], port=port, agent=agent or "NAME")


class Crossing(Protocol):
    """An attempt that may be at a border."""

    @property
    def border(self) -> Border | None: ...

    @property
    def agent(self) -> str: ...


_host_border: Border | None = None


def guard_process(border: Border | None) -> None:
    """The border of code that runs outside of every attempt of this process. A node has none: its own calls are not an
    agent's."""
    global _host_border
    _host_border = border


def border_here() -> tuple[Border | None, Any]:
    """(border, attempt) of the code that asks; the attempt is None outside of any."""
    attempt: Any = attempt_here.get()
    if attempt is None:
        return _host_border, None
    return attempt.border, attempt
