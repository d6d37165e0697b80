"""Long payloads aside: a column holds a payload, or a NUL byte and the digest of a row in `payload`.

JSON never begins with NUL, so a reader can tell them apart. Aside means that tables of rows stay dense: whoever lists
steps does not read megabytes. The same content is kept once in a tenant, and as long as somebody uses it.
Hashing and writing are the writer's work; reads put the payload back in place.
"""

import hashlib
from collections.abc import Sequence
from contextvars import ContextVar

from msgspec import Struct

from pilothouse.errors import RecordsInvalid
from pilothouse.storage.records.statements import Database, ask

LIMIT = 16 * 1024
"""Bytes of a payload that stay in their row."""

NUL = b"\x00"
MARK_SIZE = 33
MOVED = b"\x00blob\x00"


class Fetched:
    """Blobs that a read needs. What is not here yet is noted, and the read is made again when it is."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.missing: dict[str, bytes] = {}
        """By name, the digest that the content has to have."""

    def take(self, name: str, digest: bytes) -> bytes:
        content = self.contents.get(name)
        if content is None:
            self.missing[name] = digest
        return b"null" if content is None else content


class Nowhere(Fetched):
    """Where nobody can fetch a blob: in what writes, which asks only for what live runs need, and that is never moved;
    and in records to which no blobs were given."""

    def take(self, name: str, digest: bytes) -> bytes:
        raise RecordsInvalid(
            reason=f"the blob {name} is needed",
            hint="Set blobs.url as it was when long payloads were moved there.",
        )


here: ContextVar[Fetched] = ContextVar("here", default=Nowhere())  # noqa: B039 - it holds nothing


class Spilled(Struct, frozen=True):
    """A payload on its way to the table, and who uses it."""

    tenant: str
    owner: str
    digest: bytes
    content: bytes


def digest_of(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()


def moved_to(name: str) -> bytes:
    """What stands in the place of a content that is a blob now. No content that is kept aside begins so."""
    return MOVED + name.encode()


def name_of(content: bytes) -> str | None:
    """The blob that has it; None: it is here."""
    return content[len(MOVED) :].decode() if content.startswith(MOVED) else None


def is_mark(value: bytes | None) -> bool:
    """Whether a column that was read is a reference."""
    return value is not None and value[:1] == NUL


def unspill(connection: Database, tenant: str, value: bytes | None) -> bytes | None:
    """The payload of a column that was read."""
    if value is None or value[:1] != NUL:
        return value
    rows: Sequence[tuple[bytes]] = ask(connection, "get_payload", tenant=tenant, digest=value[1:])
    content = rows[0][0]
    name = name_of(content)
    return content if name is None else here.get().take(name, value[1:])


def owner_of_turns(agent: str, key: str) -> str:
    return f"{agent}\n{key}"


def owner_of_state(agent: str, key: str) -> str:
    return f"{agent}\n{key}\nstate"
