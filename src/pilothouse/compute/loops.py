"""The loops of a node: claim what is ready, renew what is held, wake what is due, remove what is old.

Each round is a verb of the engine and bounded; each loop also runs on a bell, and at least once in its period, since a
bell may be lost. A round that fails is told and left to the next one: no fault may end a loop while the node serves.
The rounds are public, so that a test can drive a node round by round.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from pilothouse.compute.host import Calls
from pilothouse.compute.options import WorkerOptions
from pilothouse.compute.worker import NodeWorker
from pilothouse.domain.ids import DEFAULT_TENANT
from pilothouse.domain.lease import RENEW_EVERY
from pilothouse.domain.policy import Proposal
from pilothouse.domain.roster import ANYBODY, read_work_bell, work_bell
from pilothouse.engine import action, admission, call, evidence, hold, lease, policy, retention, sampling, timer
from pilothouse.engine import key as keys
from pilothouse.engine.world import World, spawn
from pilothouse.errors import PilothouseError, RecordsUnavailable
from pilothouse.ports.records import ClaimWish
from pilothouse.ports.worker import Notebook
from pilothouse.wire.frames import CallAgent, ProposeAction

POLL_EVERY = 1.0
TIMER_AT_MOST = 1.0
TIMER_AT_LEAST = 0.02
"""Seconds between rounds when something stays due: a run past its deadline whose code takes its time to end."""
SWEEP_EVERY = 60.0
PASS_ON_EVERY = 0.05
"""Seconds between two bells for everybody of a node that was named and has no place."""


class Loops:
    """`start` after the worker has started; `stop` before it stops. Stopping twice does nothing."""

    def __init__(
        self, world: World, worker: NodeWorker, options: WorkerOptions, on_error: Callable[[str], None]
    ) -> None:
        self._world, self._worker, self._options, self._on_error = world, worker, options, on_error
        self._pruner = retention.Pruner(
            options.retention_days, options.agent_retention_days, options.tenant_retention_days
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._unhook: list[Callable[[], None]] = []
        self._work = asyncio.Event()
        self._timer = asyncio.Event()
        self._last_poll = 0.0
        self._rung: set[str] = set()
        """Agents for which something became ready while a claim was under way, which may have missed it."""
        self._passed_on: dict[str, float] = {}
        """By agent, when it was left to the others last."""
        worker.on_call = self.on_call()

    def ring_work(self) -> None:
        self._work.set()

    def on_call(self) -> Calls:
        world = self._world

        def begin(notebook: Notebook, asked: CallAgent | ProposeAction) -> None:
            if isinstance(asked, ProposeAction):
                proposal = Proposal(asked.key, asked.tool, asked.risk, asked.arguments)  # type: ignore[arg-type]
                action.propose(world, notebook, asked.ref, proposal)  # type: ignore[arg-type]
                return
            call.call_agent(world, notebook, asked.ref, asked.row, asked.agent, asked.input)

        return begin

    async def start(self) -> None:
        """First what earlier nodes left behind, then the loops."""
        await self.take_over()
        loops = (self._claim, self._renew, self._wake, self._sweep, self._attest)
        self._tasks = [asyncio.get_running_loop().create_task(loop(), name=loop.__name__) for loop in loops]
        self._work.set()

    async def take_over(self) -> None:
        """What earlier nodes left behind goes back to the queue; from here on the bells are answered."""
        if self._options.is_alone:
            self._worker.leases_taken_over(await lease.take_over_orphans(self._world))
        await admission.count_backlogs(self._world)
        await evidence.ready_seal(self._world, DEFAULT_TENANT, None)
        await keys.load_keys(self._world)
        await policy.load_policies(self._world)
        await hold.load_holds(self._world)
        await sampling.load_plans(self._world)
        self._worker.backlog.update(agent.name for agent in self._worker.agents())
        bus = self._world.bus
        self._unhook = [
            bus.answer("work", self._on_work),
            bus.answer("timer", lambda key: self._timer.set()),
            bus.answer("resolved", lambda key: self._deliver(timer.deliver_resolved, key)),
            bus.answer("cancel", lambda key: self._deliver(timer.deliver_cancel, key)),
        ]

    async def drain(self) -> None:
        """Takes no more, and keeps what is held: an attempt that is given time to end must not lose its lease."""
        kept = [task for task in self._tasks if task.get_name() == self._renew.__name__ and not task.done()]
        ended = [task for task in self._tasks if task not in kept]
        self._tasks = kept
        await self._end(ended)

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for unhook in self._unhook:
            unhook()
        await self._end(tasks)

    @staticmethod
    async def _end(tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_work(self, key: str) -> None:
        agent, node = read_work_bell(key)
        if node not in ("", ANYBODY, self._worker.owner):
            return  # whoever rang looks whether that one came
        if node == ANYBODY:
            self._worker.unbound.add(agent)
        self._look_for(agent)
        if node == self._worker.owner and self._worker.is_shared and not self._worker.has_place(agent):
            self._pass_on(agent)

    def _pass_on(self, agent: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._passed_on.get(agent, -PASS_ON_EVERY) >= PASS_ON_EVERY:
            self._passed_on[agent] = now
            self._world.bus.ring("work", work_bell(agent, ANYBODY))

    def _look_for(self, agent: str) -> None:
        known = [agent] if self._worker.find(agent) is not None else [one.name for one in self._worker.agents()]
        self._worker.backlog.update(known)
        self._rung.update(known)
        self._work.set()

    def _deliver(self, verb: Callable[[World, str, str], Awaitable[None]], key: str) -> None:
        tenant, _, run = key.partition("/")

        async def act() -> None:
            with contextlib.suppress(RecordsUnavailable):  # the next round of its loop delivers it
                await verb(self._world, tenant, run)

        spawn(self._world, act())

    async def _rounds(self, act: Callable[[], Awaitable[bool | None]], bell: asyncio.Event, every: float) -> None:
        while True:
            bell.clear()
            more: bool | None = False
            try:
                more = await act()
            except Exception as error:
                self._tell(act.__name__, error)
            if more:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await bell.wait()

    def _tell(self, where: str, error: Exception) -> None:
        """A fault that nobody foresaw also goes to the loop's exception handler, with its traceback."""
        self._on_error(f"{where}: {error!r}" if not isinstance(error, PilothouseError) else f"{where}: {error}")
        if not isinstance(error, PilothouseError):
            context = {"message": f"a round of {where} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    # --- the rounds -------------------------------------------------------------------------------------------------

    async def _claim(self) -> None:
        await self._rounds(self._poll_and_claim, self._work, POLL_EVERY)

    async def _poll_and_claim(self) -> bool:
        loop = asyncio.get_running_loop()
        if loop.time() - self._last_poll >= POLL_EVERY:  # a bell may be lost
            self._last_poll = loop.time()
            self._worker.backlog.update(agent.name for agent in self._worker.agents())
        return await self.claim_round()

    async def claim_round(self) -> bool:
        """Claims what there are places for, and begins it. True: there may be more."""
        wishes = self._worker.wishes()
        if not wishes:
            return False
        left = {wish.agent: wish.count for wish in wishes}
        self._rung.clear()
        try:
            claimed = await lease.claim_runs(self._world, wishes)
        except BaseException:
            self._give_back(left)
            raise
        self._worker.claimed(len(claimed))
        for run in claimed:
            left[run.agent] -= 1
            self._worker.shares.hold(run.agent, run.tenant)
        for run in await hold.give_back_held(self._world, claimed):
            known = self._worker.find(run.agent)
            assert known is not None
            call.continue_run(self._world, run, known)
        done = {wish.agent for wish in wishes if _found_all(wish, left[wish.agent])} - self._rung
        self._worker.backlog -= done
        self._give_back(left)
        return bool(self._worker.backlog) and bool(claimed or done)

    def _give_back(self, counts: dict[str, int]) -> None:
        for agent, count in counts.items():
            if count:
                self._worker.give_back(agent, count)

    async def _renew(self) -> None:
        await self._rounds(self.renew_round, asyncio.Event(), RENEW_EVERY / 1e6)

    async def renew_round(self) -> None:
        """Keeps what this node holds, and takes over what nobody holds any more."""
        await lease.renew_leases(self._world)
        self._worker.leases_taken_over(await lease.take_over_expired(self._world))
        await keys.load_keys(self._world)  # made or revoked at another node
        await timer.deliver_cancels(self._world)
        await policy.load_policies(self._world)
        await hold.load_holds(self._world)
        await sampling.load_plans(self._world)
        for live in list(self._world.attempts.values()):
            if live.kept and live.open_waits:  # a bell may be lost
                await timer.deliver_resolved(self._world, live.run.tenant, live.run.id)

    async def _wake(self) -> None:
        while True:
            self._timer.clear()
            left = TIMER_AT_MOST
            try:
                while await timer.run_timers(self._world):
                    pass
                self._worker.queue_counted(await admission.count_backlogs(self._world))
                self._worker.look_at_pace(self._world.clock.now() / 1e6)
                self._worker.shares.meet(tenant for tenant, _ in self._world.backlogs.known)
                due = await self._world.records.next_due()
                if due is not None:
                    left = (due - self._world.clock.now()) / 1e6
            except Exception as error:
                self._tell("timer", error)
            if left > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(TIMER_AT_MOST, left)):
                        await self._timer.wait()
            else:
                await asyncio.sleep(TIMER_AT_LEAST)

    async def _sweep(self) -> None:
        await self._rounds(self.sweep_round, asyncio.Event(), SWEEP_EVERY)

    async def sweep_round(self) -> bool:
        """Counts what waits for people, and removes what is old. True: there may be more."""
        await sampling.sample_round(self._world)
        self._worker.reviews_counted(await timer.count_reviews(self._world))
        more = await retention.sweep_sessions(self._world)
        more = await self._pruner.prune(self._world) or more
        return await retention.prune_signins(self._world) == retention.BATCH or more

    async def _attest(self) -> None:
        await self._rounds(self.attest_round, asyncio.Event(), self._options.checkpoint_every)

    async def attest_round(self) -> None:
        """Signs a checkpoint of each audit log that grew, and archives it."""
        try:
            await evidence.checkpoint_all(self._world)
        finally:
            for refused in await evidence.archive_all(self._world):
                self._on_error(f"{self.attest_round.__name__}: {refused}")


def _found_all(wish: ClaimWish, left: int) -> bool:
    """Whether nothing more is ready: what a claim left because the last places are kept for others may be claimed as
    soon as one more is free."""
    return left > 0 and wish.count - left < (wish.count if wish.open is None else wish.open)
