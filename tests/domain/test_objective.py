"""When an objective burns: the table of windows and rates, with plain values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.objective import BURNS, Count, Objectives, burn_rate, worst_burn


def always(share_missed):
    return lambda seconds: Count(1_000_000, 1_000_000 * share_missed)


def test_a_rate_of_one_uses_the_budget_up_exactly():
    assert burn_rate(Count(1000, 10), 0.99) == pytest.approx(1.0)
    assert burn_rate(Count(0, 0), 0.99) == 0.0


@pytest.mark.parametrize(
    ("missed", "severity", "long"),
    [(0.2, "page", 3600), (0.07, "page", 21600), (0.04, "ticket", 86400), (0.011, "ticket", 259200), (0.009, None, 0)],
)
def test_the_faster_it_burns_the_sooner_and_louder_it_is_told(missed, severity, long):
    burn = worst_burn(0.99, always(missed))
    assert (burn and burn.severity, burn.long if burn else 0) == (severity, long)


def test_both_windows_must_burn():
    for burn in BURNS:
        for window in (burn.long, burn.short):
            found = worst_burn(0.99, lambda seconds, alone=window: Count(100, 100 if seconds == alone else 0))
            assert found is None, (burn, window)


@given(st.floats(0.5, 0.999), st.floats(0, 1))
def test_more_misses_never_make_it_milder(share, missed):
    order = [None, *reversed(BURNS)]
    less, more = worst_burn(share, always(missed)), worst_burn(share, always(min(1.0, missed * 1.5)))
    assert order.index(more) >= order.index(less)


@pytest.mark.parametrize(
    "wrong", [{"share": 1.0}, {"share": 0.0}, {"ended_within_seconds": 0.0}, {"cost_usd_a_day": -1}]
)
def test_a_promise_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Objectives(**wrong)
