"""The decision: what an agent decides about people, and who must be treated alike.

An agent declares where its output says the outcome, which outcomes favour somebody, and which attributes of people are
protected. The attributes of somebody are never in a run: they are recorded beside it, under a scope of their own, and
only the figures of an audit come out (see `bias`).
"""

from typing import Any

import msgspec
from msgspec import Struct

ATTRIBUTES_LIMIT = 10


class Decision(Struct, frozen=True, kw_only=True):
    """`outcome`: the dotted path of the outcome in the output, as in `result.granted`; empty: the output itself.
    `favourable`: the outcomes that favour somebody. `groups`: the protected attributes. `minimum`: cases of a group
    from which on it is judged."""

    outcome: str = ""
    favourable: tuple[bool | int | str, ...] = (True,)
    groups: tuple[str, ...] = ()
    minimum: int = 30

    def __post_init__(self) -> None:
        if not self.favourable:
            raise ValueError("favourable is empty; name the outcomes that favour somebody, as in [true]")
        if not 0 < len(self.groups) <= ATTRIBUTES_LIMIT:
            raise ValueError(f'groups has {len(self.groups)}; name 1 to {ATTRIBUTES_LIMIT}, as in ["sex", "age_band"]')
        if self.minimum < 1:
            raise ValueError(f"minimum is {self.minimum}; it is 1 or more")

    def is_favourable(self, output: bytes | None) -> bool | None:
        """Whether this output favours somebody; None: it does not say."""
        if output is None:
            return None
        found = at_path(msgspec.json.decode(output), self.outcome)
        if found is MISSING or isinstance(found, dict | list) or found is None:
            return None
        return any(type(found) is type(one) and found == one for one in self.favourable)


MISSING: Any = object()


def at_path(document: Any, path: str) -> Any:
    """The value at a dotted path of names; the empty path is the document. `MISSING` where there is none."""
    for name in path.split(".") if path else ():
        if not isinstance(document, dict) or name not in document:
            return MISSING
        document = document[name]
    return document
