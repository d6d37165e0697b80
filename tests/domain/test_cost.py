"""The forecast of a month, by hand: what is spent, what such days cost, and how wide the bounds are."""

from datetime import date, timedelta

import pytest

from pilothouse.domain.cost import Cost, forecast, total_of

TODAY = date(2026, 11, 28)


def days(count, cost, today=TODAY):
    return {today - timedelta(number): cost(today - timedelta(number)) for number in range(1, count + 1)}


def test_steady_days_give_the_sum_of_the_days_that_are_left_without_doubt():
    found = forecast(days(10, lambda day: 2.0), TODAY, 0.5)
    assert found is not None
    assert (found.month, found.spent_usd, found.days) == ("2026-11", 20.0, 10)
    assert found.expected_usd == pytest.approx(20.0 + 2.0 * 2.5)  # half of today, and two days
    assert found.low_usd == pytest.approx(found.expected_usd) == found.high_usd
    assert "mean day of the last 10" in found.method


def test_weekends_are_told_apart_once_there_are_two_weeks():
    found = forecast(days(28, lambda day: 0.0 if day.weekday() >= 5 else 7.0), TODAY, 0.0)
    assert found is not None
    assert TODAY.weekday() == 5
    assert found.expected_usd - found.spent_usd == pytest.approx(7.0)  # Saturday, Sunday, and the Monday
    assert "weekday" in found.method


def test_jumpy_days_give_wide_bounds_that_are_never_below_what_is_spent():
    found = forecast(days(6, lambda day: 30.0 * (day.day % 2)), TODAY, 0.0)
    assert found is not None
    assert found.low_usd == found.spent_usd < found.expected_usd < found.high_usd
    calm = forecast(days(6, lambda day: 15.0 + day.day % 2), TODAY, 0.0)
    assert calm is not None
    assert calm.high_usd - calm.low_usd < found.high_usd - found.low_usd


def test_a_day_without_calls_counts_as_nothing_and_too_few_days_give_no_forecast():
    first = TODAY - timedelta(10)
    found = forecast({first: 10.0}, TODAY, 0.0)
    assert found is not None
    assert found.expected_usd == pytest.approx(10.0 + 3 * 1.0)
    assert forecast(days(2, lambda day: 1.0), TODAY, 0.0) is None
    assert forecast({}, TODAY, 0.0) is forecast({TODAY: 5.0}, TODAY, 0.5) is None


def test_the_bounds_hold_about_as_often_as_they_say():
    """Days drawn from one distribution: the bounds hold the month in about four cases of five."""
    from random import Random

    draw = Random(7)
    held = 0
    for _ in range(400):
        costs = {date(2026, 11, day): draw.gauss(100, 20) for day in range(1, 31)}
        known = {day: cost for day, cost in costs.items() if day.day < 15}
        found = forecast(known, date(2026, 11, 15), 0.0)
        assert found is not None
        held += found.low_usd <= sum(costs.values()) <= found.high_usd
    assert 0.7 < held / 400 < 0.9


def test_a_total_is_the_sum_of_its_groups():
    assert total_of([Cost("a", 1, 1, 0, 2, 3, 1, 0.5), Cost("b", 2, 0, 1, 1, 1, 0, 0.25)]) == Cost(
        "", 3, 1, 1, 3, 4, 1, 0.75
    )
