"""Segments: what goes in comes out, numbered from the first, from any point."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.event import EVENT_TYPES, TERMINAL_EVENTS, Segment, events_of, line

bodies = st.sampled_from([b"{}", b'{"a": 1}', b'{"delta": "a b  c"}', b'{"text":"\xc3\xa4"}'])
events = st.lists(st.tuples(st.sampled_from(EVENT_TYPES), bodies), min_size=1)


def segment_of(found: list[tuple[str, bytes]], first: int = 1) -> Segment:
    return Segment("run_1", first, len(found), 5, b"".join(line(kind, body) for kind, body in found))


@given(events, st.integers(1, 1_000_000))
def test_events_come_out_as_they_went_in(found, first):
    segment = segment_of(found, first)
    assert list(events_of(segment)) == [(first + nth, kind, body) for nth, (kind, body) in enumerate(found)]
    assert segment.last == first + len(found) - 1


@given(events, st.integers(0, 20))
def test_a_reader_gets_what_is_after_its_point_and_nothing_else(found, after):
    segment = segment_of(found)
    assert [seq for seq, _, _ in events_of(segment, after)] == list(range(after + 1, len(found) + 1))


@given(events)
def test_a_segment_knows_whether_its_last_event_ends_the_run(found):
    assert segment_of(found).is_terminal == (found[-1][0] in TERMINAL_EVENTS)
