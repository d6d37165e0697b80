"""Topics and their patterns, the ids that follow from an event, and what metadata says of where a run is from."""

import pytest

from pilothouse.domain.topic import check_pattern, check_topic, event_id, matches, origin_in, subscriber_run_id


@pytest.mark.parametrize(
    ("pattern", "topic", "fits"),
    [
        ("orders.paid", "orders.paid", True),
        ("orders.paid", "orders.paid.late", False),
        ("orders.*", "orders.paid", True),
        ("orders.*", "orders", False),
        ("orders.*", "orders.paid.late", False),
        ("*.paid", "orders.paid", True),
        ("orders.>", "orders.paid.late", True),
        ("orders.>", "orders", False),
        (">", "orders", True),
        ("orders.*.late", "orders.paid.late", True),
    ],
)
def test_a_pattern_matches_word_by_word(pattern, topic, fits):
    check_pattern(pattern)
    assert matches(pattern, topic) is fits


@pytest.mark.parametrize("pattern", ["", "a..b", "a.>.b", "a*", "*a", "a b", ".", "a." + "x" * 128])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match="is no pattern"):
        check_pattern(pattern)


@pytest.mark.parametrize("topic", ["run.succeeded", "step", "alert.x", "a.*", "a.>", ""])
def test_what_is_no_topic_is_refused(topic):
    with pytest.raises(ValueError, match="is no topic"):
        check_topic(topic)


def test_ids_follow_from_what_they_stand_for():
    assert event_id("t", "run_1:k") == event_id("t", "run_1:k") != event_id("u", "run_1:k")
    assert subscriber_run_id("t", "evt_1", "a") != subscriber_run_id("t", "evt_1", "b")


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        (b"{}", (None, 0)),
        (b'{"publisher":"run_1","event":"evt_1","hops":3}', ("run_1", 3)),
        (b'{"publisher":"run_1","event":"evt_1","hops":-9}', ("run_1", 1)),
        (b'{"publisher":"run_1","event":"mine","hops":99}', (None, 0)),
        (b'{"publisher":7,"hops":"x"}', (None, 0)),
    ],
)
def test_metadata_of_users_that_looks_like_ours_is_not_taken_for_it(metadata, found):
    assert origin_in(metadata) == found
