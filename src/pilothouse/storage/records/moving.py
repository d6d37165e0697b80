"""Which payloads may become blobs, and the moment in which they do: within the writer's transaction.

Only what nobody but runs uses, all of which have ended. What a run that lives brings again is put back by
`keep_payload`, so whatever writes finds it here. On PostgreSQL the row is locked before it is looked at.
"""

from collections.abc import Sequence

from msgspec import Struct

from pilothouse.storage.records.payload import moved_to, name_of
from pilothouse.storage.records.statements import Database, ask, many


class Idle(Struct, frozen=True):
    """A payload that may be moved."""

    pos: int
    tenant: str
    digest: bytes
    content: bytes


def idle_payloads(connection: Database, after: int, before: int, size: int, limit: int) -> list[Idle]:
    """Of at least `size` bytes, behind a position, whose runs ended before the instant; in the order of positions."""
    rows = ask(connection, "idle_payloads", place=after, before=before, size=size, limit=limit)
    return [Idle(*row) for row in rows]


def mark_moved(connection: Database, moved: Sequence[tuple[Idle, str]]) -> int:
    """From the commit on, the blobs of these names have what is still idle. Returns how many."""
    rows = [(idle.tenant, idle.digest, moved_to(name)) for idle, name in moved]
    return len(many(connection, "move_payloads", rows))


def blob_of(connection: Database, tenant: str, digest: bytes) -> str | None:
    """The name of the blob that counts for this content; None: none does."""
    rows = ask(connection, "get_payload", tenant=tenant, digest=digest)
    return name_of(rows[0][0]) if rows else None
