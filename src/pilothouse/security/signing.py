"""Ed25519 keys: the one that signs checkpoints of the audit log, and whoever verifies them with the public one.

The private key is a PEM file that only its owner may read; it is made at the first start and never leaves the node.
Nothing else here knows `cryptography`.
"""

import os
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from pilothouse.errors import SettingsInvalid
from pilothouse.ports.evidence import Signer


class SigningKey(Signer):
    """`name` stands in every signature, and in the origin of every log that is signed with it."""

    def __init__(self, name: str, key: Ed25519PrivateKey | None = None) -> None:
        self.name = name
        self._key = key or Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, text: bytes) -> bytes:
        return self._key.sign(text)


def signing_key(name: str, path: Path | None) -> SigningKey:
    """The key of the file; one that ends with this process when there is no file, as for records in memory."""
    return SigningKey(name) if path is None else load_key(name, path)


def load_key(name: str, path: Path) -> SigningKey:
    """The key of the file; made there, readable to its owner only, when there is none. Raises `SettingsInvalid`."""
    try:
        pem = path.read_bytes() if path.exists() else _make(path)
        key = load_pem_private_key(pem, None)
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not an unencrypted private key in PEM form"
        raise SettingsInvalid(
            reason=f"the key of the audit log in {path.name} cannot be used: {reason}",
            hint="Mend the file, or name another one in audit.key_file.",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsInvalid(
            reason=f"the key of the audit log in {path.name} is not an Ed25519 key",
            hint="Make one with `openssl genpkey -algorithm ed25519`, or name a file that does not exist yet.",
        )
    return SigningKey(name, key)


def _make(path: Path) -> bytes:
    """Nodes of one folder may start at the same time, so the file gets its name only once it is whole."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
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
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True
