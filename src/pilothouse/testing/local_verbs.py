"""What a test asks a node for: to start runs and follow them over crashes, to decide, signal, cancel, and to look.

A run that was acknowledged is followed over crashes: the waiting verbs start a node that died again, and go on waiting.
They know when nothing can happen any more, and then say at once what the run waits for instead of running out of time.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from pilothouse.domain.ids import DEFAULT_TENANT, run_id
from pilothouse.domain.journal import ENDED
from pilothouse.domain.principal import LOCAL
from pilothouse.domain.review import Answer, Verdict
from pilothouse.domain.run import TERMINAL, OnBusy, Run
from pilothouse.domain.session import Session, Turn
from pilothouse.engine import cancel, retry, signal
from pilothouse.engine.run import Started, StartRun, start_run
from pilothouse.engine.verdict import give_verdict
from pilothouse.errors import PilothouseError
from pilothouse.testing.local_life import LocalLife, NodeCrashed
from pilothouse.testing.local_run import LocalReview, LocalRun, decoded, review_view, run_view

WITHIN = 60.0
"""Real seconds that a verb waits at most."""
LOOK_EVERY = 0.25
PAGE = 10_000

encode = msgspec.json.encode


class StillWaiting(PilothouseError):
    """The run {run} is {status} and nothing is going to happen by itself: {waits}."""

    code = "still_waiting"
    hint_text = "Do what it waits for: `advance` the clock, `decide` the review, send the `signal`."


class LocalVerbs(LocalLife):
    """The verbs of `LocalNode`."""

    # --- runs -------------------------------------------------------------------------------------------------------

    async def start(
        self,
        agent: str,
        input: Any = None,
        *,
        session: str | None = None,
        on_busy: OnBusy = "enqueue",
        metadata: Mapping[str, Any] | None = None,
        priority: int = 0,
        delay: float = 0.0,
        deadline: float | None = None,
        run_id: str | None = None,
    ) -> LocalRun:
        """A run as of its acknowledgement, for a caller who asks again later: it is kept. Raises what a caller over
        HTTP would get as a problem."""
        await self.revive()
        command = StartRun(
            tenant=DEFAULT_TENANT,
            agent=agent,
            input=encode(input),
            session=session,
            on_busy=on_busy,
            metadata=encode(metadata or {}),
            priority=priority,
            delay_seconds=delay,
            deadline_seconds=deadline,
            run_id=run_id,
            wants="later",
            principal=LOCAL,
        )
        return await self._started(await self._or_die(start_run(self.world, command)))

    async def ask(self, agent: str, input: Any = None, *, deadline: float | None = None) -> LocalRun:
        """The run at its end, for a caller who waits in one connection: a stateless run is not kept then, its steps are
        not recorded, and it is lost with its node (`NodeCrashed`)."""
        await self.revive()
        command = StartRun(
            tenant=DEFAULT_TENANT, agent=agent, input=encode(input), deadline_seconds=deadline, wants="stream"
        )
        started = await self._or_die(start_run(self.world, command))
        if started.unkept is None:
            return await self.wait(started.run.id)
        while not started.unkept.ended.done():
            if self.is_dead:
                raise NodeCrashed()
            if self.is_still:
                waits = "it sleeps on the clock"
                raise StillWaiting(run=started.run.id, status=started.run.status, waits=waits)
            await self.wait_move(LOOK_EVERY)
        if started.unkept.problem is not None:
            raise started.unkept.problem
        return run_view(started.run, [], started.unkept.segments)

    async def run(self, agent: str, input: Any = None, **more: Any) -> LocalRun:
        """The run at its end, as the agent's own mode has it: see `ask` for stateless agents, `start` for the others
        and what it takes. Raises `StillWaiting` when the run waits for somebody."""
        known = self.worker.find(agent)
        if known is not None and known.mode == "stateless" and not more:
            return await self.ask(agent, input)
        more.setdefault("run_id", run_id(self.clock.now(), self.entropy.bits()))
        while True:
            try:
                return await self.wait(await self.start(agent, input, **more))
            except NodeCrashed:
                await self.revive()
            found = await self.kept.get_run(DEFAULT_TENANT, more["run_id"])
            if found is not None:
                return await self.wait(await self._view(found))

    async def wait(self, run: LocalRun | str, status: str | None = None, within: float = WITHIN) -> LocalRun:
        """The run at its end, or when it has this status. Raises `StillWaiting` when that cannot come by itself."""
        id, loop = _id_of(run), asyncio.get_running_loop()
        until = loop.time() + within
        was_still = False
        while True:
            await self.revive()
            was_still, is_sure = self.is_still, was_still and self.is_still
            found = await self._run(id)
            if found.status == status or (status is None and found.status in TERMINAL):
                if not self.records.is_dying:
                    return await self._view(found)
                await self._death  # its last write was read before it died of it; what is asked next needs a live node
                continue
            if found.status in TERMINAL or is_sure:
                raise StillWaiting(run=id, status=found.status, waits=await self._waits(found))
            if was_still:  # a bell may have been on its way: a round of the loops does what it asked for
                await self.settle()
                continue
            left = until - loop.time()
            if left <= 0:
                raise TimeoutError(f"after {within:g} s the run {id} is {found.status}: {await self._waits(found)}")
            await self.wait_move(min(left, LOOK_EVERY))

    async def get(self, run: LocalRun | str) -> LocalRun:
        """The run as it is now."""
        return await self._view(await self._run(_id_of(run)))

    async def cancel(self, run: LocalRun | str, reason: str = "asked by the test") -> LocalRun | None:
        """None: the id is not known; should it come, it is cancelled."""
        await self.revive()
        found = await self._or_die(cancel.cancel_run(self.world, DEFAULT_TENANT, _id_of(run), reason))
        return None if found is None else await self._view(found)

    async def retry(self, run: LocalRun | str) -> LocalRun:
        await self.revive()
        return await self._started(await self._or_die(retry.retry_run(self.world, DEFAULT_TENANT, _id_of(run))))

    async def fork(
        self, run: LocalRun | str, after: str | None = None, replace: Mapping[str, Any] | None = None
    ) -> LocalRun:
        """`after` and the keys of `replace` are step keys."""
        await self.revive()
        outputs = {key: encode(output) for key, output in (replace or {}).items()}
        return await self._started(
            await self._or_die(retry.fork_run(self.world, DEFAULT_TENANT, _id_of(run), after, outputs))
        )

    async def signal(self, run: LocalRun | str, name: str, payload: Any = None) -> None:
        await self.revive()
        await self._or_die(signal.send_signal(self.world, DEFAULT_TENANT, _id_of(run), name, encode(payload)))

    # --- reviews and sessions ---------------------------------------------------------------------------------------

    async def reviews(self, run: LocalRun | str | None = None, status: str | None = "open") -> list[LocalReview]:
        """The oldest first."""
        id = None if run is None else _id_of(run)
        found, _ = await self.kept.list_reviews(DEFAULT_TENANT, status, id, None, PAGE)
        return [review_view(one) for one in found]

    async def wait_review(self, run: LocalRun | str, within: float = WITHIN) -> LocalReview:
        """The oldest open review of the run, once there is one."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        was_still = False
        while True:
            await self.revive()
            was_still, is_sure = self.is_still, was_still and self.is_still
            found = await self.reviews(run)
            if found:
                return found[0]
            if is_sure or loop.time() > until:
                state = await self._run(_id_of(run))
                raise StillWaiting(run=state.id, status=state.status, waits=await self._waits(state))
            if was_still:
                await self.settle()
                continue
            await self.wait_move(LOOK_EVERY)

    async def decide(
        self,
        asked: LocalReview | str,
        verdict: Verdict,
        *,
        edited: Any = None,
        response: str = "",
        reason: str = "",
        by: str = "the test",
    ) -> None:
        """Raises `ReviewClosed` when somebody was faster."""
        await self.revive()
        answer = Answer(verdict=verdict, edited=edited, response=response, reason=reason, by=by)
        id = asked if isinstance(asked, str) else asked.id
        await self._or_die(give_verdict(self.world, DEFAULT_TENANT, id, answer))

    async def session(self, agent: str, key: str) -> Session | None:
        return await self.kept.get_session(DEFAULT_TENANT, agent, key)

    async def state(self, agent: str, key: str) -> dict[str, Any]:
        """The state of a session; empty when there is none."""
        found = await self.session(agent, key)
        return {} if found is None else dict(decoded(found.state))

    async def history(self, agent: str, key: str) -> list[Turn]:
        """All turns of a session, the oldest first."""
        return await self.kept.list_turns(DEFAULT_TENANT, agent, key, None, PAGE)

    # --- looking ----------------------------------------------------------------------------------------------------

    async def _started(self, started: Started) -> LocalRun:
        return await self._view(started.run)

    async def _run(self, id: str) -> Run:
        found = await self.kept.get_run(DEFAULT_TENANT, id)
        if found is None:
            raise LookupError(f"there is no run {id!r}")
        return found

    async def _view(self, run: Run) -> LocalRun:
        """The run with what goes with it, as of one instant: what is written meanwhile is read again."""
        while True:
            rows = await self.kept.load_journal(run.tenant, run.id)
            segments = await self.kept.read_events(run.tenant, run.id, 0, PAGE)
            again = await self._run(run.id)
            if again == run:
                return run_view(run, rows, segments)
            run = again

    async def _waits(self, run: Run) -> str:
        """What a run waits for, in words."""
        if run.status == "queued":
            return "it is in the queue, and no worker takes it"
        rows = await self.kept.load_journal(run.tenant, run.id)
        ended = {row.key for row in rows if row.phase == ENDED}
        found = []
        for row in rows:
            if row.key not in ended:
                due = "" if row.due_at is None else f" for {(row.due_at - self.clock.now()) / 1e6:g} s more"
                found.append(f"{row.kind} {row.name!r}{due}")
        return ", ".join(found) or "none of its steps is open"


def _id_of(run: LocalRun | str) -> str:
    return run if isinstance(run, str) else run.id
