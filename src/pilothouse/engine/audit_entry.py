"""What the audit log says of a transition: one entry, handed over in the Change that it tells of (I12).

Who, what, when, and what it was about; never a payload. Inputs, outputs, arguments, answers and the names that callers
choose are in it as digests under a key of the subject: they prove what was decided as long as the payload is there to
be compared, and say nothing once the subject is erased and the key with it, while the tree goes on verifying.
"""

import hmac
from collections import OrderedDict
from typing import Any

from pilothouse.engine.encoding import encode, instant
from pilothouse.ports.change import AppendAudit

NODE = "node"
"""Who acts when no principal asked for it: a timer, a sweep, a lost lease."""

SEALS = 8192
"""Keys of subjects that are remembered."""

DIGEST_SIZE = 16
"""Bytes of HMAC-SHA-256 that are shown."""


def entry(tenant: str, id: str, at: int, kind: str, by: str, **facts: Any) -> AppendAudit:
    """The entry about `id`. Facts that are None are left out."""
    body = {"at": instant(at), "kind": kind, "id": id, "by": by}
    body.update({name: value for name, value in facts.items() if value is not None})
    return AppendAudit(tenant, id, encode(body))


class Seals:
    """The keys of subjects that this node used last; `None` stands for what has no subject. The truth is a document of
    the records."""

    def __init__(self) -> None:
        self._keys: OrderedDict[tuple[str, str | None], bytes] = OrderedDict()

    def put(self, tenant: str, subject: str | None, key: bytes) -> None:
        self._keys[tenant, subject] = key
        if len(self._keys) > SEALS:
            self._keys.popitem(last=False)

    def knows(self, tenant: str, subject: str | None) -> bool:
        return (tenant, subject) in self._keys

    def forget(self, tenant: str, subject: str | None) -> None:
        self._keys.pop((tenant, subject), None)

    def digest(self, tenant: str, subject: str | None, payload: bytes | str | None) -> str | None:
        """`hmac:` and 32 hex digits; None for nothing, and while the key is not known here."""
        key = self._keys.get((tenant, subject))
        if key is None or payload is None:
            return None
        return digest_under(key, payload.encode() if isinstance(payload, str) else payload)


def digest_under(key: bytes, payload: bytes) -> str:
    return "hmac:" + hmac.digest(key, payload, "sha256")[:DIGEST_SIZE].hex()
