"""What a call costs: cached tokens at their own rates, tiers for the whole call, and nothing for what has no price."""

import pytest

from pilothouse.domain.price import Price, Rates, Tokens, cost_of

PRICE = Price(Rates(2.0, 8.0, 0.5, 2.5), ((200_000, Rates(4.0, 12.0)),))


def test_each_kind_of_token_has_its_rate():
    tokens = Tokens(input=1_000, output=500, cache_read=300, cache_write=200)
    assert cost_of(PRICE, tokens) == pytest.approx((500 * 2 + 500 * 8 + 300 * 0.5 + 200 * 2.5) / 1e6)


def test_over_a_tier_the_whole_call_has_its_rates():
    assert cost_of(PRICE, Tokens(200_000, 0)) == pytest.approx(0.4)
    assert cost_of(PRICE, Tokens(200_001, 0)) == pytest.approx(200_001 * 4 / 1e6)


def test_without_a_price_nothing_is_guessed():
    assert cost_of(None, Tokens(1_000_000, 1_000_000)) == 0.0
