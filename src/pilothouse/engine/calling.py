"""An attempt as the one that calls outside: asks for calls, settles them, keeps what they used, and runs out of time.

Both kinds of attempt have it, kept and unkept; they differ in how what was used becomes durable and in how a run ends.
An attempt that never asked for anything costs nothing here.
"""

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from pilothouse.domain.limit import LimitState
from pilothouse.domain.price import Price
from pilothouse.domain.run import Run
from pilothouse.domain.scratch import ScratchWish
from pilothouse.engine.ledger import AccountKey
from pilothouse.engine.limit import SharedLimits
from pilothouse.engine.scratch import use_scratch
from pilothouse.engine.world import World, spawn
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import AddCost, AddSpend, Change, Conflict, Receipt
from pilothouse.ports.hot import SharedLimitStore
from pilothouse.ports.outgoing import CallResult, CallWish, Denial
from pilothouse.ports.worker import Actor

LOOK_AGAIN_AT_LEAST = 0.01
ANSWER_TAKES = 0.1
"""Seconds that a node may need to hear what a store has answered in time."""
Pause = Annotated[float, Meta(ge=0)]
read_breaker = msgspec.json.Decoder(tuple[str, str, Pause]).decode


class Calling:
    """What an attempt inherits. Who ends calls `stop_calling`, once."""

    world: World
    run: Run
    actor: Actor | None
    calls_outside = False
    _look_at_time: asyncio.TimerHandle | None = None

    def ask_call(self, ref: int, wish: CallWish) -> None:
        self.calls_outside = True
        self.world.outgoing.ask(self, ref, wish)

    def settle_call(self, ref: int, result: CallResult) -> None:
        self.world.outgoing.settle(self, ref, result)

    def granted(self, ref: int, price: Price | None) -> None:
        if self.actor is not None:
            self.actor.granted(ref, price)

    def denied(self, ref: int, denial: Denial) -> None:
        if self.actor is not None:
            self.actor.denied(ref, denial)

    def use_scratch(self, ref: int, wish: ScratchWish) -> None:
        async def use() -> None:
            answer = await use_scratch(self.world, self.run, wish)
            if self.actor is not None:
                self.actor.scratch_used(ref, answer)

        spawn(self.world, use())

    def keep_spend(self, rows: list[AddSpend], kept: Callable[[], None]) -> None:
        """A Change of its own: for who has no other to put it into."""

        def done(result: Receipt | Conflict | Exception) -> None:
            if isinstance(result, RecordsUnavailable):
                asyncio.get_running_loop().call_later(1.0, lambda: self.keep_spend(rows, kept))
            else:
                kept()

        self.world.records.submit(Change(tuple(rows)), done)

    def keep_costs(self, rows: list[AddCost]) -> None:
        """Soon, together with those of others: for who has no Change to put them into."""
        self.world.outgoing.costs.add(rows)

    @abstractmethod
    def exceed(self, denial: Denial) -> None:
        """A budget of time is used up: the run ends."""

    def watch_time(self) -> None:
        """The attempt begins: where wall time is capped, it ends when that is used up."""
        ledger = self.world.outgoing.ledger
        if ledger.is_timed(self.run.agent):
            self.calls_outside = True
            ledger.enter(self)
            self._watch()

    def _watch(self) -> None:
        left = self.world.outgoing.ledger.time_left(self)
        if left is None:
            return
        seconds, denial = left
        if seconds <= 0:
            self.exceed(denial)
        else:
            again = max(LOOK_AGAIN_AT_LEAST, seconds)
            self._look_at_time = asyncio.get_running_loop().call_later(again, self._watch)

    def stop_calling(self) -> None:
        if self.calls_outside:
            self.calls_outside = False
            if self._look_at_time is not None:
                self._look_at_time.cancel()
            self.world.outgoing.leave(self)


def share_limits(
    world: World, store: SharedLimitStore, within: float, nodes: Callable[[], int], say: Callable[[str], None]
) -> Callable[[], LimitState]:
    """From now on the limits of this world are drawn from a store that answers or fails `within` seconds. Gives how
    that stands."""
    outgoing = world.outgoing
    now = world.clock.now
    limits = SharedLimits(store, within + ANSWER_TAKES, lambda: now() / 1e6, outgoing.look_again, nodes, say)
    outgoing.limits = limits
    return limits.state


def open_accounts(world: World) -> None:
    """Lets the calls of a world go by its clock, and its accounts be read from its records."""
    outgoing = world.outgoing
    ledger = outgoing.ledger
    outgoing.clock, ledger.now = world.clock, world.clock.now

    async def read(key: AccountKey) -> None:
        try:
            spent = await world.records.get_spend(key.tenant, key.scope, key.name, key.period)
        except RecordsUnavailable:
            await asyncio.sleep(1.0)
            ledger.not_loaded(key)
        else:
            ledger.loaded(key, spent)
        outgoing.look_again()

    def tell(provider: str, model: str, pause: float) -> None:
        world.bus.ring("breaker", msgspec.json.encode((provider, model, pause)).decode())

    def hear(key: str) -> None:
        with contextlib.suppress(msgspec.DecodeError):  # of a release that says it otherwise
            outgoing.hear_breaker(*read_breaker(key))

    outgoing.tell_breaker = tell
    world.bus.answer("breaker", hear)
    outgoing.costs.submit = world.records.submit
    ledger.on_kept = outgoing.look_again
    ledger.load = lambda key: spawn(world, read(key))
