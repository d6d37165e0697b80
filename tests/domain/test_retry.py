"""Backoff: bounded in count and in time, within its jitter, and only for the errors that are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.retry import ATTEMPTS_LIMIT, Retry

retries = st.builds(
    Retry,
    attempts=st.integers(1, 50),
    delay=st.floats(0, 1000),
    factor=st.floats(1, 10),
    max_delay=st.floats(0, 10_000),
    jitter=st.floats(0, 1),
)


@given(retries, st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_within_its_bounds_and_there_are_no_more_tries_than_attempts(retry, tries, draw):
    delay = retry.delay_before(tries, draw)
    if tries >= retry.attempts:
        assert delay is None
    else:
        assert delay is not None
        assert 0 <= delay <= retry.max_delay


def test_the_delays_of_the_defaults():
    assert [Retry(attempts=5, jitter=0).delay_before(tries, 0.9) for tries in range(1, 6)] == [0.5, 1.0, 2.0, 4.0, None]


def test_full_jitter_goes_down_to_nothing():
    assert Retry(jitter=1).delay_before(1, 0.0) == 0.5
    assert Retry(jitter=1).delay_before(1, 0.999) < 0.001


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": ATTEMPTS_LIMIT + 1},
        {"delay": -1},
        {"max_delay": -1},
        {"factor": 0.5},
        {"jitter": 1.1},
        {"jitter": -0.1},
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(options):
    with pytest.raises(ValueError, match=r"attempts|delay"):
        Retry(**options)


@pytest.mark.parametrize(
    ("named", "kinds", "covered"),
    [
        ((), ("anything",), True),
        (("OSError",), ("ConnectionError", "OSError"), True),
        (("shop.Busy",), ("shop.Busy", "Exception"), True),
        (("OSError",), ("ValueError",), False),
    ],
)
def test_errors_are_covered_by_their_names_and_those_they_derive_from(named, kinds, covered):
    assert Retry(on=named).covers(kinds) is covered
