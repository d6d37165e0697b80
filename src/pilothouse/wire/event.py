"""The events of a run on the wire: frames of a stream, or items of a page.

What travels is a pure function of the segment, so every read of an event gives the same bytes (I3). `data` of a frame
is the event's own object with `run`, `seq` and `at` in front; an item of a page has `type` before them, since there is
no `event:` line to say it.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.domain.event import EVENT_TYPES, Segment
from pilothouse.wire.instant import stamp
from pilothouse.wire.payload import Instant

HEARTBEAT = b": heartbeat\n\n"


class EventView(Struct, kw_only=True):
    """An event of a page; each type has fields of its own beside these."""

    type: Annotated[str, Meta(extra_json_schema={"enum": sorted(EVENT_TYPES)})]
    run: str
    seq: Annotated[int, Meta(ge=1)]
    at: Instant


class EventPage(Struct):
    """In order, without a gap. `next_cursor` is the next `after`, null when there is no more now."""

    items: list[EventView]
    next_cursor: str | None


def _events(segment: Segment, after: int) -> Iterator[tuple[int, bytes, bytes]]:
    """(seq, type, what follows `at` in the object, its closing brace included) of each event over `after`."""
    for seq, one in enumerate(segment.data.splitlines(), segment.seq):
        if seq > after:
            kind, _, body = one.partition(b" ")
            yield seq, kind, b"}" if body == b"{}" else b"," + body[1:]


def list_frames(segment: Segment, after: int = 0) -> list[bytes]:
    """The server-sent events of a segment whose seq is over `after`."""
    facts = b'","seq":%%d,"at":"%b"' % stamp(segment.at).encode()
    frame = b'id: %%d\nevent: %%b\ndata: {"run":"%b%b%%b\n\n' % (segment.run.encode(), facts)
    found = []
    for seq, one in enumerate(segment.data.splitlines(), segment.seq):
        if seq > after:
            kind, _, body = one.partition(b" ")
            found.append(frame % (seq, kind, seq, b"}" if body == b"{}" else b"," + body[1:]))
    return found


def frames(segment: Segment, after: int = 0) -> bytes:
    return b"".join(list_frames(segment, after))


def list_items(segment: Segment, after: int = 0) -> list[bytes]:
    """The `EventView` of each event of a segment whose seq is over `after`."""
    facts = b'"run":"%b","seq":%%d,"at":"%b"' % (segment.run.encode(), stamp(segment.at).encode())
    item = b'{"type":"%%b",%b%%b' % facts
    return [item % (kind, seq, rest) for seq, kind, rest in _events(segment, after)]


def encode_page(segments: Iterable[Segment], after: int, limit: int, is_last: bool) -> bytes:
    """An `EventPage` of at most `limit` events. `is_last`: the records have nothing after these segments now."""
    items: list[bytes] = []
    last = after
    for segment in segments:
        for seq, item in enumerate(list_items(segment, after), max(after + 1, segment.seq)):
            if len(items) == limit:
                return _page(items, last)
            items.append(item)
            last = seq
    return _page(items, None if is_last else last)


def _page(items: list[bytes], next_after: int | None) -> bytes:
    cursor = b"null" if next_after is None else b'"%d"' % next_after
    return b'{"items":[%b],"next_cursor":%b}' % (b",".join(items), cursor)


def feed_frame(body: bytes) -> bytes:
    """A message of the feed: it has no id, since nothing of it is kept."""
    return b"event: changed\ndata: %b\n\n" % body


def reconnect_frame(hint: str, after_milliseconds: int) -> bytes:
    """What ends a stream before its run has ended: no id, so a client goes on where it was."""
    return b'event: reconnect\nretry: %d\ndata: {"hint":"%b"}\n\n' % (after_milliseconds, hint.encode())
