"""The loop of one source: takes as many messages as can be worked off, and settles each when it is durable.

Messages of one order are taken in one after the other, and when one has to come again, so have those behind it, also
those that come later. All others of a batch go together, so that they share a commit. Where work ends piece by piece,
a moment is waited so that messages are not fetched, kept and acknowledged piece by piece too. A connection that breaks
is tried again, with a pause that grows; nothing that was not acknowledged is lost by that.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pilothouse.communication.triggers.order import Lines
from pilothouse.engine.run import wait_run
from pilothouse.engine.source import Intake, Taken, Unfit, is_settled, take_in
from pilothouse.engine.world import World
from pilothouse.errors import PilothouseError
from pilothouse.ports.source import Incoming, Source

FULL_PAUSE = 0.05
GATHER_FOR = 0.02
"""Seconds that are waited once for more credit than a little."""
LITTLE = 4
"""What is less than one of so many parts of `concurrency` is a little credit."""
AGAIN_AFTER = 5.0
"""Seconds for which a message is given back that could not be taken now."""
CONNECT_AGAIN = (0.2, 1.0, 5.0, 15.0)
ANSWER_WITHIN = 60.0
"""Seconds in which a broker must have brought something or nothing, or taken what was settled; then it is let go, and
the next round connects again. What its client waits for by itself is shorter."""
CLOSE_WITHIN = 10.0


@dataclass(slots=True)
class Counts:
    """What a source has brought since the node started."""

    taken: int = 0
    repeated: int = 0
    dead: int = 0
    given_back: int = 0
    problem: str | None = None
    """What is wrong with its connection now."""


@dataclass(slots=True)
class SourceLoop:
    """`start`, then `stop`. Stopping twice does nothing. `round` is public, so that a test can drive it."""

    world: World
    intake: Intake
    source: Source
    on_error: Callable[[str], None]
    counts: Counts = field(default_factory=Counts)
    _task: "asyncio.Task[None] | None" = None
    _lines: Lines = field(default_factory=Lines)
    _held: "set[asyncio.Task[None]]" = field(default_factory=set)
    _is_over: bool = False

    def start(self) -> None:
        name, self._is_over = f"source {self.intake.rule.name}", False
        self._task = asyncio.get_running_loop().create_task(self._work(), name=name)

    async def stop(self) -> None:
        """The client of a broker may lose a cancellation that meets the end of its own time limit: then the round that
        is under way is the last one."""
        self._is_over = True
        task, self._task = self._task, None
        tasks = [*([] if task is None else [task]), *self._held]
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._let_go()

    async def _let_go(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.source.close()

    async def _work(self) -> None:
        failed = 0
        while not self._is_over:
            try:
                if not await self.round():
                    await asyncio.sleep(FULL_PAUSE)
                failed, self.counts.problem = 0, None
            except asyncio.CancelledError:
                if self._is_to_end():
                    raise
                await self._fail(ConnectionError("the client of the broker gave up"), failed)
                failed += 1
            except Exception as error:  # whatever a broker's client raises: it is told, and tried again
                await self._fail(error, failed)
                failed += 1

    def _is_to_end(self) -> bool:
        """Whether somebody cancelled this task. Clients raise CancelledError themselves, to whoever waits for an answer
        on a connection that they close: that is a fault like others, and must not end the source in silence."""
        task = asyncio.current_task()
        return self._is_over or task is None or task.cancelling() > 0

    async def _fail(self, error: Exception, failed: int) -> None:
        """Tells what is wrong, and waits before the next try."""
        said = str(error) or "no answer in time"
        told = error.message if isinstance(error, PilothouseError) else f"{type(error).__name__}: {said}"
        if self.counts.problem is None:
            self.on_error(f"source {self.intake.rule.name}: {told}")
        self.counts.problem = told[:500]
        self._lines.touch()
        if isinstance(error, TimeoutError):
            await self._let_go()
        await asyncio.sleep(CONNECT_AGAIN[min(failed, len(CONNECT_AGAIN) - 1)])

    async def credit(self) -> int:
        """How many messages may be taken: what the agent has not begun or not ended counts, what waits for a person or
        a signal does not."""
        rule = self.intake.rule
        if self.world.is_draining:
            return 0
        queue = await self.world.records.count_queue(self.intake.tenant, rule.agent)
        return rule.concurrency - queue.ready - queue.held - queue.running

    async def round(self) -> bool:
        """Takes what there is credit for. False: there is none now."""
        credit = await self.credit()
        if 0 < credit < self.intake.rule.concurrency // LITTLE:
            await asyncio.sleep(GATHER_FOR)
            credit = await self.credit()
        if credit <= 0:
            return False
        lanes: dict[str, list[Incoming]] = {}
        work: list[Coroutine[Any, Any, object]] = []
        async with asyncio.timeout(ANSWER_WITHIN):
            found = await self.source.want(credit)
        for one in found:
            try:
                order = self.intake.order_of(one.message)
            except Unfit:
                order = None  # it becomes a dead letter below
            if order is None:
                work.append(self._take(one))
            else:
                lanes.setdefault(order, []).append(one)
        work += [self._take_lane(order, lane) for order, lane in lanes.items()]
        settled = await asyncio.gather(*work, return_exceptions=True)
        for fault in settled:  # one that could not be settled comes again; it must not keep the others from it
            if isinstance(fault, BaseException):
                raise fault
        return True

    async def _take(self, one: Incoming) -> bool:
        """False: it has to come again."""
        taken = await take_in(self.world, self.intake, one.message)
        await self._settle(one, taken)
        return taken.outcome != "again"

    async def _take_lane(self, order: str, lane: list[Incoming]) -> None:
        """The messages of one order that came now, and behind those of it that have to come again."""
        lines = self._lines
        if order not in lines:
            for number, one in enumerate(lane):
                if not await self._take(one):
                    self._join(order, one)
                    for behind in lane[number + 1 :]:
                        self._join(order, behind)
                        await self._give_back(behind)
                    return
            return
        here: dict[str, list[Incoming]] = {}
        for one in lane:
            here.setdefault(self._join(order, one), []).append(one)
        for key, place, is_overdue in lines.walk(order):
            came = here.pop(key, None)
            if came is None:
                if not is_overdue and not await is_settled(self.world, self.intake, key, place.sender_key):
                    break
            elif not all([await self._take(one) for one in came]):
                break
            lines.leave(order, key)
        for early in here.values():
            for one in early:
                await self._give_back(one)

    def _join(self, order: str, one: Incoming) -> str:
        """Its key; it has its place in the line of the order from now on."""
        try:
            key = self.intake.key_of(one.message)
        except Unfit:
            key = one.message.key
        self._lines.join(order, key, one.message.key)
        return key

    async def _settle(self, one: Incoming, taken: Taken) -> None:
        counts = self.counts
        match taken.outcome:
            case "dead":
                counts.dead += 1
                await _answered(one.dead_letter(taken.reason or ""))
            case "again":
                await self._give_back(one)
            case _:
                counts.taken += taken.outcome == "run"
                counts.repeated += taken.outcome == "repeat"
                if self.intake.rule.acknowledge == "durable" or taken.run is None:
                    await _answered(one.ack())
                else:
                    task = asyncio.get_running_loop().create_task(self._hold(one, taken.run))
                    self._held.add(task)
                    task.add_done_callback(self._held.discard)

    async def _give_back(self, one: Incoming) -> None:
        self.counts.given_back += 1
        await _answered(one.nack(AGAIN_AFTER))

    async def _hold(self, one: Incoming, run: str) -> None:
        """Until the run has ended; the sender is told meanwhile that it is worked on. When the run cannot be read now,
        the message comes again and finds it; when the connection breaks, the broker sees to that."""
        with contextlib.suppress(Exception):
            try:
                while not (await wait_run(self.world, self.intake.tenant, run, self.source.extend_every)).is_terminal:
                    await _answered(one.extend())
            except PilothouseError:
                await self._give_back(one)
            else:
                await _answered(one.ack())


async def _answered(settling: Coroutine[Any, Any, None]) -> None:
    """Raises TimeoutError when the broker does not take it."""
    async with asyncio.timeout(ANSWER_WITHIN):
        await settling
