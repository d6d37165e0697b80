"""The scratch of agents: short-term state beside the journal, which may be lost at any moment.

A **place** is what belongs together: the scratch of one session or of one agent, always of one tenant. What a place may
hold is bounded; what it holds ends by itself. Nothing here is part of a run's truth: an agent that finds its scratch
empty is slower, never wrong.
"""

import re
from hashlib import sha256
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

ScratchVerb = Literal["get", "put", "delete", "incr"]
ScratchVerdict = Literal["ok", "full", "too_large", "not_a_number", "unavailable"]

KEY = re.compile(r"[^\x00-\x1f\x7f]{1,200}\Z")
TTL = 3600.0
TTL_AT_MOST = 7 * 24 * 3600.0
"""Seconds that an entry lives, unless the agent says otherwise, and at most."""
BY_AT_MOST = 2**31
"""How much a counter may be moved at once."""


class ScratchWish(Struct, frozen=True, array_like=True):
    """What an attempt wants of its scratch. `is_agents`: of that of the agent, though the run has a session. `value` is
    JSON; `ttl` seconds."""

    verb: ScratchVerb
    key: str
    is_agents: bool = False
    value: bytes = b""
    by: int = 1
    ttl: float = TTL


class ScratchAnswer(Struct, frozen=True, array_like=True):
    """`value`: what was found, None: nothing. `number`: a counter, or the limit that stands in the way."""

    verdict: ScratchVerdict
    value: bytes | None = None
    number: int = 0


class ScratchLimits(Struct, frozen=True):
    """`value_bytes` of one entry, `keys` of one place."""

    value_bytes: int = 64 * 1024
    keys: int = 1000


def place_of(tenant: str, agent: str, session: str | None) -> str:
    """The name of a place. The tenant is readable in it; the session's key, which may be somebody's name, is not."""
    names = "\0".join((tenant, agent) if session is None else (tenant, agent, session))
    return f"{quote(tenant, safe='')}:{sha256(names.encode()).hexdigest()[:40]}"
