"""The hot store on a server that speaks the Redis protocol (Redis from 7, Valkey).

One script for entries and one for limits, so that each verb is one round trip and atomic, by the clock of the server.
A place is a hash of values and a sorted set of ends, in one slot of a cluster; both end with their last entry. A server
that is away costs each caller at most `within` seconds; after a few of them nobody waits for it any more, and one call
now and then looks whether it is back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

from redis import asyncio as redis
from redis.exceptions import RedisError, ResponseError

from pilothouse.domain.breaker import Breaker, BreakerRule
from pilothouse.errors import HotStoreUnavailable
from pilothouse.ports.hot import Draw, Drawn, HotFull, HotNotNumber, HotStore, SharedLimitStore

T = TypeVar("T")

CONNECTIONS = 16
RULE = BreakerRule(failures=3, pause=0.5, pause_at_most=5.0)

ENTRIES = """
local values, ends = KEYS[1], KEYS[2]
local verb, key, ttl, limit = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local over = redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 100)
if #over > 0 then
  redis.call('HDEL', values, unpack(over))
  redis.call('ZREM', ends, unpack(over))
end
local till = redis.call('ZSCORE', ends, key)
local is_live = till and tonumber(till) > now
if verb == 'get' then
  return is_live and redis.call('HGET', values, key) or false
end
if verb == 'delete' then
  redis.call('HDEL', values, key)
  redis.call('ZREM', ends, key)
  return 1
end
if not is_live and redis.call('ZCARD', ends) >= limit then
  return redis.error_reply('FULL')
end
if verb == 'put' then
  redis.call('HSET', values, key, ARGV[3])
else
  if not is_live then redis.call('HDEL', values, key) end
  local number = redis.pcall('HINCRBY', values, key, ARGV[3])
  if type(number) == 'table' then return redis.error_reply('NOTANUMBER') end
end
if verb == 'put' or not is_live then redis.call('ZADD', ends, now + ttl, key) end
local last = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', values, last[2])
redis.call('PEXPIREAT', ends, last[2])
return verb == 'incr' and redis.call('HGET', values, key) or false
"""
"""At each use of a place up to 100 of its entries that have ended are removed."""

LIMITS = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for number, key in ipairs(KEYS) do
  local first = number * 5 - 4
  local interval, tolerance = tonumber(ARGV[first]), tonumber(ARGV[first + 1])
  local change, need, want = tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3]), tonumber(ARGV[first + 4])
  local at = math.max(tonumber(redis.call('GET', key) or '0'), now)
  at = math.min(at, now + 10 * tolerance + 60000000)
  at = math.max(at + change * interval, now)
  local granted, wait = 0, 0
  if need > 0 then
    local ahead = at + math.min(need * interval, tolerance) - now - tolerance
    if ahead <= 0.5 then
      local room = (now + tolerance - at) / interval
      granted = need * math.max(1, math.floor(math.min(want, room) / need + 0.000001))
      at = at + granted * interval
    else
      wait = ahead
    end
  end
  if at > now then
    redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000) + 1000)
  else
    redis.call('DEL', key)
  end
  answers[number] = {string.format('%.9g', granted), string.format('%.0f', wait)}
end
return answers
"""


class RedisHotStore(HotStore, SharedLimitStore):
    """`url`: `redis://host:port/database`, or `rediss://` for TLS. `prefix` begins every key. `within`: seconds."""

    def __init__(self, url: str, prefix: str, within: float) -> None:
        self._prefix, self._within = prefix, within
        pool: Any = redis.BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=within, socket_connect_timeout=within, socket_timeout=within
        )
        self._client = redis.Redis.from_pool(pool)
        self._entries = self._client.register_script(ENTRIES)
        self._limits = self._client.register_script(LIMITS)
        self._breaker = Breaker()

    async def get(self, place: str, key: str) -> bytes | None:
        found: bytes | None = await self._use(place, "get", key)
        return found

    async def put(self, place: str, key: str, value: bytes, ttl: float, keys: int) -> None:
        await self._use(place, "put", key, value, ttl, keys)

    async def delete(self, place: str, key: str) -> None:
        await self._use(place, "delete", key)

    async def incr(self, place: str, key: str, by: int, ttl: float, keys: int) -> int:
        return int(await self._use(place, "incr", key, b"%d" % by, ttl, keys))

    async def forget(self, place: str) -> None:
        await self._guarded(lambda: self._client.unlink(*self._keys(place)))

    async def draw(self, draws: Sequence[Draw]) -> list[Drawn]:
        keys = [f"{self._prefix}:{{limits}}:{draw.key}" for draw in draws]
        values: list[float] = []
        for draw in draws:
            interval, tolerance = draw.limit.interval * 1e6, draw.limit.tolerance * 1e6
            values += (interval, tolerance, draw.change, draw.need, draw.want)
        answers: list[tuple[bytes, bytes]] = await self._guarded(lambda: self._limits(keys=keys, args=values))
        return [Drawn(float(granted), float(wait) / 1e6) for granted, wait in answers]

    async def stop(self) -> None:
        await self._client.aclose()

    async def _use(self, place: str, verb: str, key: str, value: bytes = b"", ttl: float = 0, keys: int = 0) -> Any:
        args: list[str | bytes | int] = [verb, key, value, max(1, round(ttl * 1000)), keys]
        return await self._guarded(lambda: self._entries(keys=self._keys(place), args=args))

    def _keys(self, place: str) -> list[str]:
        """Braces: both are in one slot of a cluster."""
        return [f"{self._prefix}:scratch:{{{place}}}:values", f"{self._prefix}:scratch:{{{place}}}:ends"]

    async def _guarded(self, act: Callable[[], Awaitable[T]]) -> T:
        now = monotonic()
        if self._breaker.wait(now) > 0:
            raise HotStoreUnavailable
        self._breaker.let_through(now)
        try:
            async with asyncio.timeout(self._within):
                answer = await act()
        except ResponseError as error:
            self._breaker.succeeded()
            said = str(error)
            if said.startswith("FULL"):
                raise HotFull from None
            if said.startswith("NOTANUMBER"):
                raise HotNotNumber from None
            raise HotStoreUnavailable(reason=said[:200]) from error  # full, read-only, no permission
        except (OSError, TimeoutError, RedisError) as error:
            self._breaker.failed(RULE, monotonic())
            raise HotStoreUnavailable(reason=str(error)[:200] or type(error).__name__) from error
        except BaseException:
            self._breaker.dropped()
            raise
        self._breaker.succeeded()
        return answer
