"""Reading, editing, forking and dropping sessions from outside.

One writer at a time: while a turn is running or waiting its session belongs to it, and an edit is refused.
"""

from typing import Any

import msgspec

from pilothouse.domain import ids
from pilothouse.domain.session import Session, Turn
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import encode
from pilothouse.engine.scratch import forget_scratch
from pilothouse.engine.world import World
from pilothouse.errors import Held, InvalidInput, SessionBusy, SessionExists, SessionNotFound, StateConflict, TooLarge
from pilothouse.ports.change import (
    MORE,
    AppendAudit,
    Change,
    Conflict,
    DropSession,
    ForkSession,
    TrimSession,
    WriteState,
)

STATE_LIMIT = 4 * 1024 * 1024
"""Bytes of the state of a session."""
TRIM = 256
"""Turns, and runs, that go in one transaction."""


async def get_session(world: World, tenant: str, agent: str, key: str) -> Session:
    found = await world.records.get_session(tenant, agent, key)
    if found is None:
        raise SessionNotFound(agent=agent, session=key)
    return found


async def list_sessions(
    world: World, tenant: str, agent: str, prefix: str, cursor: str | None, limit: int
) -> tuple[list[Session], str | None]:
    """By key, without their state."""
    return await world.records.list_sessions(tenant, agent, prefix, cursor, limit)


async def list_history(world: World, tenant: str, agent: str, key: str, before: int | None, limit: int) -> list[Turn]:
    """The newest `limit` turns with a number below `before`, oldest first."""
    await get_session(world, tenant, agent, key)
    return await world.records.list_turns(tenant, agent, key, before, limit)


async def write_state(
    world: World,
    tenant: str,
    agent: str,
    key: str,
    patch: bytes,
    if_match: int | None,
    by: str = NODE,
    reason: str | None = None,
) -> Session:
    """Applies a JSON merge patch (RFC 7396) to the state. With `if_match`, only to that version. Raises `StateConflict`
    when the version is another one, `SessionBusy` while a turn is running or waiting."""
    wanted = msgspec.json.decode(patch)
    if not isinstance(wanted, dict):
        raise InvalidInput(faults=[{"path": "$", "message": "expected an object, since the state is one"}])
    found = await get_session(world, tenant, agent, key)
    if if_match is not None and found.version != if_match:
        raise StateConflict(session=key, version=found.version)
    state = encode(merge_patch(msgspec.json.decode(found.state), wanted))
    if len(state) > STATE_LIMIT:
        raise TooLarge(what="The state of the session", limit=STATE_LIMIT)
    at = world.clock.now()
    facts = {"before": _digest(world, tenant, found.state), "after": _digest(world, tenant, state)}
    told = _entry(
        world, tenant, agent, key, at, "session.edited", by, version=found.version + 1, reason=reason, **facts
    )
    try:
        await world.records.commit(Change((WriteState(tenant, key, agent, found.version, state, at), told)))
    except Conflict:
        now = await get_session(world, tenant, agent, key)
        if now.version != found.version:
            raise StateConflict(session=key, version=now.version) from None
        raise SessionBusy(session=key) from None
    world.sessions.forget((tenant, agent, key))
    return await get_session(world, tenant, agent, key)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: null removes a member, an object goes deeper, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


async def fork_session(
    world: World, tenant: str, agent: str, key: str, new_key: str, after: str | None, by: str = NODE
) -> Session:
    """A new session with the turns of `key` up to the run `after` (None: all), and its state as it is now. Raises
    `SessionExists`, `SessionNotFound`."""
    if not ids.valid_session_key(new_key):
        raise InvalidInput(faults=[{"path": "$.key", "message": "expected 1 to 256 printable characters"}])
    source = await get_session(world, tenant, agent, key)
    if after is not None:
        run = await world.records.get_run(tenant, after)
        if run is None or (run.agent, run.session) != (agent, key):
            raise InvalidInput(faults=[{"path": "$.after", "message": "expected the run of a turn of this session"}])
    at = world.clock.now()
    try:
        fork = ForkSession(tenant, new_key, agent, key, after, source.state, at, source.expires_at)
        told = _entry(world, tenant, agent, key, at, "session.forked", by, to=_digest(world, tenant, new_key))
        await world.records.commit(Change((fork, told)))
    except Conflict:
        raise SessionExists(agent=agent, session=new_key) from None
    return await get_session(world, tenant, agent, new_key)


async def delete_session(world: World, tenant: str, agent: str, key: str, by: str = NODE) -> None:
    """Removes the session with its turns; a long one from its oldest turn on, in rounds between which others write.
    Raises `SessionNotFound`, `SessionBusy` while a turn is live, and `Held` while a hold covers any of it. A turn or
    hold that comes between two rounds stops it: what has gone is gone, and a second call goes on."""
    await refuse_held(world, tenant, agent, key)
    found = await get_session(world, tenant, agent, key)
    try:
        if found.turns > TRIM:
            await _trim(world, found, by)
        told = _entry(world, tenant, agent, key, world.clock.now(), "session.deleted", by)
        await world.records.commit(Change((DropSession(tenant, key, agent), told)))
    except Conflict:
        await get_session(world, tenant, agent, key)
        raise SessionBusy(session=key) from None
    finally:
        world.sessions.forget((tenant, agent, key))
    await forget_scratch(world, tenant, agent, key)


async def _trim(world: World, session: Session, by: str) -> None:
    trim = TrimSession(session.tenant, session.key, session.agent, TRIM)
    has_more = True
    while has_more:
        told = _entry(world, session.tenant, session.agent, session.key, world.clock.now(), "session.trimmed", by)
        has_more = (await world.records.commit(Change((trim, told)))).status == MORE
        await refuse_held(world, session.tenant, session.agent, session.key)


async def refuse_held(world: World, tenant: str, agent: str, key: str) -> None:
    """A hold over a release may be over any turn; one over a run is over the session of that run."""
    for hold in world.holds.values():
        selector = hold.selector
        if hold.tenant != tenant or selector.tool or selector.agent not in (None, agent):
            continue
        if selector.session not in (None, key):
            continue
        run = None if selector.run is None else await world.records.get_run(tenant, selector.run)
        if selector.run is None or (run is not None and (run.agent, run.session) == (agent, key)):
            raise Held(hold=hold.id, reason=hold.reason)


def _digest(world: World, tenant: str, payload: bytes | str) -> str | None:
    return world.seals.digest(tenant, None, payload)


def _entry(world: World, tenant: str, agent: str, key: str, at: int, kind: str, by: str, **facts: Any) -> AppendAudit:
    """The key of a session is chosen by a caller, and may be somebody's name."""
    digest = _digest(world, tenant, key) or "unknown"
    return entry(tenant, f"session:{agent}", at, kind, by, session=digest, **facts)
