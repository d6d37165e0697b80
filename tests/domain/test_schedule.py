"""What one look at a schedule comes to, for every policy; and jitter that is the same everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.schedule import AT_ONCE, ON_TIME, Plan, Rule, Schedule, firing_run_id, jitter, plan

HOUR = 3600 * 1_000_000


def hourly(after: int) -> int:
    return (after // HOUR + 1) * HOUR


def hour_before(before: int) -> int:
    return before // HOUR * HOUR


def schedule(**more) -> Schedule:
    return Schedule(**({"name": "s", "agent": "a", "rule": Rule(cron="0 * * * *"), "next_at": 10 * HOUR} | more))


def look(now: int, **more) -> Plan:
    return plan(schedule(**more), now, hourly, hour_before)


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_what_is_due_fires_once_and_moves_on(misfire):
    assert look(10 * HOUR, misfire=misfire) == Plan([10 * HOUR], 0, 11 * HOUR)
    assert look(10 * HOUR + ON_TIME, misfire=misfire) == Plan([10 * HOUR], 0, 11 * HOUR)
    assert look(10 * HOUR - 1, misfire=misfire) == Plan([], 0, 10 * HOUR)


def test_what_was_missed_is_left_out_made_up_for_once_or_as_a_whole():
    late = 13 * HOUR + HOUR // 2
    assert look(late, misfire="skip") == Plan([], 1, 14 * HOUR)
    assert look(late, misfire="once") == Plan([13 * HOUR], 1, 14 * HOUR)
    assert look(late, misfire="all") == Plan([hour * HOUR for hour in (10, 11, 12, 13)], 0, 14 * HOUR)


def test_after_an_absence_the_firing_that_is_on_time_happens_whatever_was_missed_before():
    now = 13 * HOUR + 1
    assert look(now, misfire="skip") == Plan([13 * HOUR], 1, 14 * HOUR)
    assert look(now, misfire="once") == Plan([13 * HOUR], 1, 14 * HOUR)


def test_a_long_absence_is_made_up_for_in_bounded_looks():
    found = look(10 * HOUR + 1000 * HOUR, misfire="all")
    assert len(found.firings) == AT_ONCE
    assert found.next_at == (10 + AT_ONCE) * HOUR


def test_one_that_has_no_next_firing_does_nothing():
    assert look(99 * HOUR, next_at=None) == Plan([], 0, None)


@given(st.integers(0, 2**62), st.floats(0.001, 86400))
def test_jitter_lies_within_its_bound_and_is_the_same_for_everybody(at, seconds):
    first = jitter(schedule(jitter_seconds=seconds), at)
    assert 0 <= first < seconds * 1e6 + 1
    assert jitter(schedule(jitter_seconds=seconds), at) == first
    assert jitter(schedule(), at) == 0


def test_jitter_spreads_schedules_of_the_same_rule():
    found = {jitter(schedule(name=f"s{number}", jitter_seconds=60), HOUR) for number in range(100)}
    assert len(found) == 100
    assert max(found) - min(found) > 40 * 1_000_000


def test_a_firing_is_not_due_before_its_jitter_has_passed():
    moved = schedule(jitter_seconds=600)
    own = jitter(moved, 10 * HOUR)
    assert plan(moved, 10 * HOUR + own - 1, hourly, hour_before).firings == []
    assert plan(moved, 10 * HOUR + own, hourly, hour_before).firings == [10 * HOUR]


@given(st.integers(10 * HOUR, 2000 * HOUR), st.sampled_from(["skip", "once", "all"]), st.floats(0, 7200))
def test_looks_never_fire_an_instant_twice_nor_before_its_time(now, misfire, seconds):
    one, seen = schedule(misfire=misfire, jitter_seconds=seconds), []
    for _ in range(40):
        found = plan(one, now, hourly, hour_before)
        assert all(at + jitter(one, at) <= now for at in found.firings)
        seen += found.firings
        if found.next_at == one.next_at:
            break
        one.next_at = found.next_at
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)
    assert plan(one, now, hourly, hour_before).firings == []


def test_the_id_of_a_firing_follows_from_its_schedule_and_instant():
    ids = {firing_run_id(tenant, name, at) for tenant in "ab" for name in "xy" for at in (1, 2)}
    assert len(ids) == 8
    assert firing_run_id("a", "x", 1) in ids
