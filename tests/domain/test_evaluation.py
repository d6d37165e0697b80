"""Evaluators and statistics: each against what it says, and numbers from the sources they are from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.evaluation import (
    bootstrap,
    compare,
    contains,
    exact,
    json_schema,
    mcnemar,
    numeric,
    pattern,
    preferred,
    score_of,
)

SCHEMA = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"},
        "age": {"type": ["integer", "null"], "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "maxItems": 2, "items": {"enum": ["a", "b"]}},
        "kind": {"const": 1},
    },
}


@pytest.mark.parametrize(
    ("output", "expected", "score"),
    [(1, 1.0, 1), (1, True, 0), ({"a": [1]}, {"a": [1.0]}, 1), ({"a": 1}, {"a": True}, 0), ([1], [1, 2], 0),
     ("a", "a", 1), (None, None, 1), ({"a": 1}, {"b": 1}, 0)],
)  # fmt: skip
def test_exact_is_the_same_json(output, expected, score):
    assert exact(output, expected) == score


def test_contains_regex_and_numeric_look_at_what_they_say():
    assert contains("it costs 12 euros", "12 euros") == 1
    assert contains({"a": "x"}, "y") == 0
    assert pattern(r"\d+ euros")("it costs 12 euros", None) == 1
    assert pattern(r"^\d+$")("x", None) == 0
    assert numeric(0.01)(100.5, 100) == 1
    assert numeric(0.01)(102, 100) == 0
    assert numeric(0.01)(True, 1) == 0
    assert numeric(0.01)("1", 1) == 0
    for wrong in ("(", "a" * 2000):
        with pytest.raises(ValueError, match="pattern"):
            pattern(wrong)


@pytest.mark.parametrize(
    ("output", "score"),
    [({"name": "ann"}, 1), ({"name": "ann", "age": None, "tags": ["a", "b"], "kind": 1}, 1), ({}, 0), ([], 0),
     ({"name": ""}, 0), ({"name": "Ann"}, 0), ({"name": "ann", "age": -1}, 0), ({"name": "ann", "age": True}, 0),
     ({"name": "ann", "age": 1.5}, 0), ({"name": "ann", "tags": ["c"]}, 0), ({"name": "ann", "tags": ["a"] * 3}, 0),
     ({"name": "ann", "kind": True}, 0), ({"name": "ann", "more": 1}, 0)],
)  # fmt: skip
def test_a_schema_is_looked_at_in_all_its_parts(output, score):
    assert json_schema(SCHEMA)(output, None) == score


@pytest.mark.parametrize(
    "wrong", [{"oneOf": []}, {"type": "text"}, [], {"properties": {"a": {"$ref": "#"}}}, {"additionalProperties": {}}]
)
def test_a_schema_with_what_is_not_looked_at_is_refused_and_does_not_pass(wrong):
    with pytest.raises(ValueError, match=r"schema|type|additionalProperties"):
        json_schema(wrong)


def test_the_exact_test_of_mcnemar_is_the_binomial_one():
    """Two-sided binomial probabilities: 2 * P(X <= 1 | 8, 1/2) = 18/256, 2 * P(X <= 2 | 12, 1/2) = 158/4096."""
    assert mcnemar(7, 1) == pytest.approx(18 / 256)
    assert mcnemar(2, 10) == pytest.approx(158 / 4096)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(6000, 0) == pytest.approx(0.0)


def test_a_share_has_the_interval_of_wilson_and_a_graded_mean_a_bootstrap_one():
    assert score_of([1.0] * 9 + [0.0]).interval.low == pytest.approx(0.5958, abs=1e-4)
    graded = score_of([0.25, 0.5, 0.75] * 20)
    assert graded.mean == pytest.approx(0.5)
    assert graded.interval.low < 0.5 < graded.interval.high
    assert score_of([]).count == 0


def test_a_seed_gives_the_same_interval_for_good():
    values = [number / 10 for number in range(11)]
    assert bootstrap(values, 1) == bootstrap(values, 1)
    assert bootstrap(values, 1) != bootstrap(values, 2)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.integers(0, 2**64))
def test_an_interval_stays_between_the_smallest_and_the_largest(values, seed):
    found = bootstrap(values, seed)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_a_release_is_worse_only_when_that_is_hardly_chance():
    good = {f"e{number}": 1.0 for number in range(30)}
    little = good | {"e0": 0.0}
    much = good | {f"e{number}": 0.0 for number in range(12)}
    assert not compare(good, little).is_worse
    assert compare(good, much).is_worse
    assert not compare(much, good).is_worse
    assert (compare(good, much).better, compare(good, much).worse) == (0, 12)
    assert compare(good, {"other": 1.0}) is None
    graded = dict.fromkeys(good, 0.9)
    assert compare(graded, dict.fromkeys(good, 0.2)).is_worse
    assert compare(graded, dict.fromkeys(good, 0.2)).p is None


def test_a_judge_that_follows_the_place_says_nothing():
    assert preferred("a", "b") == 1.0
    assert preferred("b", "a") == 0.0
    assert [preferred(*one) for one in (("a", "a"), ("b", "b"), ("tie", "tie"), ("a", "tie"))] == [0.5] * 4
