"""The border as the settings say it: what hosts are told of it, and what the node decides by.

Both sides are made from the same words here, so that neither asks for what the other has no rule for.
"""

from collections.abc import Mapping

from pilothouse.compute.outgoing import OutgoingOptions
from pilothouse.domain.address import read_networks
from pilothouse.domain.breaker import BreakerRule
from pilothouse.domain.budget import Budget
from pilothouse.domain.egress import is_listed, read_rule
from pilothouse.domain.fallback import Fallback, Place, place_of, unfit
from pilothouse.domain.price import Price, Rates
from pilothouse.domain.provider import hosts_of, read_below
from pilothouse.domain.secret import Secret
from pilothouse.engine.outgoing import OutgoingRules, ProviderRule
from pilothouse.engine.outgoing import Rates as Limits
from pilothouse.settings.outgoing import (
    BreakerSettings,
    Chain,
    EgressSettings,
    PriceSettings,
    ProviderSettings,
    RateSettings,
    SecretSettings,
    read_chain,
)
from pilothouse.settings.tree import AgentSettings, Settings
from pilothouse.wire.host import EgressConfig


def secrets_of(settings: Settings) -> tuple[Secret, ...]:
    return tuple(Secret(name, one.value, tuple(map(read_rule, one.hosts))) for name, one in settings.secrets.items())


def outgoing_options(settings: Settings) -> OutgoingOptions:
    """Both sides of the border: what hosts are told, and what the node decides by."""
    says = settings.egress
    below = tuple(read_below(name, one.url) for name, one in settings.providers.items() if one.url)
    everywhere = [read_rule(host) for host in says.hosts]
    everywhere += [read_rule(place.authority) for place in below]
    everywhere += [read_rule(host) for name in settings.providers for host in hosts_of(name)]
    border = EgressConfig(
        mode=says.mode or "listed",
        networks=tuple(str(network) for network in read_networks(says.networks)),
        providers=below,
        retries=says.retries,
        retry_wait_seconds=says.retry_wait_seconds,
        fallbacks=_chains(says.fallbacks or {}),
        provider_fallbacks={name: _chains(one.fallbacks) for name, one in settings.providers.items() if one.fallbacks},
        places=_places(settings.providers),
        hedges={name: one.hedge.rule() for name, one in settings.providers.items() if one.hedge is not None},
    )
    agents = settings.agents.items()
    tenant = settings.tenants.budget
    return OutgoingOptions(
        border,
        hosts={name: (*map(read_rule, one.egress), *everywhere) for name, one in agents},
        budgets={name: _budgets(one) for name, one in agents},
        tenant=() if tenant is None else (tenant.budget("tenant"),),
        rules=outgoing_rules(settings),
        is_asked=True,
    )


def _chains(said: dict[str, Chain]) -> dict[str, tuple[Fallback, ...]]:
    return {model: read_chain(chain) for model, chain in said.items()}


def _places(providers: Mapping[str, ProviderSettings]) -> dict[str, Place]:
    return {name: place_of(name, one.url, one.speaks, one.secret) for name, one in providers.items()}


def check_chains(
    egress: EgressSettings, providers: Mapping[str, ProviderSettings], secrets: Mapping[str, SecretSettings]
) -> list[str]:
    """What of the fallbacks and of the secrets of providers can never work."""
    places = _places(providers)
    faults = []
    for model, chain in (egress.fallbacks or {}).items():
        faults += [f"egress.fallbacks of {model}: {fault}" for fault in unfit("", read_chain(chain), places)]
    for name, one in providers.items():
        for model, chain in one.fallbacks.items():
            found = unfit(name, read_chain(chain), places)
            faults += [f"providers.{name}.fallbacks of {model}: {fault}" for fault in found]
        faults += [f"providers.{name}.{fault}" for fault in _check_secret(one.secret, places[name], secrets)]
    return faults


def _check_secret(name: str | None, place: Place, secrets: Mapping[str, SecretSettings]) -> list[str]:
    if name is None:
        return []
    if name not in secrets:
        return [f"secret is {name}, and there is no [secrets.{name}]; add it, with value and hosts"]
    if place.url:
        below = read_below("", place.url)
        if not is_listed(tuple(map(read_rule, secrets[name].hosts)), below.host, below.port):
            return [f"secret is {name}, which may not go to {below.authority}; add that to secrets.{name}.hosts"]
    return []


def _budgets(agent: AgentSettings) -> tuple[Budget, ...]:
    said = (("run", agent.run_budget), ("session", agent.session_budget), ("agent", agent.budget))
    return tuple(one.budget(scope) for scope, one in said if one is not None)  # type: ignore[arg-type]


def outgoing_rules(settings: Settings) -> OutgoingRules:
    return OutgoingRules(
        providers={name: _provider_rule(one) for name, one in settings.providers.items()},
        agents={name: _rates(one.limits) for name, one in settings.agents.items() if one.limits is not None},
        tenant=_rates(settings.tenants.limits),
        wait_seconds=settings.egress.line_seconds,
        line=settings.egress.line,
    )


def _provider_rule(says: ProviderSettings) -> ProviderRule:
    breaker = says.breaker or BreakerSettings()
    rule = BreakerRule(breaker.failures, breaker.pause_seconds, breaker.pause_at_most_seconds)
    return ProviderRule(_rates(says.limits), rule, says.concurrency)


def _rates(says: RateSettings | None) -> Limits:
    if says is None:
        return Limits()
    amounts = (says.requests_per_minute, says.tokens_per_minute, says.cost_usd_per_minute)
    return Limits(*map(says.limit, amounts))


def prices_of(settings: Settings) -> dict[str, dict[str, Price]]:
    """Own prices, by provider and model."""
    return {
        name: {model: _price(one) for model, one in provider.prices.items()}
        for name, provider in settings.providers.items()
    }


def _price(says: PriceSettings) -> Price:
    return Price(Rates(says.input, says.output, says.cache_read, says.cache_write), (), says.call, "pilothouse.toml")
