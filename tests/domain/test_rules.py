"""When a lease is over, and what a second turn does."""

import pytest

from pilothouse.domain.lease import RENEW_EVERY, TERM, is_expired, lease_until
from pilothouse.domain.session import decide_turn


def test_a_lease_outlives_two_lost_renewals():
    assert TERM > 2 * RENEW_EVERY
    assert not is_expired(lease_until(0), TERM)
    assert is_expired(lease_until(0), TERM + 1)
    assert is_expired(None, 0)


@pytest.mark.parametrize(
    ("on_busy", "verdict"),
    [("enqueue", "wait"), ("reject", "refuse"), ("interrupt", "interrupt"), ("rollback", "rollback")],
)
def test_what_a_second_turn_does(on_busy, verdict):
    assert decide_turn(on_busy, True) == verdict
    assert decide_turn(on_busy, False) == "go"
