"""The figures of a bias audit: against numbers worked out by hand and by the sources they are from.

Beside fairlearn they are compared in tests/frameworks/fairlearn.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.bias import Case, Interval, figures_of, katz, quantile, wilson
from pilothouse.domain.decision import Decision


def cases(**groups):
    """`a=(selected, count)`: cases of one attribute."""
    found = []
    for name, (selected, count) in groups.items():
        found += [Case({"sex": name}, number < selected) for number in range(count)]
    return found


def only(figures):
    (one,) = figures.attributes
    return one, {group.group: group for group in one.groups}


def test_the_interval_of_a_rate_is_that_of_wilson():
    """Newcombe (1998), table I: 81 of 263 and 15 of 148, method 3."""
    for successes, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = wilson(successes, count)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert wilson(1, 29).low == pytest.approx(0.0061, abs=1e-4)
    assert wilson(0, 0) == Interval(0.0, 1.0)
    assert wilson(5, 5).high == 1.0


def test_the_interval_of_a_ratio_is_on_the_logarithm():
    """The aspirin trial (Agresti, Categorical Data Analysis, 3.1.1): 189 of 11034 and 104 of 11037, 1.43 to 2.31."""
    found = katz((189, 11034), (104, 11037))
    assert (round(found.low, 2), round(found.high, 2)) == (1.43, 2.31)
    assert katz((0, 10), (5, 10)) is None
    assert katz((1, 1), (0, 0)) is None


def test_the_quantile_is_that_of_the_normal_distribution():
    assert quantile(0.95) == pytest.approx(1.959963984540054)


def test_rates_and_impact_ratios_are_those_of_the_most_favoured_group():
    """The example of 6 RCNY 5-301: 1390 of 2200 men and 817 of 1656 women."""
    one, groups = only(figures_of(cases(male=(1390, 2200), female=(817, 1656)), ["sex"]))
    assert one.reference == "male"
    assert groups["male"].ratio == 1.0
    assert groups["male"].ratio_interval is None
    assert groups["female"].rate == pytest.approx(0.4934, abs=1e-4)
    assert groups["female"].ratio == pytest.approx(0.7808, abs=1e-4)
    assert groups["female"].is_flagged
    assert not groups["male"].is_flagged
    assert one.demographic_parity_difference == pytest.approx(1390 / 2200 - 817 / 1656)


def test_a_group_that_is_small_is_shown_and_neither_judged_nor_compared_with():
    one, groups = only(figures_of(cases(a=(30, 60), b=(28, 60), c=(3, 3), d=(0, 3)), ["sex"], minimum=30))
    assert one.reference == "a"
    assert (groups["c"].is_small, groups["c"].is_flagged, groups["c"].ratio) == (True, False, 2.0)
    assert (groups["d"].is_small, groups["d"].is_flagged) == (True, False)
    assert one.demographic_parity_difference == pytest.approx(2 / 60)


def test_exactly_four_fifths_is_no_flag():
    _, groups = only(figures_of(cases(a=(50, 100), b=(40, 100), c=(39, 100)), ["sex"]))
    assert [groups[name].is_flagged for name in "abc"] == [False, False, True]


def test_nobody_selected_and_nobody_there_say_nothing():
    one, groups = only(figures_of(cases(a=(0, 40), b=(0, 40)), ["sex"]))
    assert (groups["a"].ratio, one.demographic_parity_ratio, one.demographic_parity_difference) == (None, None, 0.0)
    one, groups = only(figures_of([], ["sex"]))
    assert (one.reference, groups, one.demographic_parity_difference) == (None, {}, None)


def test_who_did_not_tell_is_a_group_that_is_not_compared():
    found = [*cases(a=(30, 60), b=(6, 60)), *(Case({}, True) for _ in range(50))]
    one, groups = only(figures_of(found, ["sex"]))
    assert groups["not told"].count == 50
    assert groups["not told"].ratio is None
    assert one.reference == "a"


def test_two_attributes_are_looked_at_together_as_well():
    found = [Case({"sex": sex, "race": race}, sex == "f" or race == "x") for sex in "mf" for race in "xy"] * 30
    figures = figures_of(found, ["sex", "race"])
    assert [one.attribute for one in figures.attributes] == ["sex", "race", "sex x race"]
    assert {one.group: one.rate for one in figures.attributes[2].groups} == {
        "f x x": 1.0, "f x y": 1.0, "m x x": 1.0, "m x y": 0.0,
    }  # fmt: skip
    assert [one.attribute for one in figures_of(found, ["sex", "race"], pairs=False).attributes] == ["sex", "race"]


def test_equalized_odds_look_at_labels_of_both_kinds():
    found = [Case({"sex": sex}, chosen, label) for sex, chosen, label in (
        ("m", True, True), ("m", False, True), ("m", True, False), ("m", False, False),
        ("f", True, True), ("f", True, True), ("f", False, False), ("f", False, False),
        ("d", True, True),
    )]  # fmt: skip
    one, groups = only(figures_of(found, ["sex"], minimum=1))
    assert (groups["m"].true_positive_rate, groups["m"].false_positive_rate) == (0.5, 0.5)
    assert (groups["d"].true_positive_rate, groups["d"].false_positive_rate) == (1.0, None)
    assert (one.equalized_odds_difference, one.equalized_odds_ratio) == (0.5, 0.0)


@given(st.integers(0, 500), st.integers(1, 500), st.floats(0.5, 0.999))
def test_an_interval_holds_the_rate_and_stays_between_nothing_and_everything(successes, count, confidence):
    successes = min(successes, count)
    found = wilson(successes, count, confidence)
    assert 0.0 <= found.low <= successes / count <= found.high <= 1.0


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 200), st.integers(0, 200))
def test_the_interval_of_a_ratio_holds_it_and_turns_over_with_it(a, more_a, b, more_b):
    first, second = (a, a + more_a), (b, b + more_b)
    found, over = katz(first, second), katz(second, first)
    ratio = (a / (a + more_a)) / (b / (b + more_b))
    assert found.low <= ratio * (1 + 1e-12)
    assert ratio <= found.high * (1 + 1e-12)
    assert over.low == pytest.approx(1 / found.high)


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (b'{"result":{"granted":true}}', True),
        (b'{"result":{"granted":"yes"}}', True),
        (b'{"result":{"granted":1}}', False),
        (b'{"result":{"granted":false}}', False),
        (b'{"result":{"granted":null}}', None),
        (b'{"result":{}}', None),
        (b'"yes"', None),
        (None, None),
    ],
)
def test_an_output_is_favourable_when_it_says_so(output, found):
    decision = Decision(outcome="result.granted", favourable=(True, "yes"), groups=("sex",))
    assert decision.is_favourable(output) is found


@pytest.mark.parametrize("wrong", [{"favourable": ()}, {"groups": ()}, {"minimum": 0}])
def test_a_declaration_that_says_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Decision(**{"groups": ("sex",)} | wrong)
