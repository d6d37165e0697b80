"""The table of run states: terminal states absorb, and every state can be left for an end (I1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.run import LIVE, TERMINAL, TRANSITIONS, Run, may_become

STATES = sorted(TRANSITIONS)


def test_every_state_is_live_or_terminal():
    assert set(STATES) == LIVE | TERMINAL
    assert not LIVE & TERMINAL


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_terminal_state_is_never_left(state):
    assert TRANSITIONS[state] == frozenset()


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_live_state_can_be_cancelled_and_can_fail(state):
    assert may_become(state, "cancelled")
    assert may_become(state, "failed")


def test_only_a_running_run_succeeds_or_waits():
    for after in ("succeeded", "waiting"):
        assert [state for state in STATES if may_become(state, after)] == ["running"]


@given(st.lists(st.sampled_from(STATES), max_size=30))
def test_a_walk_along_the_table_has_at_most_one_end(wishes):
    state, ends = "queued", 0
    for wish in wishes:
        if may_become(state, wish):
            state = wish
            ends += state in TERMINAL
    assert ends <= 1
    assert (state in TERMINAL) == (ends == 1)


@pytest.mark.parametrize("state", STATES)
def test_a_run_knows_whether_it_has_ended(state):
    run = Run(tenant="t", id="run_1", agent="a", release="r", mode="event", status=state, created_at=1)
    assert run.is_terminal == (state in TERMINAL)
