"""One run that does everything a run can do, and a client that gets it to its end whatever happens in between.

The client does what a careful client over HTTP would: it asks again when it got no answer, with the same
Idempotency-Key, and it looks before it repeats what it does not know to have happened.
"""

import asyncio
from contextlib import suppress
from typing import Any

from pilothouse import Context, agent, idempotency_key, tool
from pilothouse.domain.delivery import Webhook
from pilothouse.domain.run import TERMINAL
from pilothouse.engine.run import Idempotent, start_run
from pilothouse.errors import PilothouseError, RecordsUnavailable
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.ports.records import RunFilter
from pilothouse.testing import LocalNode, LocalRun, NodeCrashed
from pilothouse.testing.invariants import (
    Witness,
    check_fencing,
    check_gapless,
    check_intake,
    check_one_end,
    check_seen_is_kept,
    check_stays_ended,
    check_step_once,
)
from tests.engine.agents import command

HOOK = Webhook("https://shop.example/hook", ("run.succeeded", "run.failed", "review.decided"))
OUTPUT = ["first", "left", "right", "paid", "approve", "word", "from child", 1]
ROUNDS = 60


class Everything:
    def __init__(self, **options: Any) -> None:
        self.witness = Witness()
        self.answers: list[tuple[str, str]] = []
        self.node = LocalNode({"desk": self._desk(), "child": self._child()}, patience=0.1, **options)
        self.node.witness = self.witness

    def effect(self, name: str) -> str:
        self.witness.see(name, idempotency_key())
        return name

    def _child(self) -> Any:
        @agent(mode="event")
        async def child(ctx: Context, text: str) -> str:
            return f"from {await ctx.step(self.effect, text)}"

        return child

    def _desk(self) -> Any:
        @tool(once=True)
        def pay() -> str:
            return self.effect("paid")

        @agent(mode="session")
        async def desk(ctx: Context, text: str) -> list[Any]:
            said: list[Any] = [await ctx.step(self.effect, "first")]
            await ctx.emit({"after": said})
            said += await asyncio.gather(ctx.step(self.effect, "left"), ctx.step(self.effect, "right"))
            said.append(await ctx.call_tool(pay))
            said.append((await ctx.review("go on?")).verdict)
            said.append(await ctx.signal("go"))
            said.append(await ctx.call("child", "child"))
            await ctx.sleep(60)
            ctx.session.state["n"] = ctx.session.state.get("n", 0) + 1
            return [*said, ctx.session.state["n"]]

        return desk

    # --- the client -------------------------------------------------------------------------------------------------

    async def take_in(self) -> str:
        """The run, acknowledged."""
        for _ in range(ROUNDS):
            with suppress(NodeCrashed, RecordsUnavailable):
                await self.node.revive()
                asked = command("desk", session="s", idempotency=Idempotent("k", b"body"), wants="later", webhook=HOOK)
                started = await self.node._or_die(start_run(self.node.world, asked))
                self.answers.append(("k", started.run.id))
                return started.run.id
        raise AssertionError("the run was never taken in")

    async def bring_to_end(self, run: str) -> LocalRun:
        is_sent = False
        for _ in range(ROUNDS):
            try:
                await self.node.revive()
                await self.node.settle()
                found = await self.node.get(run)
                if found.status in TERMINAL:
                    await self.node.settle()
                    return found
                await self._decide()
                if not is_sent and any(step.kind == "signal" for step in found.steps):
                    await self.node.signal(run, "go", "word")
                    is_sent = True
                await self.node.advance(seconds=61)
            except NodeCrashed:
                found = await self.node.get(run)
                is_sent = any(step.kind == "signal" and step.status == "succeeded" for step in found.steps)
            except PilothouseError:  # refused, or somebody was faster: look again
                continue
        raise AssertionError(f"the run {run} did not end")

    async def _decide(self) -> None:
        for review in await self.node.reviews():
            if review.kind == "gate":
                await self.node.decide(review, "approve")
            else:
                await self.node.decide(review, "edit", edited="paid")

    # --- what must hold ---------------------------------------------------------------------------------------------

    async def breaches(self, ended: LocalRun) -> list[str]:
        node = self.node
        runs = (await node.kept.list_runs("default", RunFilter(), None, 100)).items
        kept = {run.id: await node.kept.read_events("default", run.id, 0, 10_000) for run in runs}
        found = check_step_once(self.witness.marks) + check_intake(self.answers)
        found += check_seen_is_kept(self.witness.segments, kept)
        for run in runs:
            view = await node.get(run.id)
            found += check_one_end(view) + check_fencing(view) + check_gapless(kept[run.id])
        if len(runs) != 2:
            found.append(f"there are {len(runs)} runs instead of the caller and the called one")
        if ended.output != OUTPUT:
            found.append(f"the output is {ended.output}")
        if [turn.run for turn in await node.history("desk", "s")] != [ended.id]:
            found.append("the history of the session is not that one turn")
        effects = self.witness.effects
        if effects["paid"] > 1:
            found.append(f"the `once` step was executed {effects['paid']} times")
        found += [
            f"{name} happened {effects[name]} times, with {node.crashes} crashes"
            for name in ("first", "left", "right", "child")
            if not 1 <= effects[name] <= 1 + node.crashes
        ]
        told, _ = await node.kept.list_deliveries("default", DeliveryFilter(), None, 100)
        decided = [event for event in ended.events if event.type == "review.decided"]
        if sorted(one.type for one in told) != ["review.decided"] * len(decided) + ["run.succeeded"]:
            found.append(f"what is to be delivered is {[one.type for one in told]}")
        await node.restart()
        return found + check_stays_ended(ended, await node.get(ended.id))


async def play(everything: Everything) -> LocalRun:
    return await everything.bring_to_end(await everything.take_in())
