"""The sections about what agents call outside: the border, providers, secrets, limits and budgets.

Tables within tables are strict: a cap with a typing error in its name would be no cap at all.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from pilothouse.domain.address import read_networks
from pilothouse.domain.budget import Budget, Scope
from pilothouse.domain.egress import read_rule
from pilothouse.domain.fallback import Fallback
from pilothouse.domain.hedge import HedgeRule
from pilothouse.domain.limit import Limit
from pilothouse.domain.provider import Shape, read_below

DAY = 86_400.0

Amount = Annotated[int, Meta(ge=0, le=10**15)]
Rate = Annotated[float, Meta(gt=0, le=1e12)]
Dollars = Annotated[float, Meta(ge=0, le=1e9)]
Host = Annotated[str, Meta(min_length=1, max_length=255)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Secret = Annotated[str, Meta(min_length=1, max_length=16_384, extra={"secret": "all"})]


class RateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a minute; None: no limit. `burst_seconds`: the allowance of so many seconds may be used at once."""

    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    cost_usd_per_minute: Rate | None = None
    burst_seconds: Annotated[float, Meta(gt=0, le=3600)] = 60.0

    def limit(self, per_minute: float | None) -> Limit | None:
        if per_minute is None:
            return None
        return Limit(per_minute, per_minute * self.burst_seconds / 60)


class BudgetSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hard caps of one scope; None: no cap."""

    tokens: Amount | None = None
    cost_usd: Dollars | None = None
    model_calls: Amount | None = None
    tool_calls: Amount | None = None
    steps: Amount | None = None
    wall_seconds: Annotated[float, Meta(ge=0, le=366 * DAY)] | None = None
    period: Literal["day", "month", "total"] = "total"
    on_hit: Literal["fail", "review"] = "fail"

    def budget(self, scope: Scope) -> Budget:
        return Budget(
            scope, self.tokens, self.cost_usd, self.model_calls, self.tool_calls, self.steps, self.wall_seconds,
            self.period, self.on_hit,
        )  # fmt: skip


class BreakerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`failures` in a row open it; 0: never."""

    failures: Annotated[int, Meta(ge=0, le=10_000)] = 5
    pause_seconds: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    pause_at_most_seconds: Annotated[float, Meta(gt=0, le=DAY)] = 300.0


class PriceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars a million tokens; None: as `input`. `call`: US dollars each call."""

    input: Dollars
    output: Dollars = 0.0
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    call: Dollars = 0.0


class FallbackSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another model, at another provider that speaks the same."""

    provider: Name
    model: Name

    def fallback(self) -> Fallback:
        return Fallback(self.model, self.provider)


Chain = tuple[Name | FallbackSettings, ...]


def read_chain(chain: Chain) -> tuple[Fallback, ...]:
    return tuple(Fallback(one) if isinstance(one, str) else one.fallback() for one in chain)


class HedgeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a second request goes beside one that takes long. `percentile`: of the last answers of the same model."""

    after_seconds: Annotated[float, Meta(gt=0, le=3600)] | None = None
    percentile: Annotated[float, Meta(gt=0, lt=1)] | None = None
    models: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        if self.after_seconds is None and self.percentile is None:
            raise ValueError("expected after_seconds or percentile, as in { percentile = 0.95, after_seconds = 2 }")

    def rule(self) -> HedgeRule:
        return HedgeRule(self.after_seconds or 0.0, self.percentile or 0.0, self.models)


class EgressSettings(Struct, frozen=True, kw_only=True):
    """The border: everything that agents call outside."""

    mode: Literal["open", "public", "listed"] | None = None
    """Where agents may connect to. None: `listed` in `serve`, `open` in `dev`."""
    hosts: tuple[Host, ...] = ()
    """What every agent may connect to, beside what is listed for it and for providers."""
    networks: tuple[Host, ...] = ()
    """Private networks that the names of hosts may lead to."""
    retries: Annotated[int, Meta(ge=0, le=20)] = 2
    """How often a model call is tried again that a provider could not answer."""
    retry_wait_seconds: Annotated[float, Meta(ge=0, le=3600)] = 60.0
    """The longest wait that a provider may ask for; a longer one is an error for the client."""
    line_seconds: Annotated[float, Meta(ge=0, le=3600)] = 60.0
    """How long a model call may stand in line for a limit; then it is answered 429."""
    line: Annotated[int, Meta(ge=1, le=100_000)] = 4096
    """How many model calls may stand in line."""
    fallbacks: dict[str, Chain] | None = None
    """By model, which models are asked instead, one after the other, when it does not answer."""
    prices: Literal["genai-prices", "none"] = "genai-prices"
    """The table of prices, beside those of `[providers.NAME]`; used when it is installed."""


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """Who serves models: a known one by its name (`openai`), or any by its URL."""

    url: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    """Where it is. Agents may connect to it. A known name needs none."""
    limits: RateSettings | None = None
    """How much a minute all agents together may use of it."""
    concurrency: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    """Calls of one of its models at once; 0: any number."""
    breaker: BreakerSettings | None = None
    """When it is not asked any more for a while."""
    prices: dict[str, PriceSettings] = {}
    """By model; they go before those of the table."""
    speaks: tuple[Shape, ...] = ()
    """The shapes of its requests, where its name does not tell."""
    secret: Name | None = None
    """The name of the secret of its key, for requests that were meant for another provider."""
    fallbacks: dict[str, Chain] = {}
    """By model, what is asked instead of this provider; they go before those of `egress`."""
    hedge: HedgeSettings | None = None
    """When a second request goes beside one that takes long; None: never."""


class SecretSettings(Struct, frozen=True, kw_only=True):
    """What `secret://NAME` stands for, put in at the border."""

    value: Secret
    """The secret. $NAME: the variable NAME has it."""
    hosts: tuple[Host, ...] = ()
    """Where it may go; nowhere else is it put in."""


class TenantSettings(Struct, frozen=True, kw_only=True):
    """What holds for each tenant."""

    limits: RateSettings | None = None
    """How much a minute its agents may use together."""
    budget: BudgetSettings | None = None
    """What its agents may use together."""


def check_places(path: tuple[str, ...], value: Any) -> None:
    """Hosts, networks and URLs of these sections, read as the border will read them. Raises `ValueError`."""
    section, key = path[0], path[-1]
    if (section, key) in (("agents", "egress"), ("egress", "hosts"), ("secrets", "hosts")):
        for host in value:
            read_rule(host)
    elif (section, key) == ("egress", "networks"):
        read_networks(value)
    elif (section, key) == ("providers", "url"):
        read_below(path[1], value)
