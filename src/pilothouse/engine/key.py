"""API keys: made, listed, rotated, revoked. The secret is told once, when it is made.

Nobody gives a key more than they have, and no agent makes keys at all (G10). A rotation makes a new key for the same
principal and lets the old one run out after an overlap, so that callers can change over without a gap.
"""

import contextlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from pilothouse.domain.ids import DEFAULT_TENANT
from pilothouse.domain.principal import Key, Principal, PrincipalKind, hash_of, key_text, not_held
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import encode, instant
from pilothouse.engine.policy import gate
from pilothouse.engine.world import World
from pilothouse.errors import Forbidden, InvalidInput, KeyNotFound, StateConflict
from pilothouse.ports.change import Change, Conflict, WriteDocument
from pilothouse.ports.records import Document

KEY = "key"
KEYS_LIMIT = 100_000
PAGE = 1000

_read = msgspec.json.Decoder(Key).decode


async def load_keys(world: World) -> None:
    """All keys of all tenants, as the records have them now: those made and revoked at other nodes are known then."""
    found: dict[str, Key] = {}
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(None, KEY, None, cursor, PAGE)
        found |= {key.id: key for key in (_read(one.body) for one in page)}
        if cursor is None or len(found) >= KEYS_LIMIT:
            break
    world.keys, world.names = found, {}
    for key in found.values():
        world.names.setdefault((key.tenant, key.name), {})[key.id] = key


async def create_key(
    world: World,
    by: Principal,
    name: str,
    kind: PrincipalKind,
    scopes: Sequence[str],
    roles: Sequence[str],
    seconds: float | None,
    parent: Key | None = None,
    *,
    tenant: str | None = None,
) -> tuple[Key, str]:
    """A new key and its text. `tenant`: another one than that of its maker, who is an administrator then. Raises
    `Forbidden` when it would be more than its maker has."""
    tenant = tenant or by.tenant
    if tenant != by.tenant:
        _check_administrator(by)
    if by.kind == "agent":
        raise Forbidden(reason="agents make no keys", hint="Ask a person who has the scope keys:write.")
    if lacking := not_held(by, scopes, roles):
        hint = "Leave it out, or use a key that has it."
        raise Forbidden(reason=f"the key that asks does not have {', '.join(lacking)} itself", hint=hint)
    if kind == "agent" and "*" in scopes:
        raise InvalidInput(faults=[{"path": "$.scopes", "message": "an agent is given scopes by name, never `*`"}])
    at = world.clock.now()
    id = f"{world.entropy.bits():016x}"
    secret = b"".join(world.entropy.bits().to_bytes(8, "big") for _ in range(4))
    text = urlsafe_b64encode(secret).decode().rstrip("=")
    key = Key(
        id=id,
        hash=hash_of(id, text),
        name=name,
        tenant=tenant,
        kind=kind,
        scopes=tuple(scopes),
        roles=tuple(roles),
        created_at=at,
        created_by=_named(by, tenant),
        expires_at=_earlier(None if seconds is None else at + round(seconds * 1e6), parent),
        parent=None if parent is None else parent.id,
    )
    facts = {"name": name, "principal": kind, "scopes": key.scopes, "roles": key.roles}
    await _write(world, key, 0, "key.created", by, expires_at=instant(key.expires_at), **facts)
    return key, key_text(id, text)


def _check_administrator(by: Principal) -> None:
    if not by.is_administrator:
        raise Forbidden(
            reason=f"keys of other tenants are made by an administrator: a person of the tenant {DEFAULT_TENANT}",
            hint="Use the key of one, with the scope tenants:write.",
        )


def _named(by: Principal, tenant: str) -> str:
    """By which name the log of a tenant knows whoever acted."""
    return by.name if by.tenant == tenant else f"{by.name}@{by.tenant}"


def list_tenants(world: World, by: Principal) -> dict[str, int]:
    """The tenants that have keys, by name, and how many of these count now. Raises `Forbidden`."""
    _check_administrator(by)
    at = world.clock.now()
    found: dict[str, int] = {}
    for key in world.keys.values():
        found[key.tenant] = found.get(key.tenant, 0) + (key.state_at(at) == "active")
    return dict(sorted(found.items()))


def _earlier(at: int | None, parent: Key | None) -> int | None:
    ends = [one for one in (at, None if parent is None else parent.expires_at) if one is not None]
    return min(ends) if ends else None


async def open_signin(world: World, by: Principal, seconds: float) -> tuple[Key, str]:
    """A key for a browser of `by`: the same scopes and roles, for `seconds` at most, and only while the key that asks
    counts itself."""
    asked = world.keys.get(by.key or "")
    return await create_key(world, by, by.name, by.kind, sorted(by.scopes), sorted(by.roles), seconds, asked)


async def close_signin(world: World, by: Principal) -> None:
    """Revokes the key of a browser. A key that was not made by signing in stays as it is."""
    key = world.keys.get(by.key or "")
    if key is not None and key.parent is not None:
        await revoke_key(world, by, key.id)


async def list_keys(world: World, tenant: str, cursor: str | None, limit: int) -> tuple[list[Key], str | None]:
    """The newest first, also those that count no more."""
    page, following = await world.records.list_documents(tenant, KEY, None, cursor, limit, newest=True)
    return [_read(one.body) for one in page], following


async def rotate_key(world: World, by: Principal, id: str, overlap: float) -> tuple[Key, str]:
    """A new key in the place of this one, which counts for `overlap` seconds more. Raises `KeyNotFound`."""
    found, old = await _find(world, by.tenant, id)
    at = world.clock.now()
    if old.state_at(at) != "active":
        raise StateConflict(f"The key {id!r} is {old.state_at(at)}.", hint="Make a new one.", session=id, version=0)
    left = None if old.expires_at is None else (old.expires_at - old.created_at) / 1e6
    key, text = await create_key(world, by, old.name, old.kind, old.scopes, old.roles, left)
    until = at + round(overlap * 1e6)
    until = until if old.expires_at is None else min(until, old.expires_at)
    ended = replace(old, expires_at=until)
    await _write(world, ended, found.version, "key.rotated", by, to=key.id, expires_at=instant(until))
    return key, text


async def revoke_key(world: World, by: Principal, id: str) -> Key:
    """The key opens nothing from now on. A second call does nothing. Raises `KeyNotFound`."""
    if by.kind == "agent" and id != by.key:
        raise Forbidden(reason="agents revoke no keys of others", hint="Ask a person who has the scope keys:write.")
    found, key = await _find(world, by.tenant, id)
    if key.revoked_at is not None:
        return key
    revoked = replace(key, revoked_at=world.clock.now())
    await _write(world, revoked, found.version, "key.revoked", by, name=key.name)
    return revoked


async def remove_key(world: World, key: Key) -> None:
    """Takes a key that is over out of the records, and tells the audit log. One that was changed meanwhile stays."""
    id = f"{KEY}_{key.id}"
    found = await world.records.get_document(key.tenant, id)
    if found is not None:
        at = world.clock.now()
        drop = WriteDocument(key.tenant, id, KEY, found.version, "", None, at)
        with contextlib.suppress(Conflict):
            await world.records.commit(Change((drop, entry(key.tenant, id, at, "key.removed", NODE))))
    world.keys.pop(key.id, None)


async def _find(world: World, tenant: str, id: str) -> tuple[Document, Key]:
    found = await world.records.get_document(tenant, f"{KEY}_{id}")
    if found is None:
        raise KeyNotFound(key=id)
    return found, _read(found.body)


async def _write(world: World, key: Key, version: int, kind: str, by: Principal, **facts: object) -> None:
    at = world.clock.now()
    id = f"{KEY}_{key.id}"
    write = WriteDocument(key.tenant, id, KEY, version, "", encode(key), at)
    told = [entry(key.tenant, id, at, kind, _named(by, key.tenant), **facts)]
    if key.tenant != by.tenant:  # it stands in the log of both
        told.append(entry(by.tenant, id, at, kind, by.name, of_tenant=key.tenant, **facts))
    try:
        await world.records.commit(Change((write, *told)))
    except Conflict:
        raise StateConflict(
            f"The key {key.id!r} was changed by somebody else.", hint="Look at it, and try again.", session=key.id,
            version=version,
        ) from None  # fmt: skip
    world.keys[key.id] = key
    world.names.setdefault((key.tenant, key.name), {})[key.id] = key
    gate(world)
