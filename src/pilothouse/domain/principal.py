"""The principal: who acts, and what they may. A human, a service, or an agent that acts for one of them.

An API key is `phk_<id>_<secret>`. What is kept of it is its id and an HMAC of its secret under that id: the secret is
256 random bits, so the hash needs no stretching, and a hash that is copied to another id opens nothing. What an agent
may do is what its starter may as well: the intersection, never the sum.
"""

import hmac
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from pilothouse.domain.ids import DEFAULT_TENANT

PrincipalKind = Literal["human", "service", "agent"]
Scope = Literal[
    "runs:read", "runs:write", "reviews:read", "reviews:decide", "holds:write", "policy:write", "audit:read",
    "keys:write", "metrics:read", "groups:write", "bias:audit",
    "examples:read", "examples:write", "subjects:erase", "tenants:write", "*",
]  # fmt: skip
ALL: Scope = "*"
KEY_FORM = "phk"


class Principal(Struct, frozen=True):
    """`name` is unique within the tenant. `on_behalf_of`: for whom an agent acts."""

    name: str
    kind: PrincipalKind
    tenant: str
    scopes: frozenset[str]
    roles: frozenset[str] = frozenset()
    key: str | None = None
    on_behalf_of: str | None = None

    def may(self, scope: str) -> bool:
        return scope in self.scopes or ALL in self.scopes

    def has_role(self, role: str) -> bool:
        return role in self.roles or ALL in self.roles

    @property
    def is_administrator(self) -> bool:
        """Of the deployment: a person of its own tenant. Who may everything in another may nothing outside it."""
        return self.kind == "human" and self.tenant == DEFAULT_TENANT and self.may("tenants:write")


LOCAL = Principal("local", "human", DEFAULT_TENANT, frozenset({ALL}), frozenset({ALL}))
"""Whoever is at this machine, as long as there are no keys."""


class Key(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What is kept of an API key. Instants are microseconds since 1970 UTC. `hash`: 64 hex digits."""

    id: str
    hash: str
    name: str
    tenant: str
    kind: PrincipalKind = "service"
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    created_at: int
    created_by: str
    expires_at: int | None = None
    revoked_at: int | None = None
    parent: str | None = None
    """The key that this one was made with, by signing in. It counts only while that one does."""

    @property
    def principal(self) -> Principal:
        return Principal(self.name, self.kind, self.tenant, frozenset(self.scopes), frozenset(self.roles), self.id)

    def state_at(self, at: int) -> Literal["active", "expired", "revoked"]:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= at else "active"


def hash_of(id: str, secret: str) -> str:
    return hmac.digest(id.encode(), secret.encode(), "sha256").hex()


def key_text(id: str, secret: str) -> str:
    return f"{KEY_FORM}_{id}_{secret}"


def read_key(text: str) -> tuple[str, str] | None:
    """(id, secret); None for what is no key."""
    form, _, rest = text.partition("_")
    id, _, secret = rest.partition("_")
    return (id, secret) if form == KEY_FORM and id and secret and text.isascii() else None


def opens(key: Key, secret: str, at: int) -> bool:
    """Whether the secret is that of the key and the key counts at this instant. Takes as long for every wrong one."""
    is_right = hmac.compare_digest(hash_of(key.id, secret), key.hash)
    return is_right and key.state_at(at) == "active"


class Chain(Struct, frozen=True):
    """For whom a run acts: who started the first run, and the agents that called one another since, the first first."""

    principal: str
    agents: tuple[str, ...] = ()


VIA = " > "
"""Between the names of a chain. No name of a principal or an agent holds a space."""


def read_chain(text: str) -> Chain:
    principal, *agents = text.split(VIA)
    return Chain(principal, tuple(agents))


def chain_below(text: str, agent: str) -> str:
    """The chain of a run that `agent` calls, acting in this one."""
    return f"{text}{VIA}{agent}"


def acting_for(agent: Principal, starter: Principal) -> Principal:
    """The agent on behalf of whoever started it, who may be an agent that acts for somebody: what all of them may."""
    return Principal(
        agent.name,
        "agent",
        starter.tenant,
        _both(agent.scopes, starter.scopes),
        _both(agent.roles, starter.roles),
        agent.key,
        starter.on_behalf_of or starter.name,
    )


def _both(left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    if ALL in left:
        return right
    return left if ALL in right else left & right


def not_held(by: Principal, scopes: Iterable[str], roles: Iterable[str]) -> list[str]:
    """What somebody would give to others without having it."""
    return [one for one in scopes if not by.may(one)] + [one for one in roles if not by.has_role(one)]
