"""Events on the wire: the same bytes on every read, whatever is read with them (I3).

Excluded: how a stream is sent and resumed, see tests/server/test_stream.py.
"""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.domain.event import EVENT_TYPES, Segment, line
from pilothouse.wire.event import encode_page, frames, list_frames, reconnect_frame

AT = 1_795_348_800_123_456
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, 1, "", "text", "two\nlines", "\r\u2028", "ключ", [1, {"a": []}], {}, "x" * 50]
)
BODIES = st.dictionaries(st.sampled_from(["delta", "status", "output", "", "é"]), VALUES)
EVENTS = st.lists(st.tuples(st.sampled_from(EVENT_TYPES), BODIES), min_size=1, max_size=12)


def segment_of(events: list[tuple[str, dict]], first: int = 1) -> Segment:
    lines = [line(kind, json.dumps(body, separators=(",", ":")).encode()) for kind, body in events]
    return Segment("run_1", first, len(lines), AT, b"".join(lines))


def split_frames(text: bytes) -> list[dict[str, str]]:
    blocks = text.decode().split("\n\n")[:-1]
    return [dict(one.split(": ", 1) for one in block.split("\n")) for block in blocks]


@settings(max_examples=50)
@given(EVENTS)
def test_each_event_is_one_frame_with_run_seq_and_instant_in_front(events):
    for seq, ((kind, body), frame) in enumerate(zip(events, split_frames(frames(segment_of(events))), strict=True), 1):
        assert frame["id"] == str(seq)
        assert frame["event"] == kind
        told = json.loads(frame["data"])
        assert list(told)[:3] == ["run", "seq", "at"]
        assert told == {"run": "run_1", "seq": seq, "at": "2026-11-22T12:00:00.123456Z"} | body


@settings(max_examples=50)
@given(EVENTS, st.integers(0, 12))
def test_what_is_read_after_a_position_is_the_rest_of_the_same_bytes(events, after):
    alone = [frames(segment_of([one], seq)) for seq, one in enumerate(events, 1)]
    assert list_frames(segment_of(events)) == alone
    assert frames(segment_of(events), after) == b"".join(alone[after:])


@settings(max_examples=50)
@given(EVENTS, st.integers(0, 12), st.integers(1, 12))
def test_pages_read_one_after_another_hold_every_event_once(events, cut, limit):
    segments = [segment_of(events[:cut]), segment_of(events[cut:], cut + 1)]
    segments = [one for one in segments if one.count]
    seen: list[dict] = []
    after = 0
    for _ in range(len(events) + 1):
        page = json.loads(encode_page([one for one in segments if one.last > after], after, limit, is_last=True))
        seen += page["items"]
        assert len(page["items"]) <= limit
        if page["next_cursor"] is None:
            break
        after = int(page["next_cursor"])
    assert [one["seq"] for one in seen] == list(range(1, len(events) + 1))
    assert [one["type"] for one in seen] == [kind for kind, _ in events]


def test_a_page_that_may_have_a_sequel_names_where_it_goes_on():
    page = json.loads(encode_page([segment_of([("output.delta", {})] * 3)], 0, 3, is_last=False))
    assert page["next_cursor"] == "3"


def test_a_reconnect_has_no_id():
    hint = "Try again in a few seconds; the next node will answer."
    frame = reconnect_frame(hint, 1000)
    assert b"id:" not in frame
    assert frame.startswith(b"event: reconnect\nretry: 1000\n")
    assert json.loads(split_frames(frame)[0]["data"]) == {"hint": hint}
