"""The node as JSON: how its worker stands, and what it was told.

For operators. The value of a setting is what counts now; what may hold a secret was masked before it came here.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from pilothouse.wire.payload import Instant


class HostView(Struct, kw_only=True):
    """A process that runs agents, or the node's own. `taken` and `free` are places of attempts."""

    name: str
    is_up: bool
    agents: list[str]
    taken: int
    free: int
    memory_bytes: int
    """Resident; 0: not measured."""


class NodeView(Struct, kw_only=True):
    """`owner`: the name under which its worker holds leases. `attempts`: how many it works on now."""

    owner: str
    version: str
    started_at: Instant
    is_draining: bool
    attempts: int
    hosts: list[HostView]


class SettingView(Struct, kw_only=True):
    """`source`: `default`, or who set it: a file, a variable, a flag. `value` null: nobody did."""

    name: str
    value: Annotated[Any, Meta(extra_json_schema={"description": "Any JSON value."})]
    source: str


class SettingPage(Struct):
    """By section."""

    items: list[SettingView]
    next_cursor: str | None
