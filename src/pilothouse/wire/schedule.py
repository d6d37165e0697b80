"""The schedule as JSON: its rule, what it starts, and when it fires next.

What a caller sends and what everybody sees have the same keys, so that a schedule can be read, changed and sent again.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from pilothouse.domain.schedule import Misfire, Overlap, Rule, Schedule
from pilothouse.wire.instant import stamp, stamp_if
from pilothouse.wire.payload import AnyJson, Instant, null

DAY = 86_400.0
ScheduleName = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
Text = Annotated[str, Meta(min_length=1, max_length=256)]


class ScheduleRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """One of `cron` (five fields, or six with seconds first), `every_seconds` and `at` (once)."""

    name: ScheduleName
    agent: Text
    cron: Text | None = None
    every_seconds: Annotated[float, Meta(ge=1, le=366 * DAY)] | None = None
    at: Text | None = None
    zone: Text = "UTC"
    input: AnyJson = field(default_factory=null)
    session: Text | None = None
    subject: Text | None = None
    metadata: dict[str, Any] = {}
    misfire: Misfire = "once"
    overlap: Overlap = "skip"
    jitter_seconds: Annotated[float, Meta(ge=0, le=DAY)] = 0.0


class ScheduleView(Struct, kw_only=True):
    """`next_at`: the next firing, without its jitter. `last_run`: what the last firing became. `left_out`: firings that
    became no run, because they were missed or the run before still lived. `waiting`: firings that wait for it."""

    name: str
    agent: str
    status: Literal["active", "paused"]
    cron: str | None
    every_seconds: float | None
    at: str | None
    zone: str
    input: AnyJson
    session: str | None
    subject: str | None
    metadata: dict[str, Any]
    misfire: Misfire
    overlap: Overlap
    jitter_seconds: float
    origin: Literal["file", "api"]
    next_at: Instant | None
    last_at: Instant | None
    last_run: str | None
    waiting: int
    left_out: int
    problem: str | None


class SchedulePage(Struct):
    """In the order in which they were made."""

    items: list[ScheduleView]
    next_cursor: str | None


class FiringPage(Struct):
    """The next firings, jitter included; fewer than asked for when the rule has no more."""

    items: list[Instant]


def schedule_of(asked: ScheduleRequest) -> Schedule:
    return Schedule(
        name=asked.name,
        agent=asked.agent,
        rule=Rule(cron=asked.cron, every_seconds=asked.every_seconds, at=asked.at, zone=asked.zone),
        input=asked.input,
        session=asked.session,
        subject=asked.subject,
        metadata=asked.metadata,
        misfire=asked.misfire,
        overlap=asked.overlap,
        jitter_seconds=asked.jitter_seconds,
    )


def schedule_view(schedule: Schedule, status: str) -> ScheduleView:
    rule = schedule.rule
    return ScheduleView(
        name=schedule.name,
        agent=schedule.agent,
        status="paused" if status == "paused" else "active",
        cron=rule.cron,
        every_seconds=rule.every_seconds,
        at=rule.at,
        zone=rule.zone,
        input=schedule.input,
        session=schedule.session,
        subject=schedule.subject,
        metadata=schedule.metadata,
        misfire=schedule.misfire,
        overlap=schedule.overlap,
        jitter_seconds=schedule.jitter_seconds,
        origin=schedule.origin,
        next_at=stamp_if(schedule.next_at),
        last_at=stamp_if(schedule.last_at),
        last_run=schedule.last_run,
        waiting=len(schedule.waiting),
        left_out=schedule.left_out,
        problem=schedule.problem,
    )


def firing_page(firings: list[int]) -> FiringPage:
    return FiringPage([stamp(at) for at in firings])
