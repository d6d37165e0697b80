"""Long payloads aside: a column holds a payload, or a NUL byte and the digest of a row in `payload`.

JSON never begins with NUL, so a reader can tell them apart. Aside means that tables of rows stay dense: whoever lists
steps does not read megabytes. The same content is kept once in a tenant, and as long as somebody uses it.
Hashing and writing are the writer's work; reads put the payload back in place.
"""

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from pilothouse.storage.records.statements import Database, ask

LIMIT = 16 * 1024
"""Bytes of a payload that stay in their row."""

NUL = b"\x00"
MARK_SIZE = 33


class Spilled(Struct, frozen=True):
    """A payload on its way to the table, and who uses it."""

    tenant: str
    owner: str
    digest: bytes
    content: bytes


def digest_of(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()


def is_mark(value: bytes | None) -> bool:
    """Whether a column that was read is a reference."""
    return value is not None and value[:1] == NUL


def unspill(connection: Database, tenant: str, value: bytes | None) -> bytes | None:
    """The payload of a column that was read."""
    if value is None or value[:1] != NUL:
        return value
    rows: Sequence[tuple[bytes]] = ask(connection, "get_payload", tenant=tenant, digest=value[1:])
    return rows[0][0]


def owner_of_turns(agent: str, key: str) -> str:
    return f"{agent}\n{key}"


def owner_of_state(agent: str, key: str) -> str:
    return f"{agent}\n{key}\nstate"
