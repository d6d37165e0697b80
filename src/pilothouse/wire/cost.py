"""What model calls cost as JSON: one object of sums for each group and for all, and the forecast with its bounds.

Days are calendar days in UTC, written as in 2026-11-28.
"""

from typing import Any, Literal

from msgspec import Struct

from pilothouse.domain.cost import Cost, Forecast

Group = Literal["agent", "session", "provider", "model", "day"]


class CostView(Struct, kw_only=True):
    """`unpriced_calls` are of models without a price, `untold_calls` those of which nobody said how many tokens they
    used; what either cost is not in `cost_usd`."""

    calls: int
    unpriced_calls: int
    untold_calls: int
    input_tokens: int
    output_tokens: int
    cache_tokens: int
    """Of the input, those that a provider read from its cache."""
    cost_usd: float


class GroupCostView(CostView, kw_only=True):
    """`name`: the agent, the day, the provider; a model with its provider (`openai: gpt-5`), a session with its agent
    (`support/ada`)."""

    name: str


class ForecastView(Struct, kw_only=True):
    """US dollars of the month (UTC) that holds today: with `share` of confidence it comes to between `low_usd` and
    `high_usd`. `days`: complete days that it is made from."""

    month: str
    spent_usd: float
    expected_usd: float
    low_usd: float
    high_usd: float
    share: float
    days: int
    method: str


class CostsView(Struct, kw_only=True):
    """`is_whole` false: there are more groups than `items` shows; `total` holds them all. `forecast` null: there are
    fewer than three complete days to make it from."""

    first_day: str
    last_day: str
    group: Group
    items: list[GroupCostView]
    is_whole: bool
    total: CostView
    forecast: ForecastView | None


def cost_view(cost: Cost) -> CostView:
    return CostView(**_sums(cost))


def group_view(cost: Cost) -> GroupCostView:
    return GroupCostView(name=cost.name, **_sums(cost))


def _sums(cost: Cost) -> dict[str, Any]:
    return {
        "calls": cost.calls, "unpriced_calls": cost.unpriced, "untold_calls": cost.untold,
        "input_tokens": cost.input_tokens, "output_tokens": cost.output_tokens, "cache_tokens": cost.cache_tokens,
        "cost_usd": round(cost.cost_usd, 9),
    }  # fmt: skip


def forecast_view(found: Forecast | None) -> ForecastView | None:
    if found is None:
        return None
    return ForecastView(
        month=found.month, spent_usd=round(found.spent_usd, 6), expected_usd=round(found.expected_usd, 6),
        low_usd=round(found.low_usd, 6), high_usd=round(found.high_usd, 6), share=found.share, days=found.days,
        method=found.method,
    )  # fmt: skip
