"""The audit log as JSON: entries exactly as they are hashed, and the checkpoint as the signed note it is.

An item is the bytes of a leaf, so a client that keeps them unchanged can verify them against a checkpoint.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Raw, Struct

from pilothouse.domain.evidence import AuditSegment, leaves_of

AuditEntry = Annotated[
    Raw,
    Meta(
        extra_json_schema={
            "type": "object",
            "properties": {
                "seq": {"type": "integer", "minimum": 1},
                "at": {"type": "string"},
                "kind": {"type": "string"},
                "id": {"type": "string"},
                "by": {"type": "string"},
            },
            "required": ["seq", "at", "kind", "id", "by"],
        }
    ),
]


class AuditPage(Struct):
    """In the order of their numbers; `next_cursor` is the next `after`."""

    items: list[AuditEntry]
    next_cursor: str | None


class CheckpointView(Struct):
    """`note` is a signed note (C2SP) over the first `size` entries; `key` verifies it."""

    note: str
    size: int
    key: str


def audit_page(segments: Sequence[AuditSegment], after: int, limit: int) -> AuditPage:
    items: list[Raw] = []
    last = after
    for segment in segments:
        for last, leaf in leaves_of(segment, after):
            items.append(Raw(leaf))
            if len(items) == limit:
                return AuditPage(items, str(last))
    return AuditPage(items, None)
