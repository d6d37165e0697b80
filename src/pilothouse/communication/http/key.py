"""The routes of API keys. The text of a new key is in the answer that made it, and nowhere else.

Whether the asker may give what it gives is decided by the verb.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.call import Call, check_cursor, tenant_of
from pilothouse.engine import key as verbs
from pilothouse.wire.key import KeyPage, KeyRequest, NewKey, RotateRequest, TenantPage, TenantView, key_view


class KeysQuery(Struct, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


async def list_keys(call: Call, query: KeysQuery) -> None:
    check_cursor(query.cursor)
    world = call.front.world
    keys, cursor = await verbs.list_keys(world, tenant_of(call), query.cursor, query.limit)
    at = world.clock.now()
    await call.show(KeyPage([key_view(one, at) for one in keys], cursor))


async def create_key(call: Call, body: KeyRequest) -> None:
    world = call.front.world
    key, text = await verbs.create_key(
        world,
        call.principal,
        body.name,
        body.kind,
        body.scopes,
        body.roles,
        body.expires_in_seconds,
        tenant=body.tenant,
    )
    await call.show(NewKey(text=text, key=key_view(key, world.clock.now())), 201)


async def list_tenants(call: Call) -> None:
    found = verbs.list_tenants(call.front.world, call.principal)
    await call.show(TenantPage([TenantView(name, keys) for name, keys in found.items()], None))


async def rotate_key(call: Call, id: str, body: RotateRequest) -> None:
    world = call.front.world
    made, text = await verbs.rotate_key(world, call.principal, id, body.overlap_seconds)
    await call.show(NewKey(text=text, key=key_view(made, world.clock.now())), 201)


async def revoke_key(call: Call, id: str) -> None:
    world = call.front.world
    await call.show(key_view(await verbs.revoke_key(world, call.principal, id), world.clock.now()))
