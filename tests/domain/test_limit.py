"""The cell rate algorithm with costs: never more than a burst at once, never more than the rate in the long run."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.limit import Limit, advance, wait_for


def take(limit: Limit, arrival: float, now: float, cost: float) -> tuple[bool, float]:
    if wait_for(limit, arrival, now, cost) > 0:
        return False, arrival
    return True, advance(limit, arrival, now, cost)


def test_a_burst_passes_at_once_and_the_next_unit_waits_for_its_interval():
    limit, arrival = Limit(60.0, burst=3), 0.0
    for _ in range(3):
        passed, arrival = take(limit, arrival, 100.0, 1)
        assert passed
    assert wait_for(limit, arrival, 100.0, 1) == 1.0
    assert wait_for(limit, arrival, 101.0, 1) == 0.0


def test_without_a_burst_that_of_a_minute_passes():
    limit, arrival, passed = Limit(30.0), 0.0, 0
    for _ in range(100):
        ok, arrival = take(limit, arrival, 1000.0, 1)
        passed += ok
    assert passed == 30


def test_what_costs_more_than_the_burst_may_come_when_nothing_is_owed():
    limit = Limit(60.0, burst=10)
    assert wait_for(limit, 0.0, 100.0, 500) == 0.0
    assert wait_for(limit, advance(limit, 0.0, 100.0, 500), 100.0, 1) == 491.0


def test_what_was_estimated_too_high_is_given_back_and_never_becomes_credit():
    limit = Limit(60.0, burst=10)
    arrival = advance(limit, 0.0, 100.0, 10)
    assert wait_for(limit, advance(limit, arrival, 100.0, -9), 100.0, 9) == 0.0
    assert advance(limit, arrival, 100.0, -1000) == 100.0


@given(
    st.floats(1, 1e6),
    st.floats(1, 1e4),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0.01, 100)), min_size=1, max_size=60),
)
def test_never_more_than_the_burst_and_the_rate_allow(per_minute, burst, calls):
    """Over any span from the start: what passed is at most the burst and what the rate gives meanwhile."""
    limit, now, arrival, total = Limit(per_minute, burst), 1000.0, 0.0, 0.0
    for after, cost in calls:
        now += after
        cost = min(cost, burst)
        ok, arrival = take(limit, arrival, now, cost)
        total += cost if ok else 0.0
        assert total <= burst + (now - 1000.0) * per_minute / 60 + 1e-6 * max(1.0, total) + 1e-3
