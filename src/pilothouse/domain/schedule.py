"""The schedule: a clock rule that starts runs without a caller (I9).

Theory: a schedule fires at instants that follow from its rule alone, each moved by a jitter that follows from its name
and the instant, so every node computes the same. A firing is due when its instant and its jitter have passed; it
becomes a run whose id follows from both, in the Change that moves the schedule on. Whoever loses that race learns it,
and a run that is there already is never made twice. What was missed while nobody looked is the matter of `misfire`,
what happens while the run before still lives that of `overlap`.
"""

import hashlib
from collections.abc import Callable
from typing import Literal

from msgspec import Raw, Struct

Misfire = Literal["skip", "once", "all"]
Overlap = Literal["skip", "queue", "replace", "allow"]
Next = Callable[[int], int | None]
"""The first instant of the rule after the given one; None: there is none."""

ON_TIME = 60 * 1_000_000
"""Microseconds by which a firing may be late and is still no misfire: a restart of a node is none."""
AT_ONCE = 100
"""Firings that one look at a schedule starts at most; the others follow in the next."""
QUEUE_LIMIT = 1000
"""Firings that wait for the run before them; more are left out."""
LEAST_EVERY = 1.0
"""Seconds between two firings of an interval."""


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of `cron` (five fields, or six with seconds first), `every_seconds` and `at` (once, RFC 3339). `zone`: an
    IANA time zone in which `cron` is read."""

    cron: str | None = None
    every_seconds: float | None = None
    at: str | None = None
    zone: str = "UTC"


class Schedule(Struct, kw_only=True, omit_defaults=True):
    """What the records keep of a schedule; instants are microseconds. `origin`: who owns it, the file of settings or
    callers of the API."""

    name: str
    agent: str
    rule: Rule
    input: Raw = Raw(b"null")
    session: str | None = None
    subject: str | None = None
    metadata: dict[str, object] = {}
    misfire: Misfire = "once"
    overlap: Overlap = "skip"
    jitter_seconds: float = 0.0
    origin: Literal["file", "api"] = "api"
    next_at: int | None = None
    """The instant of the next firing, without its jitter; None: there will be none."""
    last_at: int | None = None
    last_run: str | None = None
    waiting: list[int] = []
    """Firings that wait for the run before them to end."""
    left_out: int = 0
    """Firings that did not become a run: missed, or while the run before still lived."""
    problem: str | None = None
    """Why the last firing could not become a run."""
    made_at: int = 0
    made_by: str = ""
    """For whom its runs act: who made it by the API. Empty: the file of settings, and with it the installation."""


class Plan(Struct):
    """What one look at a schedule comes to: the firings that are to be, oldest first, how many are left out, and where
    the schedule stands afterwards."""

    firings: list[int]
    left_out: int
    next_at: int | None


def plan(schedule: Schedule, now: int, next_after: Next, last_before: Next) -> Plan:
    """`last_before`: the last instant of the rule at or before the given one."""
    at = schedule.next_at
    if at is None or at + jitter(schedule, at) > now:
        return Plan([], 0, at)
    if schedule.misfire == "all":
        return _all(schedule, now, next_after)
    last = _last_due(schedule, at, now, last_before)
    following = next_after(last)
    is_late = now - last - jitter(schedule, last) > ON_TIME
    if is_late and schedule.misfire == "skip":
        return Plan([], 1, following)
    return Plan([last], 0 if last == at else 1, following)


def _all(schedule: Schedule, now: int, next_after: Next) -> Plan:
    firings: list[int] = []
    at = schedule.next_at
    while at is not None and at + jitter(schedule, at) <= now and len(firings) < AT_ONCE:
        firings.append(at)
        at = next_after(at)
    return Plan(firings, 0, at)


def _last_due(schedule: Schedule, first: int, now: int, last_before: Next) -> int:
    """The last firing that is due: the one before it when its own jitter has not passed."""
    found = last_before(now)
    while found is not None and found > first and found + jitter(schedule, found) > now:
        found = last_before(found - 1)
    return first if found is None else max(first, found)


def jitter(schedule: Schedule, at: int) -> int:
    """Microseconds by which the firing at this instant is moved: less than `jitter_seconds`, the same on every node."""
    if schedule.jitter_seconds <= 0:
        return 0
    key = hashlib.blake2b(f"{schedule.name}\n{at}".encode(), digest_size=8).digest()
    return int(int.from_bytes(key) / 2**64 * schedule.jitter_seconds * 1e6)


def firing_run_id(tenant: str, name: str, at: int) -> str:
    """The id of the run that this firing is: the same whoever fires it, and however often."""
    return "run_" + hashlib.blake2b(f"schedule\n{tenant}\n{name}\n{at}".encode(), digest_size=16).hexdigest()
