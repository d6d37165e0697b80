"""Ed25519 keys: the one that signs checkpoints of the audit log, and whoever verifies them with the public one.

The private key is a PEM file that only its owner may read; it is made at the first start and never leaves the node.
Nothing else here knows `cryptography`. It is imported with the first signature: a node whose audit log does not grow
need not hold its 8 MB. A private key is 32 random bytes (RFC 8032, 5.1.5), so one is made, and read, without it.
"""

import os
import secrets
import tempfile
from base64 import b64decode, b64encode
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pilothouse.errors import SettingsInvalid
from pilothouse.ports.evidence import Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED_BYTES = 32
HEAD, TAIL = b"-----BEGIN PRIVATE KEY-----\n", b"\n-----END PRIVATE KEY-----\n"
BEFORE_SEED = bytes.fromhex("302e020100300506032b657004220420")
"""PKCS #8 of an Ed25519 key (RFC 8410, 7): version 0, its object identifier, and the lengths of what follows."""
LINE = (len(BEFORE_SEED) + SEED_BYTES) * 4 // 3
"""Characters between head and tail: 48 bytes in base 64."""


class SigningKey(Signer):
    """`name` stands in every signature, and in the origin of every log that is signed with it. `seed`: the private key,
    32 bytes; a new one when none is given."""

    def __init__(self, name: str, seed: bytes | None = None) -> None:
        self.name = name
        self._seed = secrets.token_bytes(SEED_BYTES) if seed is None else seed

    @cached_property
    def _key(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed)

    @cached_property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, text: bytes) -> bytes:
        return self._key.sign(text)


def signing_key(name: str, path: Path | None) -> SigningKey:
    """The key of the file; one that ends with this process when there is no file, as for records in memory."""
    return SigningKey(name) if path is None else load_key(name, path)


def load_key(name: str, path: Path) -> SigningKey:
    """The key of the file; made there, readable to its owner only, when there is none. Raises `SettingsInvalid`."""
    try:
        pem = path.read_bytes() if path.exists() else _make(path)
        seed = _seed_in(pem)
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not an unencrypted private key in PEM form"
        raise SettingsInvalid(
            reason=f"the key of the audit log in {path.name} cannot be used: {reason}",
            hint="Mend the file, or name another one in audit.key_file.",
        ) from None
    if seed is None:
        raise SettingsInvalid(
            reason=f"the key of the audit log in {path.name} is not an Ed25519 key",
            hint="Make one with `openssl genpkey -algorithm ed25519`, or name a file that does not exist yet.",
        )
    return SigningKey(name, seed)


def _seed_in(pem: bytes) -> bytes | None:
    """None: a private key of another kind. Raises ValueError, TypeError for what is none, or is encrypted. What this
    file or OpenSSL wrote is read here; whatever else PEM allows is left to `cryptography`."""
    line = pem.removeprefix(HEAD).removesuffix(TAIL)
    if len(line) == LINE and pem == HEAD + line + TAIL:
        der = b64decode(line, validate=True)
        if der.startswith(BEFORE_SEED):
            return der[len(BEFORE_SEED) :]

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem, None)
    return key.private_bytes_raw() if isinstance(key, Ed25519PrivateKey) else None


def _make(path: Path) -> bytes:
    """Nodes of one folder may start at the same time, so the file gets its name only once it is whole."""
    pem = HEAD + b64encode(BEFORE_SEED + secrets.token_bytes(SEED_BYTES)) + TAIL
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # readable to its owner only
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:  # another node was faster
        return path.read_bytes()
    finally:
        os.unlink(draft)
    return pem


def is_signed_by(public: bytes, text: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True
