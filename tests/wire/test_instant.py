"""Instants as they travel: always 27 characters, sortable as text, the same for the same microsecond."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.wire.instant import stamp, stamp_if

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = 4_102_444_800_000_000  # 2100


@given(st.lists(st.integers(0, LATEST), min_size=1, max_size=20))
def test_an_instant_is_what_the_calendar_says_whatever_was_asked_before(instants):
    for at in instants:
        expected = (EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        assert stamp(at) == expected
        assert len(expected) == 27


def test_no_instant_is_no_text():
    assert stamp_if(None) is None
    assert stamp_if(0) == "1970-01-01T00:00:00.000000Z"
