"""What an examination of `pilothouse doctor` gives.

One question, one answer, and advice when it is a bad one; in a place of its own since examinations are in several.
"""

from typing import Literal

from msgspec import Struct

Outcome = Literal["ok", "warn", "fail"]


class Examined(Struct, frozen=True):
    """`says` is what was found, `advice` what to do about it; empty when all is well."""

    name: str
    outcome: Outcome
    says: str
    advice: str = ""
