"""The scratch of agents: one verb, answered from the hot store, which may be away or empty.

It never raises: an attempt must hear something for each of its questions. Whoever asks bounds how many it asks at once.
"""

from pilothouse.domain.run import Run
from pilothouse.domain.scratch import TTL_AT_MOST, ScratchAnswer, ScratchWish, place_of
from pilothouse.engine.world import World
from pilothouse.errors import HotStoreUnavailable
from pilothouse.ports.hot import HotFull, HotNotNumber, HotStore


async def use_scratch(world: World, run: Run, wish: ScratchWish) -> ScratchAnswer:
    """By the tenant, the agent and the session of the run itself, whatever its code says of them."""
    hot, limits = world.hot, world.scratch
    if hot is None:
        return ScratchAnswer("unavailable")
    if len(wish.value) > limits.value_bytes:
        return ScratchAnswer("too_large", number=limits.value_bytes)
    place = place_of(run.tenant, run.agent, None if wish.is_agents else run.session)
    try:
        return await _use(hot, place, wish, limits.keys)
    except HotStoreUnavailable:
        return ScratchAnswer("unavailable")
    except HotFull:
        return ScratchAnswer("full", number=limits.keys)
    except HotNotNumber:
        return ScratchAnswer("not_a_number")


async def _use(hot: HotStore, place: str, wish: ScratchWish, keys: int) -> ScratchAnswer:
    ttl = min(wish.ttl, TTL_AT_MOST)
    match wish.verb:
        case "get":
            return ScratchAnswer("ok", await hot.get(place, wish.key))
        case "put":
            await hot.put(place, wish.key, wish.value, ttl, keys)
        case "delete":
            await hot.delete(place, wish.key)
        case "incr":
            return ScratchAnswer("ok", number=await hot.incr(place, wish.key, wish.by, ttl, keys))
    return ScratchAnswer("ok")


async def forget_scratch(world: World, tenant: str, agent: str, session: str) -> None:
    """With its session. What cannot be reached now ends by itself."""
    if world.hot is not None:
        try:
            await world.hot.forget(place_of(tenant, agent, session))
        except HotStoreUnavailable:
            return
