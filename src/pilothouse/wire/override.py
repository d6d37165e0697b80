"""Overrides as JSON: who superseded what, why, and what the original was.

A run or a review shows what is in force, with the last override and the original beside it; its list of overrides
shows all of them.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from pilothouse.domain.override import Override, in_force, read_overrides
from pilothouse.domain.review import Verdict
from pilothouse.wire.instant import stamp
from pilothouse.wire.payload import AnyJson, Instant, null, raw_if

Reason = Annotated[str, Meta(min_length=1, max_length=1000)]
Agent = Annotated[str, Meta(min_length=1, max_length=64)]
Times = Annotated[int, Meta(ge=0, le=1000)]


class OverrideRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """`output`: what is in force from now on; left out, what was. `superseded`: how many overrides you have seen; when
    there are others, nothing is changed. `compensate`: the agent that corrects what was done. The reason goes into the
    audit log as it is, where it can never be erased: name no person in it."""

    reason: Reason
    output: AnyJson | UnsetType = UNSET
    superseded: Times | None = None
    compensate: Agent | None = None


class ReviewOverrideRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The answer that is in force from now on. As in a decision, `edited` belongs to `edit` and `response` to
    `respond`."""

    verdict: Verdict
    reason: Reason
    edited: AnyJson = field(default_factory=null)
    response: Annotated[str, Meta(max_length=100_000)] = ""
    superseded: Times | None = None
    compensate: Agent | None = None


class OverrideView(Struct, kw_only=True):
    """`number` counts from 1. `original` is what it was before any override; `changed` are JSON pointers to what
    differs from what was in force before this one."""

    id: str
    number: int
    by: str
    at: Instant
    reason: str
    changed: list[str]
    original: AnyJson | None
    compensation: str | None


class PastOverrideView(OverrideView, kw_only=True):
    """`value`: what it put in force; null when it left that as it was."""

    value: AnyJson | None


class OverridePage(Struct):
    """The oldest first; all there are."""

    items: list[PastOverrideView]
    next_cursor: str | None


def _facts(number: int, one: Override, original: bytes | None) -> dict[str, Any]:
    return {
        "id": one.id,
        "number": number,
        "by": one.by,
        "at": stamp(one.at),
        "reason": one.reason,
        "changed": list(one.changed),
        "original": raw_if(original),
        "compensation": one.compensation,
    }


def mark_overridden(original: bytes | None, overrides: bytes) -> tuple[Raw | None, OverrideView]:
    """What is in force, and the override that put it so, or left it."""
    found = read_overrides(overrides)
    return raw_if(in_force(original, found)), OverrideView(**_facts(len(found), found[-1], original))


def override_page(original: bytes | None, overrides: bytes | None) -> OverridePage:
    found = read_overrides(overrides)
    items = [
        PastOverrideView(**_facts(number, one, original), value=raw_if(in_force(None, (one,))))
        for number, one in enumerate(found, 1)
    ]
    return OverridePage(items, None)
