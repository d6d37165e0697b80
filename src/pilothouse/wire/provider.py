"""The state of a provider's model as callers see it: whether it is asked, how busy it is, what it has cost.

It is what one node has seen since it started; several nodes are several views.
"""

from typing import Literal

from msgspec import Struct

from pilothouse.domain.provider import ProviderState


class PriceView(Struct):
    """US dollars a million tokens."""

    input: float
    output: float
    source: str


class ProviderView(Struct, kw_only=True):
    provider: str
    model: str
    breaker: Literal["closed", "open", "half_open"]
    seconds_closed: float
    """How long calls will not be sent yet: the breaker is open, or the provider wants to be left alone. 0: they are."""
    in_flight: int
    waiting: int
    calls: dict[str, int]
    """By outcome: `ok`, `failed`, `refused` (4xx), `throttled` (429), `dropped` (never sent), `lost` (cut off);
    beside them `hedged`: how many were a second request for one answer."""
    input_tokens: int
    output_tokens: int
    cost_usd: float
    price: PriceView | None


class ProviderPage(Struct):
    """By provider and model."""

    items: list[ProviderView]
    next_cursor: str | None


def provider_view(state: ProviderState) -> ProviderView:
    price = state.price
    return ProviderView(
        provider=state.provider,
        model=state.model,
        breaker=state.breaker,
        seconds_closed=round(state.opens_in, 3),
        in_flight=state.in_flight,
        waiting=state.waiting,
        calls=state.calls,
        input_tokens=state.tokens.input,
        output_tokens=state.tokens.output,
        cost_usd=round(state.cost_usd, 9),
        price=None if price is None else PriceView(price.rates.input, price.rates.output, price.source),
    )
