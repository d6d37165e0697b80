"""The breaker: opens after failures in a row, lets one probe through, and believes it."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.breaker import Breaker, BreakerRule

RULE = BreakerRule(failures=3, pause=10.0, pause_at_most=40.0)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(RULE.failures):
        breaker.failed(RULE, now)
    return breaker


def test_it_opens_after_failures_in_a_row_and_a_success_between_begins_anew():
    breaker = Breaker()
    for _ in range(2):
        breaker.failed(RULE, 0.0)
    breaker.succeeded()
    breaker.failed(RULE, 0.0)
    assert (breaker.state(0.0), breaker.wait(0.0)) == ("closed", 0.0)
    assert (opened().state(0.0), opened().wait(4.0)) == ("open", 6.0)


def test_after_the_pause_one_probe_goes_and_the_others_wait_for_it():
    breaker = opened()
    assert (breaker.state(10.0), breaker.wait(10.0)) == ("half_open", 0.0)
    breaker.let_through(10.0)
    assert breaker.wait(11.0) == 9.0
    breaker.succeeded()
    assert (breaker.state(11.0), breaker.wait(11.0)) == ("closed", 0.0)


def test_a_probe_that_fails_opens_it_for_twice_the_pause_up_to_the_bound():
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(4):
        now += breaker.pause
        breaker.let_through(now)
        breaker.failed(RULE, now)
        pauses.append(breaker.pause)
    assert pauses == [20.0, 40.0, 40.0, 40.0]


def test_late_failures_of_calls_from_before_do_not_prolong_it():
    breaker = opened()
    breaker.failed(RULE, 9.0)
    assert breaker.wait(10.0) == 0.0


def test_a_probe_that_comes_to_nothing_leaves_the_place_to_another():
    breaker = opened()
    breaker.let_through(10.0)
    breaker.dropped()
    assert breaker.wait(10.0) == 0.0


def test_a_rule_of_no_failures_never_opens():
    breaker = Breaker()
    for _ in range(100):
        breaker.failed(BreakerRule(failures=0), 0.0)
    assert breaker.state(0.0) == "closed"


@given(st.lists(st.tuples(st.sampled_from(["ok", "failed", "dropped"]), st.floats(0, 100)), max_size=50))
def test_it_always_lets_somebody_through_in_the_end(story):
    breaker, now = Breaker(), 0.0
    for what, after in story:
        now += after
        if breaker.wait(now) == 0.0:
            breaker.let_through(now)
        match what:
            case "ok":
                breaker.succeeded()
            case "failed":
                breaker.failed(RULE, now)
            case _:
                breaker.dropped()
    assert breaker.wait(now) <= 2 * RULE.pause_at_most
    assert breaker.wait(now + 3 * RULE.pause_at_most) == 0.0
