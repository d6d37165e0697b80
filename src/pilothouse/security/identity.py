"""Identity tokens (OpenID Connect): who signed them, for whom, until when, and about whom.

Anybody can have Google sign a token for any audience, so a token counts only when it is about one of the `senders`
that the settings name. The keys of the issuer are fetched when the first token comes and kept for an hour. A token that
names a key nobody knows makes them be fetched again, at most every ten seconds, so that strangers cannot make this node
call its issuer without end. When the issuer is away, keys that are known count for a day.
"""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, InvalidKeyIdError, JoseError, MissingClaimError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

from pilothouse.errors import Forbidden, SignatureRefused
from pilothouse.ports.identity import Identity, KeysAway

ALGORITHMS = ("RS256", "ES256")
"""Only asymmetric ones: a key that is public must not verify anything that it could sign."""
LEEWAY = 60
"""Seconds by which the clocks of issuer and node may differ."""
TOKEN_LIMIT = 16 * 1024
FRESH_FOR, USABLE_FOR = 3600.0, 86_400.0
FETCH_AGAIN = 10.0
FETCH_WITHIN = 5.0
KEYS_LIMIT = 256 * 1024
SAME_ISSUER = {"https://accounts.google.com": ("https://accounts.google.com", "accounts.google.com")}
"""Google writes its name in two ways (https://developers.google.com/identity/openid-connect/openid-connect)."""
HINT = "Send the token of the sender that the settings of this source name, made for its audience, while it is new."


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Keys come from the address that the operator wrote."""


class IssuerKeys:
    """A JSON Web Key Set (RFC 7517) at `url`. One fetch is under way at most. `clock`: seconds, from anywhere."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = url, clock
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._known: KeySet | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._one = asyncio.Lock()

    async def find(self, kid: str | None) -> KeySet:
        """All keys there are, fetched anew where `kid` is not among them. Raises `KeysAway`."""
        if not self._is_known(kid, FRESH_FOR):
            async with self._one:
                if not self._is_known(kid, FRESH_FOR) and self._clock() - self._tried_at > FETCH_AGAIN:
                    await self._fetch()
        if self._known is None or self._clock() - self._fetched_at > USABLE_FOR:
            raise KeysAway
        return self._known

    def _is_known(self, kid: str | None, age: float) -> bool:
        if self._known is None or self._clock() - self._fetched_at > age:
            return False
        return any(key.kid == kid for key in self._known)

    async def _fetch(self) -> None:
        """A fetch that fails leaves what is known as it is."""
        self._tried_at = self._clock()
        try:
            self._known = KeySet.import_key_set(await asyncio.to_thread(self._read))
        except (OSError, ValueError, KeyError, TypeError, JoseError):
            return
        self._fetched_at = self._clock()

    def _read(self) -> Any:
        with self._opener.open(self._url, timeout=FETCH_WITHIN) as answer:
            return json.loads(answer.read(KEYS_LIMIT))


class IdentityTokens(Identity):
    """`senders`: the `email` of those who may send, or the `sub` where tokens have no email."""

    def __init__(self, issuer: str, audience: str, senders: tuple[str, ...], keys: IssuerKeys) -> None:
        self._senders, self._keys = frozenset(senders), keys
        self._issuers, self._audience = SAME_ISSUER.get(issuer, (issuer,)), audience

    async def check(self, token: str, now: float) -> None:
        if not token or len(token) > TOKEN_LIMIT:
            raise SignatureRefused(reason="it has no identity token", hint=HINT)
        try:
            kid = _kid_of(token)
            claims = jwt.decode(token, await self._keys.find(kid), algorithms=ALGORITHMS).claims
            self._rules(now).validate(claims)
        except ExpiredTokenError:
            raise SignatureRefused(reason="its identity token has expired", hint=HINT) from None
        except InvalidKeyIdError:
            raise SignatureRefused(reason="its issuer has no such key", hint=HINT) from None
        except (MissingClaimError, InvalidClaimError) as fault:
            raise SignatureRefused(reason=f"its identity token does not fit ({fault.claim})", hint=HINT) from None
        except (JoseError, ValueError, TypeError, KeyError):
            raise SignatureRefused(reason="its identity token is not signed by its issuer", hint=HINT) from None
        self._check_sender(claims)

    def _rules(self, now: float) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            int(now), LEEWAY,
            iss={"essential": True, "values": list(self._issuers)}, aud={"essential": True, "value": self._audience},
            exp={"essential": True}, iat={"essential": True},
        )  # fmt: skip

    def _check_sender(self, claims: dict[str, Any]) -> None:
        who = claims.get("email", claims.get("sub"))
        is_proven = "email" not in claims or claims.get("email_verified") is True
        if not isinstance(who, str) or who not in self._senders or not is_proven:
            raise Forbidden(
                reason="the identity token is of somebody who may not send to this source",
                hint="The operator names who may in `senders` of the source, by the verified email of the token.",
            )


def _kid_of(token: str) -> str | None:
    kid = extract_compact(token.encode()).headers().get("kid")
    return kid if isinstance(kid, str) else None
