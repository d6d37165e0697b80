"""Sampling: the share that is chosen is the rate, by a hash that nobody without the key can tell (G7)."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.bias import wilson
from pilothouse.domain.sampling import Plan, adjusted, fill_up, place_of, stratum_of

KEY, OTHER = bytes(32), bytes(range(32))


def plan(**more):
    return Plan(**{"agent": "a", "rate": 0.1, "rate_now": 0.1} | more)


def test_the_share_that_is_chosen_is_the_rate():
    places = [place_of(KEY, f"run_{number}") for number in range(20_000)]
    for rate in (0.01, 0.1, 0.5):
        found = wilson(sum(place < rate for place in places), len(places), 0.9999)
        assert found.low <= rate <= found.high


def test_without_the_key_nothing_is_told_and_with_it_the_choice_repeats():
    runs = [f"run_{number}" for number in range(4000)]
    chosen = {run for run in runs if place_of(KEY, run) < 0.5}
    assert chosen == {run for run in runs if place_of(KEY, run) < 0.5}
    both = sum((place_of(OTHER, run) < 0.5) is (run in chosen) for run in runs)
    found = wilson(both, len(runs), 0.9999)
    assert found.low <= 0.5 <= found.high


def test_a_run_chosen_at_a_rate_is_chosen_at_every_higher_one():
    places = [place_of(KEY, f"run_{number}") for number in range(1000)]
    assert {p for p in places if p < 0.1} <= {p for p in places if p < 0.2}


def test_a_stratum_is_told_by_values_at_paths_and_what_is_missing_is_one_too():
    one = plan(strata=("metadata.region", "output.kind", "input"))
    assert stratum_of(one, b"1", b'{"kind":"a"}', b'{"region":"eu"}') == ("eu", "a", "1")
    assert stratum_of(one, b'"x"', None, b"{}") == ("-", "-", "x")
    assert stratum_of(plan(), b"1", None, b"{}") == ()


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abc"), st.booleans()), max_size=40), st.integers(0, 6))
def test_each_stratum_has_its_minimum_or_all_there_are_and_the_smallest_places_go_first(rows, minimum):
    places = {f"run_{n}": place for n, (place, _, _) in enumerate(rows)}
    strata = {f"run_{n}": (name,) for n, (_, name, _) in enumerate(rows)}
    reviewed = [f"run_{n}" for n, (_, _, is_reviewed) in enumerate(rows) if is_reviewed]
    added = fill_up(plan(minimum=minimum), places, strata, reviewed)
    assert not set(added) & set(reviewed)
    for name in "abc":
        own = [run for run in strata if strata[run] == (name,)]
        before = [run for run in own if run in reviewed]
        new = [run for run in own if run in added]
        assert len(before) + len(new) == max(len(before), min(minimum, len(own)))
        left = [places[run] for run in own if run not in added and run not in reviewed]
        assert not new or not left or max(places[run] for run in new) <= min(left)


def test_a_full_queue_lowers_the_rate_and_an_empty_one_brings_it_back():
    one = plan(capacity=10)
    assert adjusted(one, 10) == 0.1
    assert adjusted(one, 11) == 0.05
    lower = plan(capacity=10, rate_now=0.05)
    assert adjusted(lower, 5) == 0.05
    assert adjusted(lower, 4) == 0.1
    assert adjusted(plan(capacity=10), 0) == 0.1
