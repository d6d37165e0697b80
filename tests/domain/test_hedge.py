"""When a second request is sent: after a delay that is set, or as measured answers say."""

import pytest

from pilothouse.domain.hedge import ENOUGH, KEPT, HedgeRule, Times, hedge_after


def measured(*seconds):
    times = Times()
    for one in seconds:
        times.add(one)
    return times


@pytest.mark.parametrize(
    ("rule", "times", "after"),
    [
        (None, None, None),
        (HedgeRule(2.0), None, 2.0),
        (HedgeRule(2.0, models=("other",)), None, None),
        (HedgeRule(2.0, models=("m",)), None, 2.0),
        (HedgeRule(percentile=0.9), measured(*range(ENOUGH - 1)), None),
        (HedgeRule(percentile=0.9), measured(*range(100)), 90),
        (HedgeRule(95.0, 0.9), measured(*range(100)), 95.0),
        (HedgeRule(percentile=0.999), measured(*range(ENOUGH)), ENOUGH - 1),
    ],
)
def test_it_is_time_after_the_delay_or_the_percentile_but_never_sooner_than_both(rule, times, after):
    assert hedge_after(rule, "m", times) == after


def test_only_the_last_answers_count():
    assert hedge_after(HedgeRule(percentile=0.5), "m", measured(*[100.0] * 500, *[1.0] * KEPT)) == 1.0
