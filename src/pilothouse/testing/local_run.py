"""A run as a test looks at it: a snapshot with everything decoded, its steps and events beside it.

Nothing in it changes when the run goes on: a test that compares two moments keeps two of them. Who makes them, and
when, is the matter of the node under test.
"""

from typing import Any

import msgspec
from msgspec import Struct

from pilothouse.domain.event import Segment, events_of
from pilothouse.domain.journal import ENDED, StepRow
from pilothouse.domain.review import Review
from pilothouse.domain.run import Run


def decoded(payload: bytes | None) -> Any:
    return None if payload is None else msgspec.json.decode(payload)


class LocalEvent(Struct, frozen=True):
    """`body` is what the event tells, beside its number, its type and its instant."""

    seq: int
    type: str
    at: int
    body: dict[str, Any]


class LocalStep(Struct, frozen=True):
    """`error` has code, message and hint."""

    key: str
    kind: str
    name: str
    status: str
    tries: int
    input: Any
    output: Any
    error: dict[str, Any] | None


class LocalRun(Struct, frozen=True, kw_only=True):
    """`error` has code, message and hint; `steps` and `events` are empty for a run that is not kept."""

    id: str
    agent: str
    status: str
    session: str | None
    attempt: int
    input: Any
    output: Any
    error: dict[str, Any] | None
    usage: dict[str, Any] | None
    steps: tuple[LocalStep, ...]
    events: tuple[LocalEvent, ...]
    run: Run
    """The run as the records have it."""

    @property
    def deltas(self) -> list[Any]:
        """What the agent emitted."""
        return [event.body["delta"] for event in self.events if event.type == "output.delta"]

    def step(self, name: str) -> LocalStep:
        """The first step of this name. Raises `LookupError`."""
        for step in self.steps:
            if step.name == name:
                return step
        raise LookupError(f"the run has no step {name!r}; it has {[step.name for step in self.steps]}")


class LocalReview(Struct, frozen=True):
    id: str
    run: str
    agent: str
    kind: str
    question: str
    details: dict[str, Any]
    status: str
    expires_at: int | None


def run_view(run: Run, rows: list[StepRow], segments: list[Segment]) -> LocalRun:
    return LocalRun(
        id=run.id,
        agent=run.agent,
        status=run.status,
        session=run.session,
        attempt=run.attempt,
        input=decoded(run.input),
        output=decoded(run.output),
        error=decoded(run.error),
        usage=decoded(run.usage),
        steps=tuple(step_view(row) for row in merged(rows)),
        events=tuple(event for segment in segments for event in events_in(segment)),
        run=run,
    )


def merged(rows: list[StepRow]) -> list[StepRow]:
    """One row for each step: its end when it has one."""
    found: dict[str, StepRow] = {}
    for row in rows:
        if row.key not in found or row.phase == ENDED:
            found[row.key] = row
    return list(found.values())


def step_view(row: StepRow) -> LocalStep:
    return LocalStep(
        row.key, row.kind, row.name, row.status, row.tries, decoded(row.input), decoded(row.output), decoded(row.error)
    )


def events_in(segment: Segment) -> list[LocalEvent]:
    return [LocalEvent(seq, kind, segment.at, decoded(body)) for seq, kind, body in events_of(segment)]


def review_view(review: Review) -> LocalReview:
    return LocalReview(
        review.id,
        review.run,
        review.agent,
        review.kind,
        review.question,
        decoded(review.details),
        review.status,
        review.expires_at,
    )
