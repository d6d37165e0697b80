"""The event: what a run tells the outside, numbered 1..n without a gap (I3).

Events of one run that become durable together are kept as one **segment**: the first `seq`, the count, one instant,
and a line `type SP object LF` for each. What travels is a pure function of the segment, so every read of an event
gives the same bytes. `seq` is given by the records in the transaction that keeps the event; nobody else counts.
"""

from collections.abc import Iterator

from msgspec import Struct

LIFECYCLE = (
    "run.queued",
    "run.started",
    "run.waiting",
    "run.resumed",
    "run.succeeded",
    "run.failed",
    "run.cancelled",
)
FRAMEWORK_EVENT = "framework.event"
MODEL_FAILED = "model.failed"
MODEL_HEDGED = "model.hedged"
EVENT_TYPES = (
    *LIFECYCLE,
    "output.delta",
    "step.started",
    "step.finished",
    "review.requested",
    "review.decided",
    "review.pending",
    "run.log",
    FRAMEWORK_EVENT,
    MODEL_FAILED,
    MODEL_HEDGED,
)
TERMINAL_EVENTS = frozenset({"run.succeeded", "run.failed", "run.cancelled"})


class Segment(Struct, array_like=True):
    """Events of one run that were kept together. `data` is `type SP object LF` for each of `count` events."""

    run: str
    seq: int
    count: int
    at: int
    data: bytes

    @property
    def last(self) -> int:
        return self.seq + self.count - 1

    @property
    def is_terminal(self) -> bool:
        """Whether the last event of the segment ends the run."""
        start = self.data.rfind(b"\n", 0, len(self.data) - 1) + 1
        return self.data[start : self.data.index(b" ", start)].decode() in TERMINAL_EVENTS


def line(kind: str, body: bytes) -> bytes:
    """One event as a segment holds it. `body` is a JSON object on one line."""
    return b"%b %b\n" % (kind.encode(), body)


def events_of(segment: Segment, after: int = 0) -> Iterator[tuple[int, str, bytes]]:
    """(seq, type, object) of each event of the segment with a seq over `after`."""
    seq = segment.seq
    for one in segment.data.splitlines():
        if seq > after:
            kind, _, body = one.partition(b" ")
            yield seq, kind.decode(), body
        seq += 1
