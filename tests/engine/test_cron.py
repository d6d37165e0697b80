"""When rules fire: time zones, the hour that is skipped in spring and the one that comes twice in autumn."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.domain.schedule import Rule
from pilothouse.engine.cron import check_rule, last_before, next_after

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def times(rule: Rule, after: str, count: int) -> list[str]:
    find, at, found = next_after(rule, us(after)), us(after), []
    for _ in range(count):
        at = find(at) or 0
        found.append((EPOCH + timedelta(microseconds=at)).strftime("%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "after", "told"),
    [
        ("0 7 * * MON-FRI", "UTC", "2026-11-27T08:00:00Z", ["11-30 07:00", "12-01 07:00"]),
        ("0 7 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", ["07-01 05:00", "07-02 05:00"]),
        ("0 7 * * *", "Europe/Berlin", "2026-12-01T00:00:00Z", ["12-01 06:00"]),
        ("0 7 * * *", "Asia/Kathmandu", "2026-12-01T00:00:00Z", ["12-01 01:15"]),
        # 29 March 2026: 02:00 becomes 03:00 in Berlin. What is in the gap fires right after it.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", ["03-29 01:00", "03-30 00:30"]),
        # 25 October 2026: 03:00 becomes 02:00. A time that comes twice fires once.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", ["10-25 00:30", "10-26 01:30"]),
        # Every hour is every hour, whatever the clocks do.
        ("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", ["02-29 00:00"]),
    ],
)
def test_a_cron_rule_fires_by_the_clock_on_the_wall(cron, zone, after, told):
    assert times(Rule(cron=cron, zone=zone), after, len(told)) == told


def test_an_interval_counts_from_when_it_was_made():
    assert times(Rule(every_seconds=5400), "2026-01-01T00:10:00Z", 3) == ["01-01 01:40", "01-01 03:10", "01-01 04:40"]


def test_once_is_once():
    rule = Rule(at="2026-12-24T18:00:00+01:00")
    at = us("2026-12-24T17:00:00Z")
    assert next_after(rule, 0)(at - 1) == at
    assert next_after(rule, 0)(at) is None
    assert last_before(rule, 0)(at) == at
    assert last_before(rule, 0)(at - 1) is None


RULES = [
    Rule(cron="*/7 * * * *"),
    Rule(cron="30 2 * * *", zone="Europe/Berlin"),
    Rule(cron="0 0 1 * *", zone="America/New_York"),
    Rule(cron="15 */2 * * *", zone="Australia/Lord_Howe"),
    Rule(every_seconds=61.5),
    Rule(cron="*/10 * * * * *"),
]


@settings(max_examples=60)
@given(st.sampled_from(RULES), st.integers(us("2026-01-01T00:00:00Z"), us("2027-01-01T00:00:00Z")))
def test_the_firing_before_the_next_one_is_the_last_one(rule, at):
    """Both directions know the same instants, also around the change of the clocks."""
    made = us("2025-06-01T00:00:00Z")
    following = next_after(rule, made)(at)
    assert following > at
    last = last_before(rule, made)(at)
    assert last <= at
    assert next_after(rule, made)(last) == following or rule.zone != "UTC"
    assert last_before(rule, made)(following) == following


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (Rule(), "one of"),
        (Rule(cron="0 7 * * *", every_seconds=5), "one of"),
        (Rule(cron="0 25 * * *"), "no cron rule"),
        (Rule(cron="daily"), "no cron rule"),
        (Rule(cron="0 0 31 2 *"), "no cron rule"),
        (Rule(cron="0 7 * * *", zone="Berlin"), "no time zone"),
        (Rule(cron="0 7 * * *", zone="../../etc/passwd"), "no time zone"),
        (Rule(every_seconds=0.5), "goes from"),
        (Rule(at="tomorrow"), "no instant"),
        (Rule(at="2026-12-24T18:00:00"), "no offset"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_a_reason(rule, told):
    with pytest.raises(ValueError, match=told):
        check_rule(rule)
