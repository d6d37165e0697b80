"""The life of a node inside of a test: real engine, records and host, a clock that the test holds, crashes on demand.

Nothing here waits for time to pass. What becomes due when the test moves the clock happens at once and in order; what
the agent does meanwhile (a request to a model server, say) takes as long as it takes. A crash drops every attempt
without a word, as `kill -9` does; the records are opened again and the runs go on from their journals. One thing
differs from a process that is killed: `finally` blocks of the agent run. `pilothouse serve` is tested with real
processes elsewhere.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from pilothouse.communication.bus.memory import MemoryBus
from pilothouse.compute.loops import Loops
from pilothouse.compute.options import AgentOptions, WorkerOptions
from pilothouse.domain.delivery import Receiver, Receivers
from pilothouse.domain.event import Segment
from pilothouse.domain.run import Run
from pilothouse.domain.topic import SUBSCRIBER
from pilothouse.engine import timer
from pilothouse.engine.world import Limits, LiveRun, World
from pilothouse.errors import PilothouseError, RecordsUnavailable, TargetInvalid
from pilothouse.ports.bus import Bus
from pilothouse.ports.hot import HotStore
from pilothouse.security.cedar import CedarLanguage
from pilothouse.storage.hot.memory import MemoryHotStore
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.clock import ManualClock, ManualEntropy, span_of
from pilothouse.testing.faulty import FaultyRecords
from pilothouse.testing.invariants import Witness
from pilothouse.testing.local_host import CrashPoint, LocalWorker, Watch, WatchedClock, When
from pilothouse.testing.shelf import Shelf

T = TypeVar("T")

PARK_AFTER = 0.002
"""Real seconds for which an attempt may do nothing but wait before it is parked."""
ROUNDS = 50
"""Of the event loop, in which what is ready at the end of a patience is done."""
SMALL = SqliteOptions(wal_size=0)


class NodeCrashed(PilothouseError):
    """The node crashed before it answered."""

    code = "node_crashed"
    hint_text = "This is the crash the test asked for; `restart` the node and ask again."


class LocalLife:
    """Starting, driving, crashing and restarting. What one asks a node for is in `LocalNode`."""

    def __init__(
        self,
        agents: Mapping[str, Any],
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        clock: ManualClock | None = None,
        folder: Path | None = None,
        limits: Limits | None = None,
        slots: int = 64,
        restarts: bool = True,
        patience: float = 1.0,
        grace: float = 5.0,
        through: Callable[[SqliteRecords], FaultyRecords] = FaultyRecords,
        bus: Callable[[], Bus] = MemoryBus,
        hot: HotStore | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        self.entropy = ManualEntropy()
        self.errors: list[BaseException] = []
        """What nobody handled: faults of loops, chores and callbacks."""
        self.witness = Witness()
        """Every event of this node that became durable, over all crashes; a test adds the effects it sees."""
        self.told: list[tuple[Run, str | None]] = []
        """The ends that the node told those who count: each run as it ended, and the trace it belongs to."""
        self.restarts = restarts
        self.crashes = 0
        self._agents = dict(agents)
        self._options = {name: dict(one) for name, one in (options or {}).items()}
        topics = {name: tuple(one.pop("subscribes", ())) for name, one in self._options.items()}
        self.receivers = Receivers(
            tuple(Receiver(name=SUBSCRIBER + name, events=(), topics=one) for name, one in topics.items() if one)
        )
        """Who is told of events: the agents that subscribe; a test may put others here before it opens the node."""
        self._folder, self._limits, self._slots, self._patience = folder, limits or Limits(), slots, patience
        self._grace = grace
        self._through, self._make_bus, self._hot = through, bus, hot
        self._watch = Watch(self._move, lambda: self.records.kill())
        self._shelf = Shelf()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._is_open = False

    # --- life -------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Raises `TargetInvalid` for an agent that cannot be loaded."""
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="pilothouse-")
            self._folder = Path(self._temporary.name)
        loop = asyncio.get_running_loop()
        self._handler = loop.get_exception_handler()
        loop.set_exception_handler(self._fault)
        self._is_open = True
        try:
            await self._boot()
        except BaseException:
            self._is_open = False
            self._leave()
            raise

    async def close(self) -> None:
        """Ends the node, and raises what nobody handled while it lived. A second call does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        await self._end()
        self._leave()
        if self.errors:
            raise self.errors[0]

    def _leave(self) -> None:
        self._shelf.clear()
        asyncio.get_running_loop().set_exception_handler(self._handler)
        with contextlib.suppress(ValueError):
            sys.path.remove(str(self._folder))
        if self._temporary is not None:
            self._temporary.cleanup()

    def _fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(str(context.get("message")))
        if not self.is_dead:  # what a dying node trips over is not heard
            self.errors.append(error)

    async def _boot(self) -> None:
        folder = str(self._folder)
        self._death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moved = asyncio.Event()
        self._claiming = self._claim_again = False
        self.kept = SqliteRecords(f"{folder}/records.db", options=SMALL)
        """The records themselves: what is read here is not counted, and can be read while the node is dead."""
        self.records = self._through(self.kept)
        self.records.on_kill = self._died
        await self.kept.open()
        options = self._worker_options(folder)
        self.held_clock = WatchedClock(self.clock)
        owner = f"local-{self.crashes}"
        self.worker = LocalWorker(owner, options, self._work, held_clock=self.held_clock)
        self.worker.watch = self._watch
        self.bus = self._make_bus()
        self.world = World(self.records, self.bus, self.clock, self.entropy, self.worker, self._limits, self.receivers)
        self.world.hot = self._hot or MemoryHotStore(self.clock.now)
        self.world.language = CedarLanguage()
        self.world.on_end = lambda run, traceparent: self.told.append((run, traceparent))
        self.loops = Loops(self.world, self.worker, options, lambda text: None)
        self.records.listen(self._publish)
        await self.worker.start()
        for name, problem in self.worker.problems.items():
            await self._end()
            raise TargetInvalid(problem, agent=name, target=name, reason=problem)
        await self._or_die(self.loops.take_over())
        self.bus.answer("work", lambda key: self._work())
        self.bus.answer("timer", lambda key: self._spawn(self.run_due()))
        self._spawn(self.run_due())
        self._work()
        while self._chores and not self.is_dead:
            await self.wait_move(self._patience)

    def _worker_options(self, folder: str) -> WorkerOptions:
        agents = {
            name: AgentOptions(self._shelf.put(name, agent), is_inline=True, **self._options.get(name, {}))
            for name, agent in self._agents.items()
        }
        return WorkerOptions(
            folder, agents, slots=self._slots, park_after=PARK_AFTER, threads=4, cancel_grace=self._grace
        )

    def _publish(self, tenant: str, segment: Segment) -> None:
        self._move()
        self.witness.hear(segment)
        self.bus.publish(tenant, segment)

    async def _end(self) -> None:
        self.records.is_dead = True
        await self.loops.stop()
        self._host_dies()
        tasks = [*self._chores, *self.world.chores]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.worker.stop(0)
        await self.kept.close()

    # --- crashes ----------------------------------------------------------------------------------------------------

    @property
    def is_dead(self) -> bool:
        return self.records.is_dead

    def crash(self) -> None:
        """Now, as `kill -9`."""
        self.records.kill()

    def crash_at_step(self, step: str, when: When = "after_effect", occurrence: int = 1) -> None:
        """The node will crash at the n-th execution of the step of this name: `before` its effect (of a `once` step:
        when its intent is kept), `after_effect` and before the result is known to anybody, or `after_commit`, when the
        result is kept and the agent has not gone on."""
        self._watch.points.append(CrashPoint(step, when, occurrence))

    def lose_host(self) -> None:
        """The host ends and another one takes its place; the node lives on."""
        if self.worker.watched is not None:
            self.worker.watched.kill()

    def _died(self) -> None:
        self.crashes += 1
        self._host_dies()
        if not self._death.done():
            self._death.set_result(None)
        self._move()

    def _host_dies(self) -> None:
        if self.worker.watched is not None:
            self.worker.watched.die()

    async def restart(self, agents: Mapping[str, Any] | None = None) -> None:
        """A new node on the same records, after a crash or instead of a life that goes on; with other code when
        `agents` are given."""
        self.records.kill()
        await self._end()
        if agents is not None:
            self._agents = dict(agents)
        await self._boot()

    @property
    def executions(self) -> Counter[str]:
        """How often the function of a step was called, by the name of the step, over all runs and crashes."""
        return self._watch.executions

    # --- driving ----------------------------------------------------------------------------------------------------

    def _move(self) -> None:
        """Something happened."""
        self._moved.set()

    def _work(self) -> None:
        """Runs may be ready: they are claimed by a chore of which there is one at a time."""
        self._claim_again = True
        if not self._claiming and not self.is_dead:
            self._claiming = True
            self._spawn(self._claim())

    async def _claim(self) -> None:
        try:
            while self._claim_again:
                self._claim_again = False
                while await self.loops.claim_round():
                    pass
        finally:
            self._claiming = False

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._chores.discard(task)
        self._move()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, RecordsUnavailable):  # the next round does it
            self._fault(asyncio.get_running_loop(), {"exception": error})

    async def run_due(self) -> None:
        """What is due by the clock."""
        while await timer.run_timers(self.world):
            pass

    async def tick(self) -> None:
        """One round of what the loops of a node do. What the records refuse is left to the next one."""
        with contextlib.suppress(RecordsUnavailable):
            await self._round()

    async def _round(self) -> None:
        """What is due, what is held, what is old, what is ready."""
        await self.run_due()
        await self.loops.renew_round()
        while await self.loops.sweep_round():
            pass
        self.worker.backlog.update(agent.name for agent in self.worker.agents())
        self._work()

    @property
    def is_still(self) -> bool:
        """Nothing happens any more until somebody acts or the clock moves."""
        if self.is_dead or self._chores or self.world.chores:
            return False
        return all(self._rests(live) for live in self.world.attempts.values())

    def _rests(self, live: LiveRun) -> bool:
        """Whether an attempt sleeps on the clock: between two tries, or in a run that is not kept."""
        actor = getattr(live, "actor", None)
        return (actor is None and not live.kept) or self.held_clock.sleeping[getattr(actor, "slot", -2)] > 0

    async def wait_move(self, within: float) -> bool:
        """Whether something happened in time."""
        self._moved.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._moved.wait()
        return self._moved.is_set()

    async def settle(self) -> None:
        """Returns when the node is still or dead; or when for `patience` real seconds nothing happened although an
        attempt is under way: its step waits for something that the test holds."""
        with contextlib.suppress(NodeCrashed):
            await self._or_die(self.tick())
        while not (self.is_still or self.is_dead) and await self._goes_on():
            pass

    async def _goes_on(self) -> bool:
        """Whether something happened within `patience`, or is still under way. A process that the machine did not let
        run for that long finds the time over before it has done what was ready: the rounds of the loop let it."""
        if await self.wait_move(self._patience) or self.records.under_way:
            return True
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        return self._moved.is_set() or self.records.under_way > 0

    async def advance(self, span: timedelta | float = 0.0, **units: float) -> None:
        """Moves the clock by a span, seconds or `hours=3`, from one instant at which something is due to the next."""
        target = self.clock.now() + span_of(span, **units)
        await self.settle()
        while not self.is_dead:
            due = await self._next_due()
            if due is None or due > target:
                break
            self.clock.advance_to(due)
            await self.settle()
        self.clock.advance_to(target)
        if not self.is_dead:
            await self.settle()

    async def _next_due(self) -> int | None:
        """The next instant at which something happens; None when nothing waits for the clock."""
        dues = [await self.kept.next_due(), self.clock.next_waking, *self._tries()]
        later = [due for due in dues if due is not None and due > self.clock.now()]
        return min(later, default=None)

    def _tries(self) -> list[int | None]:
        return [getattr(live, "again_at", None) for live in self.world.attempts.values()]

    async def revive(self) -> None:
        """Starts a node that crashed again. Raises `NodeCrashed` when the test wants to do that itself."""
        if self.is_dead:
            if not self.restarts:
                raise NodeCrashed()
            await self.restart()

    async def _or_die(self, act: Awaitable[T]) -> T:
        """What `act` gives. Raises `NodeCrashed` when the node dies before."""
        task = asyncio.ensure_future(act)
        await asyncio.wait((task, self._death), return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not (self.is_dead and task.exception() is not None):
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise NodeCrashed()
