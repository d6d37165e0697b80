"""Signatures of webhooks as Standard Webhooks has them (standardwebhooks.com, specification 1.0).

A message has an id that stays the same on every try, the second in which it was sent, and one signature for each secret
that counts: two while a secret is replaced, so that neither side has to change in the same moment. Comparing takes the
same time whatever is compared.
"""

import binascii
import hmac
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode

from msgspec import Struct

PREFIX = "whsec_"
SECRET_LEAST, SECRET_MOST = 16, 512
"""Bytes of a secret. The specification wants 24 to 64; longer and slightly shorter ones are in use."""
NOT_OURS = "its signature is not one of ours"
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
    late = _is_late(at, now)
    if late is not None:
        return late
    given = [text.partition(",")[2] for text in signatures.split(" ")[:10] if text.startswith("v1,")]
    wanted = [_digest(key, message, at, body) for key in keys]
    if any(hmac.compare_digest(one.encode(), other.encode()) for one in given for other in wanted):
        return None
    return NOT_OURS


def _digest(key: bytes, message: str, at: str, body: bytes) -> str:
    return b64encode(hmac.digest(key, f"{message}.{at}.".encode() + body, "sha256")).decode()


# --- the forms of others, for messages that come ----------------------------------------------------------------------


def verify_github(keys: tuple[bytes, ...], signature: str, body: bytes) -> str | None:
    """`X-Hub-Signature-256`. https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries"""
    return None if _fits(keys, body, signature.removeprefix("sha256=")) else NOT_OURS


def verify_stripe(keys: tuple[bytes, ...], signature: str, body: bytes, now: float) -> str | None:
    """`Stripe-Signature`: t=SECONDS,v1=HEX,... https://docs.stripe.com/webhooks#verify-manually"""
    parts = [one.partition("=")[::2] for one in signature.split(",")[:20]]
    at = next((value for name, value in parts if name == "t"), "")
    late = _is_late(at, now)
    if late is not None:
        return late
    signed = f"{at}.".encode() + body
    given = [value for name, value in parts if name == "v1"]
    return None if any(_fits(keys, signed, one) for one in given) else NOT_OURS


def verify_slack(keys: tuple[bytes, ...], at: str, signature: str, body: bytes, now: float) -> str | None:
    """`X-Slack-Signature`. https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    late = _is_late(at, now)
    if late is not None:
        return late
    return None if _fits(keys, f"v0:{at}:".encode() + body, signature.removeprefix("v0=")) else NOT_OURS


def verify_token(keys: tuple[bytes, ...], token: str) -> str | None:
    """A secret that the sender says itself, as Pub/Sub does in the URL of a push."""
    given = token.encode()
    return None if given and any(hmac.compare_digest(given, key) for key in keys) else "its token is not ours"


def _is_late(at: str, now: float) -> str | None:
    if not at.isascii() or not at.isdigit() or len(at) > 12:
        return "its timestamp is no number of seconds"
    return None if abs(now - int(at)) <= TOLERANCE else f"its timestamp is more than {TOLERANCE} s from now"


def _fits(keys: tuple[bytes, ...], signed: bytes, given: str) -> bool:
    wanted = [hmac.digest(key, signed, "sha256").hex() for key in keys]
    return any(hmac.compare_digest(given.encode(), one.encode()) for one in wanted)


# --- links to reviews -------------------------------------------------------------------------------------------------

LINK_LIMIT = 1024
"""Characters of a signed link."""
_LINK_FOR = b"pilothouse review link\n"


class ReviewLinks(Struct, frozen=True):
    """How links to reviews are made: signed with the first of the keys, under the address at which people reach the
    console, for so many seconds. `needs_signin`: a link alone shows nothing."""

    keys: tuple[bytes, ...]
    url: str
    seconds: float
    needs_signin: bool = True


class LinkedReview(Struct, frozen=True):
    """What a link names. `until`: seconds since 1970."""

    tenant: str
    review: str
    until: int


def sign_link(key: bytes, linked: LinkedReview) -> str:
    """Payload and HMAC-SHA-256, both in URL-safe Base64. It names one review, and no other can be made of it."""
    payload = f"{linked.until}\n{linked.review}\n{linked.tenant}".encode()
    return f"{_plain(payload)}.{_plain(_link_digest(key, payload))}"


def read_link(keys: tuple[bytes, ...], text: str, now: float) -> LinkedReview | str:
    """What a link names, or what is wrong with it. What is wrong with its text is not told apart from a wrong key."""
    if len(text) > LINK_LIMIT:
        return NOT_OURS
    given, _, digest = text.partition(".")
    try:
        payload, signature = _unplain(given), _unplain(digest)
    except (binascii.Error, ValueError):
        return NOT_OURS
    if not any(hmac.compare_digest(_link_digest(key, payload), signature) for key in keys):
        return NOT_OURS
    until, review, tenant = payload.decode().split("\n")
    return "it is over" if int(until) <= now else LinkedReview(tenant, review, int(until))


def _link_digest(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, _LINK_FOR + payload, "sha256")


def _plain(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _unplain(text: str) -> bytes:
    """Raises ValueError also for what is no Base64 of exactly one text: a link has one spelling."""
    data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if _plain(data) != text:
        raise ValueError("another spelling")
    return data
