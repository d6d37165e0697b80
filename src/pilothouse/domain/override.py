"""The override: a decision that supersedes an outcome or another decision, without touching it (G4).

The original stays where it is, for the evidence; beside it stands a list of overrides, each with who, when, why, what
is in force instead and where the two differ. The last one is what readers get. An override may leave the value as it is
and only start a compensation run, which corrects in the world what was done.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

OVERRIDES_LIMIT = 50
"""How often one outcome may be superseded."""
CHANGED_LIMIT = 50
"""Places that are named; what differs in more of them differs as a whole."""


class Override(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`value` is what is in force from then on (JSON), unset: what was. `changed`: JSON pointers (RFC 6901) to what
    differs from what was in force before."""

    id: str
    by: str
    at: int
    reason: str
    value: Raw | UnsetType = UNSET
    changed: tuple[str, ...] = ()
    compensation: str | None = None
    """The run that corrects what was done."""


_read = msgspec.json.Decoder(tuple[Override, ...]).decode


def read_overrides(overrides: bytes | None) -> tuple[Override, ...]:
    """The oldest first."""
    return () if overrides is None else _read(overrides)


def in_force(original: bytes | None, overrides: Sequence[Override]) -> bytes | None:
    """The JSON that counts now."""
    for one in reversed(overrides):
        if isinstance(one.value, Raw):
            return bytes(one.value)
    return original


def changed_places(before: bytes | None, after: bytes | None) -> tuple[str, ...]:
    """JSON pointers to the innermost places where two documents differ; the empty one is the whole document."""
    old = None if before is None else msgspec.json.decode(before)
    new = None if after is None else msgspec.json.decode(after)
    found: list[str] = []
    for place in _differences(old, new, ""):
        found.append(place)
        if len(found) > CHANGED_LIMIT:
            return ("",)
    return tuple(found)


def _differences(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            inner = f"{place}/{name.replace('~', '~0').replace('/', '~1')}"
            if name in old and name in new:
                yield from _differences(old[name], new[name], inner)
            else:
                yield inner
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from _differences(left, right, f"{place}/{number}")
    elif old != new or isinstance(old, bool) is not isinstance(new, bool):
        yield place
