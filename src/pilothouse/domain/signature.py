"""Signatures of webhooks as Standard Webhooks has them (standardwebhooks.com, specification 1.0).

A message has an id that stays the same on every try, the second in which it was sent, and one signature for each secret
that counts: two while a secret is replaced, so that neither side has to change in the same moment. Comparing takes the
same time whatever is compared.
"""

import binascii
import hmac
from base64 import b64decode, b64encode

PREFIX = "whsec_"
SECRET_LEAST, SECRET_MOST = 16, 512
"""Bytes of a secret. The specification wants 24 to 64; longer and slightly shorter ones are in use."""
TOLERANCE = 300
"""Seconds by which the clock of the sender may differ from ours; a message that is older could be a replay."""


def read_secret(text: str) -> bytes:
    """The key of a secret `whsec_` with Base64 after it. Raises ValueError, which does not repeat the secret."""
    try:
        key = b64decode(text.removeprefix(PREFIX).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if not text.startswith(PREFIX) or not SECRET_LEAST <= len(key) <= SECRET_MOST:
        raise ValueError(f"a secret is {PREFIX} and 24 or more random bytes in Base64: openssl rand -base64 32")
    return key


def sign(keys: tuple[bytes, ...], message: str, at: int, body: bytes) -> str:
    """The value of `webhook-signature`. `at`: seconds since 1970."""
    return " ".join(f"v1,{_digest(key, message, str(at), body)}" for key in keys)


def verify(keys: tuple[bytes, ...], message: str, at: str, signatures: str, body: bytes, now: float) -> str | None:
    """What is wrong with a message that says it was signed with one of the keys; None: nothing."""
    if not at.isascii() or not at.isdigit() or len(at) > 12:
        return "its timestamp is no number of seconds"
    if abs(now - int(at)) > TOLERANCE:
        return f"its timestamp is more than {TOLERANCE} s from now"
    given = [text.partition(",")[2] for text in signatures.split(" ")[:10] if text.startswith("v1,")]
    wanted = [_digest(key, message, at, body) for key in keys]
    if any(hmac.compare_digest(one.encode(), other.encode()) for one in given for other in wanted):
        return None
    return "its signature is not one of ours"


def _digest(key: bytes, message: str, at: str, body: bytes) -> str:
    return b64encode(hmac.digest(key, f"{message}.{at}.".encode() + body, "sha256")).decode()
