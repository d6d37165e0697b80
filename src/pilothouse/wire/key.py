"""API keys as JSON. The text of a key is in one answer only: the one to the request that made it.

Neither the secret nor its hash is shown afterwards to anybody.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from pilothouse.domain.principal import Key, PrincipalKind, Scope
from pilothouse.wire.instant import stamp, stamp_if
from pilothouse.wire.payload import Instant

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@+-]{0,127}$")]
Role = Annotated[str, Meta(pattern=r"^(\*|[a-z][a-z0-9_-]{0,62})$")]
Span = Annotated[float, Meta(gt=0, le=10 * 366 * 86_400)]


class KeyRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """`name` is the principal: several keys may have one. Without `expires_in_seconds` it never expires."""

    name: Name
    kind: PrincipalKind = "service"
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=20)]
    roles: Annotated[list[Role], Meta(max_length=50)] = []
    expires_in_seconds: Span | None = None
    tenant: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] | None = None
    """Another one than yours: for an administrator of the deployment."""


class RotateRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The old key counts for `overlap_seconds` more."""

    overlap_seconds: Annotated[float, Meta(ge=0, le=90 * 86_400)] = 3600.0


class KeyView(Struct, kw_only=True):
    id: str
    name: str
    kind: PrincipalKind
    scopes: list[str]
    roles: list[str]
    state: Literal["active", "expired", "revoked"]
    created_at: Instant
    created_by: str
    expires_at: Instant | None
    revoked_at: Instant | None
    parent: str | None
    """The key with which a browser signed in, for one that was made so."""


class NewKey(Struct, kw_only=True):
    """`text` is the key itself, shown this once."""

    text: str
    key: KeyView


class KeyPage(Struct):
    """Newest first."""

    items: list[KeyView]
    next_cursor: str | None


class TenantView(Struct):
    """`keys`: how many count now."""

    name: str
    keys: int


class TenantPage(Struct):
    """By name; all that have keys."""

    items: list[TenantView]
    next_cursor: str | None


def key_view(key: Key, at: int) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        kind=key.kind,
        scopes=list(key.scopes),
        roles=list(key.roles),
        state=key.state_at(at),
        created_at=stamp(key.created_at),
        created_by=key.created_by,
        expires_at=stamp_if(key.expires_at),
        revoked_at=stamp_if(key.revoked_at),
        parent=key.parent,
    )
