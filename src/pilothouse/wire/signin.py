"""Signing in as JSON: the key that is exchanged, and who a page is speaking for.

The key of the user travels once, in the request; what the browser then holds is in a cookie and never in a body.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.domain.principal import Principal, PrincipalKind
from pilothouse.wire.instant import stamp_if
from pilothouse.wire.payload import Instant


class SigninRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    key: Annotated[str, Meta(min_length=1, max_length=512)]


class SigninView(Struct, kw_only=True):
    """Who asks. `csrf_token` is to be sent as `X-CSRF-Token` with each change that a cookie authorises; null where none
    does. `expires_at` is told when the cookie is made."""

    name: str
    kind: PrincipalKind
    tenant: str
    scopes: list[str]
    roles: list[str]
    csrf_token: str | None
    expires_at: Instant | None


def signin_view(who: Principal, token: str | None, expires_at: int | None) -> SigninView:
    return SigninView(
        name=who.name,
        kind=who.kind,
        tenant=who.tenant,
        scopes=sorted(who.scopes),
        roles=sorted(who.roles),
        csrf_token=token,
        expires_at=stamp_if(expires_at),
    )
