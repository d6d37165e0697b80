"""A refusal as JSON: `application/problem+json` (RFC 9457) with the stable code and the next step.

The fields are a translation of `PilothouseError`; which status goes with which code is the business of whoever serves
HTTP.
"""

from msgspec import UNSET, Struct, UnsetType


class Fault(Struct):
    """One thing that does not fit: where (`$.session`, `query.limit`), and what was expected there."""

    path: str
    message: str


class Problem(Struct, kw_only=True, omit_defaults=True):
    """What went wrong, for people and programs. `type` is the address of its explanation."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str
    run: str | UnsetType = UNSET
    faults: list[Fault] | UnsetType = UNSET
