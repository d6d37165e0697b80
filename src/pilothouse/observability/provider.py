"""The metrics of providers: read from the node's own state when somebody scrapes, so that a call pays nothing for them.

Models are told apart up to a bound; the others are counted together, since agents choose the names.
"""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import Metric

from pilothouse.domain.limit import LimitState
from pilothouse.domain.provider import ProviderState
from pilothouse.observability.family import counter, gauge

MODELS_LIMIT = 200
OTHER = ("other", "other")
STATES = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


def about_providers(states: Sequence[ProviderState], denials: dict[str, int]) -> Iterator[Metric]:
    named = [(_labels(number, state), state) for number, state in enumerate(states)]
    labels = ["provider", "model"]
    counted: dict[tuple[str, ...], float] = {}
    used: dict[tuple[str, ...], float] = {}
    for place, state in named:
        for outcome, count in state.calls.items():
            counted[*place, outcome] = counted.get((*place, outcome), 0.0) + count
        for direction, count in (("input", state.tokens.input), ("output", state.tokens.output)):
            used[*place, direction] = used.get((*place, direction), 0.0) + count
    yield counter(
        "pilothouse_provider_calls",
        "Model calls that were made, by what came of them.",
        [*labels, "outcome"],
        counted.items(),
    )
    yield counter(
        "pilothouse_provider_tokens", "Tokens as the provider counted them.", [*labels, "direction"], used.items()
    )
    cost = _sums(named, lambda state: state.cost_usd)
    yield counter("pilothouse_provider_cost_usd", "US dollars, where the price is known.", labels, cost.items())
    for name, text, read in (
        ("pilothouse_provider_in_flight", "Model calls that are under way.", lambda state: state.in_flight),
        ("pilothouse_provider_waiting", "Model calls that stand in line.", lambda state: state.waiting),
        ("pilothouse_provider_breaker", "0 closed, 1 half open, 2 open.", lambda state: STATES[state.breaker]),
    ):
        yield gauge(name, text, labels, _sums(named, read).items())
    yield counter(
        "pilothouse_calls_denied",
        "Calls of agents that the node did not allow, by the error.",
        ["code"],
        (((code,), count) for code, count in denials.items()),
    )


def about_limits(state: LimitState) -> Iterator[Metric]:
    yield gauge(
        "pilothouse_limits_shared",
        "1: limits on calls hold for all nodes together.",
        [],
        [((), float(state.is_shared))],
    )
    yield counter(
        "pilothouse_limit_draws",
        "Round trips to the store that holds shared limits.",
        ["outcome"],
        [(("ok",), state.draws - state.failures), (("failed",), state.failures)],
    )


def _labels(number: int, state: ProviderState) -> tuple[str, str]:
    return (state.provider, state.model) if number < MODELS_LIMIT else OTHER


def _sums(
    named: list[tuple[tuple[str, str], ProviderState]], read: Callable[[ProviderState], float]
) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for place, state in named:
        found[place] = found.get(place, 0.0) + read(state)
    return found
