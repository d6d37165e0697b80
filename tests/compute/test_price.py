"""Prices: those of the settings first, then those of the table, with their tiers; none for what nobody knows."""

import pytest

from pilothouse.compute.price import Prices
from pilothouse.domain.price import Price, Rates, Tokens, cost_of

genai_prices = pytest.importorskip("genai_prices")


def test_own_prices_go_before_the_table():
    own = Price(Rates(1.0, 2.0))
    prices = Prices({"openai": {"gpt-4o": own}}, has_table=True)
    assert prices.price("openai", "gpt-4o") == own
    assert Prices({}, has_table=False).price("openai", "gpt-4o") is None


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro")]
)
@pytest.mark.parametrize("given", [1_000, 150_000, 250_000])
def test_what_is_translated_costs_what_the_table_says(provider, model, given):
    found = Prices({}, has_table=True).price(provider, model)
    usage = genai_prices.Usage(input_tokens=given, output_tokens=500, cache_read_tokens=100)
    wanted = genai_prices.calc_price(usage, model, provider_id=provider).total_price
    assert cost_of(found, Tokens(given, 500, 100)) == pytest.approx(float(wanted))
    assert found.source.startswith("genai-prices ")


def test_what_nobody_knows_has_no_price():
    prices = Prices({}, has_table=True)
    assert prices.price("openai", "nobody-knows-me") is None
    assert prices.price("127.0.0.1:8000", "llama") is None
