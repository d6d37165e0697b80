"""Signing in: how a browser gets in where keys are asked for, without keeping the key of its user.

`POST /v1/signin` takes a key and answers with a cookie that holds another one: made for this browser, with the same
scopes and roles, good for half a day and no longer than the key it was made with. No script can read it (HttpOnly) and
no other site can send it (SameSite=Strict). Because a browser sends cookies by itself, whatever changes something also
has to show a token that only a page of this node can know. `DELETE /v1/signin` revokes that key.
"""

import hmac
from hashlib import blake2b
from urllib.parse import urlsplit

from pilothouse.communication.http.call import Call
from pilothouse.engine import key as verbs
from pilothouse.errors import Forbidden
from pilothouse.wire.signin import SigninRequest, SigninView, signin_view

COOKIE = b"pilothouse_signin"
FOR_SECONDS = 12 * 3600
READS = frozenset({"GET", "HEAD", "OPTIONS"})
PATH = "/v1/signin"


def key_in_cookie(headers: dict[bytes, bytes]) -> bytes | None:
    """The key that the cookie of a signed-in browser holds."""
    for one in headers.get(b"cookie", b"").split(b";"):
        name, _, value = one.strip().partition(b"=")
        if name == COOKIE and value:
            return value
    return None


def check_own_page(call: Call, key: bytes) -> None:
    """A request that a browser authorises by its cookie comes from a page of this node. Raises `Forbidden`."""
    if call.headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
        raise Forbidden(reason="it comes from a page of another site", hint="Open the console of this node.")
    if call.exchange.method in READS:
        return
    shown = call.headers.get(b"x-csrf-token", b"")
    if not hmac.compare_digest(shown, token_of(key)):
        raise Forbidden(reason="its X-CSRF-Token is not that of its cookie", hint="Load the page again, and sign in.")


def check_same_origin(call: Call) -> None:
    """Browsers open a WebSocket for a page of any site and send their cookies along; which page it is stands in Origin.
    Raises `Forbidden` for a page that is not of this node."""
    origin = call.headers.get(b"origin")
    if call.front.door.is_open or origin is None or b"authorization" in call.headers:
        return  # without keys every request was looked at already; no page can send a key but by its cookie
    if urlsplit(origin).netloc != call.headers.get(b"host", b""):
        raise Forbidden(reason="it comes from a page of another site", hint="Open the console of this node.")


def token_of(key: bytes) -> bytes:
    """What only those can know who have the key, and from which nobody can tell the key."""
    return blake2b(b"pilothouse csrf", key=blake2b(key, digest_size=32).digest(), digest_size=24).hexdigest().encode()


async def sign_in(call: Call, body: SigninRequest) -> None:
    """Exchanges a key for a cookie. Without keys there is nothing to sign in to, and no cookie."""
    front = call.front
    origin = call.headers.get(b"origin")
    if origin is not None and urlsplit(origin).netloc != call.headers.get(b"host", b""):
        raise Forbidden(reason="it comes from a page of another site", hint="Open the console of this node.")
    if front.door.is_open:
        await call.show(signin_view(call.principal, None, None))
        return
    by = front.door.admit(b"Bearer " + body.key.strip().encode("ascii", "replace"))
    key, text = await verbs.open_signin(front.world, by, FOR_SECONDS)
    view: SigninView = signin_view(by, token_of(text.encode()).decode(), key.expires_at)
    await call.show(view, 200, [_cookie(call, text.encode(), FOR_SECONDS)])


async def get_signin(call: Call) -> None:
    """Who asks, and the token that a page shows with each change."""
    text = key_in_cookie(call.headers)
    is_cookie = text is not None and b"authorization" not in call.headers and not call.front.door.is_open
    token = token_of(text).decode() if text is not None and is_cookie else None
    await call.show(signin_view(call.principal, token, None))


async def sign_out(call: Call) -> None:
    """The cookie opens nothing any more, here and at every other node."""
    if key_in_cookie(call.headers) is not None and call.principal.key is not None:
        await verbs.close_signin(call.front.world, call.principal)
    await call.answer_empty(204, [_cookie(call, b"", 0)])


def _cookie(call: Call, value: bytes, seconds: int) -> tuple[bytes, bytes]:
    """Over TLS (which only the browser's own word tells, since a proxy ends it) the cookie stays there."""
    secure = b"; Secure" if call.headers.get(b"origin", b"").startswith(b"https:") else b""
    return b"set-cookie", b"%b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%b" % (COOKIE, value, seconds, secure)
