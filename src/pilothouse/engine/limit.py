"""How much a minute: what this node admits by itself, or together with all nodes that draw on one store.

Shared, a node draws what it needs and some more, so that most calls ask nobody: all that is short in one tick goes in
one round trip, and there is never more than one under way. What was drawn is counted
there at once; what lies idle goes back. So all nodes together admit what the limit says, and the burst may come late
by what the nodes hold.

A store that is away is no reason to stop: each node then goes by its share of the limit, looks every second whether
the store is back, and says both. It counts by itself all along, so that the change of place is not a second burst.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote

from msgspec import Struct

from pilothouse.domain.limit import MINUTE, Limit, LimitState, advance, wait_for
from pilothouse.errors import HotStoreUnavailable
from pilothouse.ports.hot import Draw, SharedLimitStore

Key = tuple[str, ...]

BATCH = 0.1
"""Seconds of a limit that are drawn ahead at least, once a first draw was not enough."""
HELD = 1.0
"""Seconds of a limit that a node holds at most for later, beside what it is about to use."""
IDLE = 1.0
"""Seconds after which what lies idle goes back, and after which a store that was away is tried again."""
ASKING = 0.05
"""What a call is told to wait that waits for the store alone: it is looked at again when the answer comes."""
ACCOUNTS_LIMIT = 10_000


class CallLimits(Protocol):
    """`now` and waits in seconds, `cost` in units of the limit."""

    patience: float
    """How long a call may have to wait for an answer, beside what it waits for its turn."""

    def wait(self, key: Key, limit: Limit, now: float, cost: float) -> float:
        """0.0: `cost` may be taken now."""
        ...

    def take(self, key: Key, limit: Limit, now: float, cost: float) -> None: ...

    def correct(self, key: Key, limit: Limit, now: float, difference: float) -> None:
        """What was taken was too little, or (negative) too much."""
        ...

    async def stop(self) -> None: ...


class OwnLimits(CallLimits):
    """Those of this node alone."""

    patience = 0.0

    def __init__(self) -> None:
        self._arrivals: dict[Key, float] = {}

    def wait(self, key: Key, limit: Limit, now: float, cost: float) -> float:
        return wait_for(limit, self._arrivals.get(key, 0.0), now, cost)

    def take(self, key: Key, limit: Limit, now: float, cost: float) -> None:
        self._arrivals[key] = advance(limit, self._arrivals.get(key, 0.0), now, cost)

    def correct(self, key: Key, limit: Limit, now: float, difference: float) -> None:
        self.take(key, limit, now, difference)

    async def stop(self) -> None:
        """Nothing goes on here."""


class Account(Struct):
    """What this node holds of one limit. `short` is what the first call in line lacks, `ahead` how many more calls like
    it are drawn for: twice as many each time that was not enough. Before `not_before` there is nothing to be had."""

    name: str
    limit: Limit
    credit: float = 0.0
    change: float = 0.0
    short: float = 0.0
    ahead: int = 0
    not_before: float = 0.0
    used_at: float = 0.0

    def draw(self) -> Draw:
        need, rate = self.short, self.limit.per_minute / MINUTE
        drawn = Draw(self.name, self.limit, self.change, need, need * (1 + self.ahead))
        if need:
            most = max(rate * HELD, (self.limit.tolerance / self.limit.interval) / 4)
            self.ahead = min(max(2 * self.ahead, int(rate * BATCH / need), 1), int(most / need))
        self.change = self.short = 0.0
        return drawn


class SharedLimits(CallLimits):
    """`nodes` tells how many share a limit, `on_answer` is called when a call that waits may go, `say` gets a line when
    the store went away or came back. `now` gives seconds; the store answers or fails within `patience`. `stop` in the
    end."""

    def __init__(
        self,
        store: SharedLimitStore,
        patience: float,
        now: Callable[[], float],
        on_answer: Callable[[], None],
        nodes: Callable[[], int],
        say: Callable[[str], None],
    ) -> None:
        self._store, self._now, self._on_answer, self._nodes, self._say = store, now, on_answer, nodes, say
        self.patience = patience
        self._own = OwnLimits()
        self._accounts: dict[Key, Account] = {}
        self._asking: asyncio.Task[None] | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._try_at = 0.0
        self._is_stopped = False
        self.is_shared = True
        self.draws = 0
        """Round trips."""
        self.failures = 0
        """Those of them that came to nothing."""

    def state(self) -> LimitState:
        return LimitState(self.is_shared, self.draws, self.failures)

    # --- what the calls ask ---

    def wait(self, key: Key, limit: Limit, now: float, cost: float) -> float:
        account = self._account(key, limit)
        if not self.is_shared or account is None:
            if now >= self._try_at:
                self._ask()
            return self._own.wait(key, self._share(limit), now, cost)
        if account.credit >= cost:
            return 0.0
        if account.not_before > now:
            return account.not_before - now
        if account.credit < 0:
            account.change -= account.credit
            account.credit = 0.0
        if not account.short:
            account.short = cost - account.credit
        self._ask()
        return ASKING

    def take(self, key: Key, limit: Limit, now: float, cost: float) -> None:
        self._own.take(key, self._share(limit), now, cost / self._divisor())
        account = self._account(key, limit)
        if self.is_shared and account is not None:
            account.credit -= cost
            account.used_at = now
            self._tidy_later()

    def correct(self, key: Key, limit: Limit, now: float, difference: float) -> None:
        self._own.correct(key, self._share(limit), now, difference / self._divisor())
        account = self._account(key, limit)
        if self.is_shared and account is not None:
            account.credit -= difference
            self._tidy_later()

    def _divisor(self) -> float:
        """While limits are shared, what a node uses is set against the whole limit, not against its share of it."""
        return float(max(1, self._nodes())) if self.is_shared else 1.0

    def _share(self, limit: Limit) -> Limit:
        nodes = max(1, self._nodes())
        return Limit(limit.per_minute / nodes, None if limit.burst is None else limit.burst / nodes)

    def _account(self, key: Key, limit: Limit) -> Account | None:
        """None: there are too many to share them."""
        found = self._accounts.get(key)
        if found is None and len(self._accounts) < ACCOUNTS_LIMIT:
            name = ":".join(quote(part, safe="") for part in key)
            found = self._accounts[key] = Account(name, limit)
        return found

    # --- the store ---

    def _ask(self) -> None:
        """With all that is short in this tick: the task begins after it."""
        if self._asking is None and not self._is_stopped:
            self._asking = asyncio.get_running_loop().create_task(self._draw(), name="limits")
            self._asking.add_done_callback(self._asked)

    def _asked(self, task: "asyncio.Task[None]") -> None:
        self._asking = None
        if not task.cancelled():
            task.result()
            self._on_answer()

    async def _draw(self) -> None:
        self.draws += 1
        accounts = [one for one in self._accounts.values() if one.short or one.change]
        draws = [one.draw() for one in accounts]
        try:
            answers = await self._store.draw(draws or [Draw("", Limit(MINUTE))])
        except HotStoreUnavailable as error:
            self._lost(error)
            return
        self._found()
        now = self._now()
        for account, draw, drawn in zip(accounts, draws, answers, strict=False):
            account.credit += drawn.granted
            account.used_at = now
            if draw.need and not drawn.granted:
                account.not_before = now + drawn.wait
        self._tidy_later()

    def _lost(self, error: HotStoreUnavailable) -> None:
        self.failures += 1
        self._try_at = self._now() + IDLE
        if self.is_shared:
            self.is_shared = False
            share = max(1, self._nodes())
            self._say(f"limits are no longer shared: {error}; this node goes by 1/{share} of each until that is mended")

    def _found(self) -> None:
        if not self.is_shared:
            self.is_shared = True
            self._say("limits are shared again")
            for account in self._accounts.values():
                account.credit = account.change = account.not_before = 0.0

    def _tidy_later(self) -> None:
        if self._tidying is None and not self._is_stopped:
            self._tidying = asyncio.get_running_loop().call_later(IDLE, self._tidy)

    def _tidy(self) -> None:
        """What lies idle, or is held beyond what is drawn at once, goes back; what is owed is told."""
        self._tidying = None
        now, is_left, is_short = self._now(), False, False
        for account in self._accounts.values():
            most = account.limit.per_minute / MINUTE * HELD
            if account.credit < 0 or now - account.used_at >= IDLE:
                account.change -= account.credit
                account.credit, account.ahead = 0.0, 0
            elif account.credit > most:
                account.change -= account.credit - most
                account.credit = most
            is_left = is_left or account.credit > 0
            is_short = is_short or account.change != 0
        if is_short and self.is_shared:
            self._ask()
        if is_left:
            self._tidy_later()

    async def stop(self) -> None:
        """A second call does nothing."""
        self._is_stopped = True
        if self._tidying is not None:
            self._tidying.cancel()
        asking = self._asking
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
