"""What all attempts of one host share: the way to the node, the threads for sync code, the pace of the link.

Sync agents and sync steps have pools of their own: an agent's thread waits for its steps, so in one pool enough agents
would leave no thread for any step, for ever. When the link is slow, `emit` waits; who does not wait is stopped at a
bound of what may lie unsent.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from pilothouse.errors import LimitReached
from pilothouse.sdk.egress.border import Border
from pilothouse.sdk.scope import Place
from pilothouse.wire.frames import Message
from pilothouse.wire.host import HostConfig

if TYPE_CHECKING:
    from pilothouse.sdk.pools.pool import Pool, Pools

UNSENT_LIMIT = 32 * 1024 * 1024
"""Bytes of deltas that may wait for a slow link before `emit` raises."""


class HeldClock(Protocol):
    """A clock that somebody moves by hand: what attempts sleep and wait for happens when it is moved."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Pace:
    """What `emit` returns: awaiting it waits for a slow link, and now and then gives the loop a turn."""

    __slots__ = ("_gives_turn", "_surroundings")

    def __init__(self, surroundings: "Surroundings", gives_turn: bool) -> None:
        self._surroundings = surroundings
        self._gives_turn = gives_turn

    def __await__(self) -> Generator[Any, None, None]:
        if not self._surroundings.is_writable:
            yield from self._surroundings.wait_writable().__await__()
        elif self._gives_turn:
            yield


def _never(message: Message) -> bool:
    """What was sent cannot be taken back."""
    return False


def _no_lines(attempt: Place) -> None:
    """Nothing is captured."""


class Surroundings:
    def __init__(
        self,
        send: Callable[[Message], None],
        config: HostConfig,
        loop: asyncio.AbstractEventLoop,
        held_clock: HeldClock | None = None,
    ) -> None:
        self.send = send
        self.take_back: Callable[[Message], bool] = _never
        """Takes back what was sent last, when nothing was sent after it and it has not left yet."""
        self.loop = loop
        self.border = Border(config.egress, config.agents)
        self.held_clock = held_clock
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep if held_clock is None else held_clock.sleep
        self.thread = threading.get_ident()
        self.park_after = config.park_after
        self.agent_threads = ThreadPoolExecutor(config.threads, thread_name_prefix="agent")
        self.step_threads = ThreadPoolExecutor(config.threads, thread_name_prefix="step")
        self.pools: Pools | None = None
        self._pool_configs, self._project = config.pools, config.project
        self.pace = Pace(self, gives_turn=False)
        self.turn = Pace(self, gives_turn=True)
        self.flush_lines: Callable[[Place], None] = _no_lines
        """Sends what an attempt printed and did not end with a newline; called before its last word."""
        self.is_writable = True
        self.is_gated = False
        """Calls of tools are proposed to the node before they run."""
        self._unsent = 0
        self._blocked: list[asyncio.Future[None]] = []

    def set_writable(self, is_writable: bool) -> None:
        """The link says whether the node takes more now."""
        self.is_writable = is_writable
        if is_writable:
            self._unsent = 0
            blocked, self._blocked = self._blocked, []
            for future in blocked:
                if not future.done():
                    future.set_result(None)

    def send_delta(self, message: Message, size: int) -> None:
        """Raises `LimitReached` when the link is slow and too much waits for it already."""
        if not self.is_writable:
            if self._unsent + size > UNSENT_LIMIT:
                raise LimitReached(
                    what="Output that waits for a slow link", limit=UNSENT_LIMIT, hint="Await what ctx.emit returns."
                )
            self._unsent += size
        self.send(message)

    async def wait_writable(self) -> None:
        while not self.is_writable:
            future = self.loop.create_future()
            self._blocked.append(future)
            await future

    def pool(self, name: str, cpus: float, gpus: float) -> "Pool":
        """Raises `ValueError` when the settings have none of that name, or it is too small."""
        if self.pools is None:
            from pilothouse.sdk.pools.pool import Pools  # a host without heavy steps does not load it

            self.pools = Pools(self._pool_configs, self._project)
        return self.pools.find(name, cpus, gpus)

    def close(self) -> None:
        if self.pools is not None:
            self.pools.close()
        self.set_writable(True)
        self.agent_threads.shutdown(wait=False, cancel_futures=True)
        self.step_threads.shutdown(wait=False, cancel_futures=True)
