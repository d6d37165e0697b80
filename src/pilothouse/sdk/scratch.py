"""`ctx.scratch`: short-term state of a session or an agent, beside the journal, through the node.

It may be empty at any moment and is no step: an attempt that begins again asks again. What must happen once goes into
`ctx.step`. A store that is away is as empty: nothing is found, what is put is not kept (and the call says so); only a
counter, which is nothing without its number, raises. How many questions are under way at once is bounded here.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pilothouse.domain.scratch import BY_AT_MOST, KEY, TTL_AT_MOST, ScratchAnswer, ScratchWish
from pilothouse.errors import HotStoreUnavailable, LimitReached, ScratchRefused, TooLarge
from pilothouse.sdk.schema import read_json, write_json
from pilothouse.wire.frames import ScratchUsed, UseScratch

AT_ONCE = 64
HOUR = timedelta(hours=1)


class ScratchDesk:
    """The questions of one attempt. `ask` sends one to the node."""

    def __init__(self, slot: int, ask: Callable[[UseScratch], None], check_alive: Callable[[], None]) -> None:
        self._slot, self._ask, self._check_alive = slot, ask, check_alive
        self._ref = 0
        self._waiting: dict[int, asyncio.Future[ScratchAnswer]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def use(self, wish: ScratchWish) -> ScratchAnswer:
        """Raises `ScratchRefused`, `LimitReached`, `TooLarge`; `CancelledError` when the attempt is over."""
        async with self._places:
            self._check_alive()
            self._ref += 1
            ref = self._ref
            answer = self._waiting[ref] = asyncio.get_running_loop().create_future()
            self._ask(UseScratch(self._slot, ref, wish))
            try:
                found: ScratchAnswer = await answer
            finally:
                self._waiting.pop(ref, None)
        match found.verdict:
            case "full":
                raise LimitReached(what="The number of keys in this scratch", limit=found.number)
            case "too_large":
                raise TooLarge(what="An entry of the scratch", limit=found.number)
            case "not_a_number":
                raise ScratchRefused(key=wish.key, reason="what is there is no whole number, or would leave 64 bits")
        return found

    def answered(self, used: ScratchUsed) -> None:
        waiting = self._waiting.get(used.ref)
        if waiting is not None and not waiting.done():
            waiting.set_result(used.answer)

    def close(self) -> None:
        """The attempt ends: whoever waits is cancelled."""
        for waiting in self._waiting.values():
            waiting.cancel()


class Scratch:
    """Entries by key, JSON values, each with an end. Those of the session when the run has one, else of the agent."""

    __slots__ = ("_desk", "_is_agents")

    def __init__(self, desk: ScratchDesk, is_agents: bool = False) -> None:
        self._desk, self._is_agents = desk, is_agents

    @property
    def agent(self) -> "Scratch":
        """What all runs of this agent share, also those of other sessions, within the tenant."""
        return Scratch(self._desk, True)

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`: it was never put, has ended, was lost, or the store is away."""
        answer = await self._desk.use(ScratchWish("get", _key(key), self._is_agents))
        return default if answer.value is None else read_json(answer.value)

    async def put(self, key: str, value: Any, ttl: timedelta | float = HOUR) -> bool:
        """Whether it was kept; False: the store is away, and what was there before may be found again. Raises
        `TooLarge`, and `LimitReached` when there are too many keys."""
        wish = ScratchWish("put", _key(key), self._is_agents, write_json(value), ttl=_seconds(ttl))
        return (await self._desk.use(wish)).verdict == "ok"

    async def delete(self, key: str) -> bool:
        """Whether it is sure that nothing is there; False: the store is away."""
        return (await self._desk.use(ScratchWish("delete", _key(key), self._is_agents))).verdict == "ok"

    async def incr(self, key: str, by: int = 1, ttl: timedelta | float = HOUR) -> int:
        """Adds to a whole number and gives the new one; a new key begins at 0, and `ttl` counts from then on. Raises
        `HotStoreUnavailable`; then it may have been added or not. Raises `ScratchRefused` when there is no number."""
        if not -BY_AT_MOST <= by <= BY_AT_MOST:
            raise ValueError(f"by is {by!r}; a counter is moved by at most {BY_AT_MOST} at once")
        answer = await self._desk.use(ScratchWish("incr", _key(key), self._is_agents, by=by, ttl=_seconds(ttl)))
        if answer.verdict == "unavailable":
            raise HotStoreUnavailable
        return answer.number


class BlockingScratch:
    """The scratch of a sync agent: the same verbs, and each returns when it is done."""

    __slots__ = ("_from_thread", "_scratch")

    def __init__(self, from_thread: Callable[[Callable[[], Any]], Any], scratch: Scratch) -> None:
        self._from_thread, self._scratch = from_thread, scratch

    @property
    def agent(self) -> "BlockingScratch":
        """As `Scratch.agent`."""
        return BlockingScratch(self._from_thread, self._scratch.agent)

    def get(self, key: str, default: Any = None) -> Any:
        """As `Scratch.get`."""
        return self._from_thread(lambda: self._scratch.get(key, default))

    def put(self, key: str, value: Any, ttl: timedelta | float = HOUR) -> bool:
        """As `Scratch.put`."""
        return bool(self._from_thread(lambda: self._scratch.put(key, value, ttl)))

    def delete(self, key: str) -> bool:
        """As `Scratch.delete`."""
        return bool(self._from_thread(lambda: self._scratch.delete(key)))

    def incr(self, key: str, by: int = 1, ttl: timedelta | float = HOUR) -> int:
        """As `Scratch.incr`."""
        return int(self._from_thread(lambda: self._scratch.incr(key, by, ttl)))


def _key(key: str) -> str:
    if KEY.match(key) is None:
        raise ScratchRefused(key=key, reason="a key is 1 to 200 printable characters")
    return key


def _seconds(ttl: timedelta | float) -> float:
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else float(ttl)
    if not 0 < seconds <= TTL_AT_MOST:
        raise ValueError(f"ttl is {ttl!r}; an entry lives for at most {TTL_AT_MOST:.0f} seconds")
    return seconds
