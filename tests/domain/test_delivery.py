"""Deliveries as rules: who is told of what, when it is tried again, and what the answer of a receiver means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.delivery import PAUSES, TOLD, Receiver, Receivers, fits, judge, pause_after
from pilothouse.domain.event import EVENT_TYPES


def test_tries_are_spread_over_more_than_three_days_and_then_end():
    pauses = [pause_after(attempt, 0.0) or 0.0 for attempt in range(1, len(PAUSES) + 1)]
    assert pause_after(len(PAUSES) + 1, 0.0) is None
    assert pauses == sorted(pauses)
    assert 3 * 86400 < sum(pauses) < 5 * 86400


@given(st.integers(1, len(PAUSES)), st.floats(0, 1, exclude_max=True), st.floats(0, 1e9))
def test_a_pause_is_near_its_plan_and_as_long_as_the_receiver_asked_for_within_a_day(attempt, draw, after):
    pause = pause_after(attempt, draw, after)
    assert pause >= 0.8 * PAUSES[attempt - 1]
    assert pause >= min(after, 86400)
    assert pause <= max(PAUSES[attempt - 1], 86400)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "delivered"), (204, "delivered"), (299, "delivered"), (301, "again"), (308, "again"), (400, "again"),
     (401, "again"), (404, "again"), (410, "gone"), (429, "again"), (500, "again"), (503, "again"), (101, "again")],
)  # fmt: skip
def test_a_status_means(status, verdict):
    answer = judge(status, 30.0)
    assert answer.verdict == verdict
    assert (answer.reason is None) == (verdict == "delivered")
    assert answer.after == (30.0 if status in (429, 503) else 0.0)


def test_only_the_receivers_of_an_event_and_an_agent_are_told():
    ends, desk, nosy = (
        Receiver(name="ends"),
        Receiver(name="desk", agents=("desk",)),
        Receiver(name="nosy", events=("run.queued", "review.requested")),
    )
    receivers = Receivers((ends, desk, nosy))
    assert receivers.find("run.failed", "desk") == [ends, desk]
    assert receivers.find("run.failed", "shop") == [ends]
    assert receivers.find("run.queued", "shop") == [nosy]
    assert receivers.wants("run.queued")
    assert not receivers.wants("run.waiting")
    assert not Receivers()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({}, True),
        ({"status": "failed"}, True),
        ({"metadata.team": "blue", "status": "failed"}, True),
        ({"metadata.team": "red"}, False),
        ({"metadata.team.x": "blue"}, False),
        ({"nothing": None}, True),
        ({"metadata": "blue"}, False),
    ],
)
def test_a_filter_asks_for_everything_it_names(where, told):
    assert fits(where, {"status": "failed", "metadata": {"team": "blue"}}) is told


def test_what_can_be_delivered_is_an_event():
    assert set(TOLD) <= set(EVENT_TYPES)
