"""The invariants of runs as checkers: each gives the breaches it finds, and nothing when the invariant holds.

They look at what the outside could see: events that became durable, effects in the order in which they happened, and
what is kept in the end. A `Witness` writes both down in one order while a node lives, crashes and lives again. None is
told what went wrong in between. Each is shown to fail on a planted bug in `tests/testing/test_invariants.py`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from pilothouse.domain.event import TERMINAL_EVENTS, Segment, events_of
from pilothouse.domain.journal import WAITS
from pilothouse.domain.run import TERMINAL
from pilothouse.testing.local_run import LocalEvent, LocalRun, decoded


class Effect(Struct, frozen=True):
    """Something that a step did to the world: which effect it was, and the idempotency key that it showed."""

    name: str
    key: str


class Witness:
    """`hear` durable segments, and `see` effects; `marks` has both in order."""

    def __init__(self) -> None:
        self.marks: list[Effect | Segment] = []

    def hear(self, segment: Segment) -> None:
        self.marks.append(segment)

    def see(self, name: str, key: str) -> None:
        self.marks.append(Effect(name, key))

    @property
    def effects(self) -> Counter[str]:
        return Counter(mark.name for mark in self.marks if isinstance(mark, Effect))

    @property
    def segments(self) -> list[Segment]:
        return [mark for mark in self.marks if isinstance(mark, Segment)]


def check_one_end(run: LocalRun) -> list[str]:
    """I1: the run has ended, its events tell one end, that one, and nothing after it."""
    ends = [event.type for event in run.events if event.type in TERMINAL_EVENTS]
    if run.status not in TERMINAL:
        return [f"I1: {run.id} has not ended: {run.status}"]
    if ends != [f"run.{run.status}"] or run.events[-1].type != ends[0]:
        return [f"I1: {run.id} is {run.status}; its events tell {ends} and close with {run.events[-1].type}"]
    return []


def check_stays_ended(earlier: LocalRun, later: LocalRun) -> list[str]:
    """I1: what has ended stays as it is."""
    return [] if earlier == later else [f"I1: {earlier.id} changed after its end"]


def check_step_once(marks: Iterable[Effect | Segment]) -> list[str]:
    """I2: no effect of a step after its result was kept, and one idempotency key for all tries of one effect."""
    breaches, kept, keys = [], set[str](), defaultdict[str, set[str]](set)
    for mark in marks:
        if isinstance(mark, Effect):
            keys[mark.name].add(mark.key)
            if mark.key in kept:
                breaches.append(f"I2: {mark.name} happened again after its result was kept")
        else:
            for _, kind, body in events_of(mark):
                if kind == "step.finished":
                    kept.add(f"{mark.run}:{decoded(body)['key']}")
    shown = [f"I2: {name} showed the keys {sorted(found)}" for name, found in keys.items() if len(found) > 1]
    return breaches + shown


def check_gapless(segments: Sequence[Segment]) -> list[str]:
    """I3: of one run, seq is 1..n without gap or repeat."""
    seqs = [seq for segment in segments for seq, _, _ in events_of(segment)]
    counts = sum(segment.count for segment in segments)
    if seqs != list(range(1, len(seqs) + 1)) or counts != len(seqs):
        return [f"I3: seq is {seqs}, and the segments count {counts} events"]
    return []


def check_seen_is_kept(seen: Iterable[Segment], kept: Mapping[str, Sequence[Segment]]) -> list[str]:
    """I5 and I3: whatever was handed to a reader is in the records, with the same bytes."""
    there = {
        (segment.run, seq): (kind, body)
        for segments in kept.values()
        for segment in segments
        for seq, kind, body in events_of(segment)
    }
    return [
        f"I5: event {seq} of {segment.run} was seen as {kind}, and the records have {there.get((segment.run, seq))}"
        for segment in seen
        for seq, kind, body in events_of(segment)
        if there.get((segment.run, seq)) != (kind, body)
    ]


def check_fencing(run: LocalRun) -> list[str]:
    """I6: once a run was given back or parked, its attempt writes nothing until another one holds it."""
    breaches, is_held = [], False
    for event in run.events:
        if event.type in ("run.started", "run.resumed"):
            is_held = True
        elif event.type in ("run.queued", "run.waiting"):
            is_held = False
        elif not is_held and event.type not in TERMINAL_EVENTS and not _is_from_outside(event):
            breaches.append(f"I6: {event.type} (event {event.seq} of {run.id}) was written while nobody held the run")
    return breaches


def _is_from_outside(event: LocalEvent) -> bool:
    """Whether others than an attempt may tell it: the end of a wait, but not that of a step."""
    return event.type == "review.decided" or (event.type == "step.finished" and event.body["kind"] in WAITS)


def check_intake(answers: Iterable[tuple[str, str]]) -> list[str]:
    """I7: (idempotency key, run) of each acknowledgement: one key, one run."""
    runs = defaultdict[str, set[str]](set)
    for key, run in answers:
        runs[key].add(run)
    return [f"I7: the key {key!r} made the runs {sorted(found)}" for key, found in runs.items() if len(found) > 1]
