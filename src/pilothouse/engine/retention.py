"""What is old goes: ended runs by age, agent and tenant, sessions nobody continued, keys of browsers that are over.

Each function does one bounded round and says whether there is more, so that the living never wait for more than a
round; the loop that calls them is in `compute`. What a hold covers stays, whatever its age. The audit log stays as it
is: what it says of a person is a digest under a key, which goes when the person is erased (`engine.erasure`).
"""

from pilothouse.domain.principal import Key
from pilothouse.domain.retention import Retention
from pilothouse.engine.key import remove_key
from pilothouse.engine.session import delete_session
from pilothouse.engine.world import World
from pilothouse.errors import Held, SessionBusy, SessionNotFound

BATCH = 256
DAY = 86_400_000_000
STALE_AT_MOST = 8192
"""Sessions that are over and cannot go, beyond which others are no longer looked for."""
SIGNIN_KEPT = DAY
"""For so long the key of a browser that is over can still be looked at."""
AGAIN_AFTER = 3600 * 1_000_000
"""When what was stepped over because it has to stay is looked at again."""


class Pruner:
    """Where pruning stands. `days`: how long ended runs are kept, by agent or tenant when it is named; 0: for ever."""

    def __init__(self, days: float, agents: dict[str, float], tenants: dict[str, float]) -> None:
        self._days, self._agents, self._tenants = days, agents, tenants
        self._after = 0
        self._has_stepped = False
        self._not_before = 0

    async def prune(self, world: World) -> bool:
        at = world.clock.now()
        if at < self._not_before:
            return False
        by_agent = {agent: _before(at, days) for agent, days in self._agents.items()}
        by_tenant = {tenant: _before(at, days) for tenant, days in self._tenants.items()}
        retention = Retention(at, _before(at, self._days), by_agent, by_tenant)
        pruned = await world.records.prune(retention, BATCH, self._after)
        if pruned.after is not None:
            self._has_stepped = self._has_stepped or pruned.after > self._after
            self._after = pruned.after
            return True
        self._not_before = at + AGAIN_AFTER if self._has_stepped else 0
        self._after, self._has_stepped = 0, False
        return False


def _before(at: int, days: float) -> int | None:
    return at - round(days * DAY) if days else None


async def sweep_sessions(world: World) -> bool:
    """Sessions whose time is over. True: there may be more."""
    at, limit = world.clock.now(), BATCH
    while True:
        stale = await world.records.list_stale_sessions(at, limit)
        dropped = 0
        for session in stale[limit - BATCH :]:
            try:
                await delete_session(world, session.tenant, session.agent, session.key)
                dropped += 1
            except (Held, SessionBusy, SessionNotFound):  # it stays, it lives on, or somebody was faster
                continue
        if dropped or len(stale) < limit or limit >= STALE_AT_MOST:
            return dropped > 0 and len(stale) == limit
        limit += BATCH


def _over_at(key: Key) -> float:
    return min((at for at in (key.expires_at, key.revoked_at) if at is not None), default=float("inf"))


async def prune_signins(world: World) -> int:
    """Keys that browsers were given and that have been over for a day. Returns how many went."""
    before = world.clock.now() - SIGNIN_KEPT
    over = [key for key in world.keys.values() if key.parent is not None and _over_at(key) < before]
    for key in over[:BATCH]:
        await remove_key(world, key)
    return len(over[:BATCH])
