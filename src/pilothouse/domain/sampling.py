"""Sampling: which finished runs a person looks at, so that nobody can predict it and anybody can check it (G7).

A run is chosen when a keyed hash of its id falls under the rate: under a key of the tenant that never leaves the
records, so neither the agent nor whoever starts it can tell beforehand, and the choice can be repeated afterwards.
Where too few of a stratum were chosen in a period, those with the smallest hashes are added: as unpredictable, and
never too few.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from pilothouse.domain.decision import MISSING, at_path

WhenFull = Literal["lower", "hold"]
STRATA_LIMIT = 5


class Plan(Struct, frozen=True, kw_only=True):
    """How runs of an agent are sampled. `rate`: the share that is wanted; `rate_now`: the one in use, lower while more
    reviews are open than `capacity`. `strata`: dotted paths into `{"input", "output", "metadata"}`; of each combination
    of their values at least `minimum` runs are looked at in each period. Never is a review answered by itself."""

    agent: str
    rate: float
    rate_now: float
    strata: tuple[str, ...] = ()
    minimum: int = 0
    period_seconds: float = 86_400.0
    capacity: int = 200
    when_full: WhenFull = "lower"
    role: str = ""
    set_by: str = ""
    set_at: int = 0
    filled_until: int = 0
    """Periods that ended before are filled up."""


class Seeded(Struct, frozen=True):
    """A case whose right answer is known, put among those to be reviewed. Nobody who decides sees this."""

    review: str
    run: str
    agent: str
    is_right: bool
    by: str
    at: int


class ReviewerFigures(Struct, frozen=True, kw_only=True):
    """Of one reviewer: seeded cases decided, how many of them rightly; of the wrong ones how many were approved."""

    reviewer: str
    decided: int
    agreed: int
    wrong_seen: int
    wrong_approved: int


def place_of(key: bytes, run: str) -> float:
    """Where a run falls between 0 and 1: HMAC-SHA-256 of its id under the key of the tenant."""
    return int.from_bytes(hmac.digest(key, run.encode(), "sha256")[:8], "big") / 2**64


def stratum_of(plan: Plan, input: bytes, output: bytes | None, metadata: bytes) -> tuple[str, ...]:
    """The values by which the run is in a stratum, as text."""
    if not plan.strata:
        return ()
    sources: dict[str, Any] = {
        "input": msgspec.json.decode(input),
        "output": None if output is None else msgspec.json.decode(output),
        "metadata": msgspec.json.decode(metadata),
    }
    return tuple(_as_text(at_path(sources, path)) for path in plan.strata)


def _as_text(value: Any) -> str:
    if value is MISSING:
        return "-"
    return value[:100] if isinstance(value, str) else msgspec.json.encode(value).decode()[:100]


def fill_up(
    plan: Plan, places: Mapping[str, float], strata: Mapping[str, tuple[str, ...]], reviewed: Sequence[str]
) -> list[str]:
    """The runs of a period that are looked at as well, so that each stratum has its minimum: those with the smallest
    places. `places` and `strata` by run; `reviewed` are looked at already."""
    have: dict[tuple[str, ...], int] = {}
    for run in reviewed:
        if run in strata:
            have[strata[run]] = have.get(strata[run], 0) + 1
    done = set(reviewed)
    added: list[str] = []
    for run in sorted(places, key=lambda run: places[run]):
        stratum = strata[run]
        if run not in done and have.get(stratum, 0) < plan.minimum:
            have[stratum] = have.get(stratum, 0) + 1
            added.append(run)
    return added


def adjusted(plan: Plan, waiting: int) -> float:
    """The rate for so many open reviews: half of it over the capacity, double again under half of that."""
    if waiting > plan.capacity:
        return plan.rate_now / 2
    return min(plan.rate, plan.rate_now * 2) if waiting * 2 < plan.capacity else plan.rate_now
