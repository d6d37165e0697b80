"""`ctx.scratch` through a node: whose it is, what it refuses, and that a run goes on without it."""

from datetime import timedelta

import pytest

from pilothouse import BlockingContext, Context, HotStoreUnavailable, LimitReached, agent
from pilothouse.errors import StepFailed
from pilothouse.storage.hot.memory import MemoryHotStore
from pilothouse.testing import LocalNode
from pilothouse.testing.clock import ManualClock


class Away(MemoryHotStore):
    """Refuses everybody while it `is_away`."""

    is_away = True

    async def get(self, place, key):
        self._look()
        return await super().get(place, key)

    async def put(self, place, key, value, ttl, keys):
        self._look()
        await super().put(place, key, value, ttl, keys)

    async def delete(self, place, key):
        self._look()
        await super().delete(place, key)

    async def incr(self, place, key, by, ttl, keys):
        self._look()
        return await super().incr(place, key, by, ttl, keys)

    async def forget(self, place):
        self._look()
        await super().forget(place)

    def _look(self):
        if self.is_away:
            raise HotStoreUnavailable


@agent(mode="session")
async def chat(ctx: Context, text: str) -> list:
    seen = await ctx.scratch.get("last", "nothing")
    assert await ctx.scratch.put("last", text, ttl=timedelta(minutes=5))
    return [seen, await ctx.scratch.incr("turns"), await ctx.scratch.agent.incr("all")]


async def test_the_scratch_is_that_of_the_session_and_beside_it_that_of_the_agent():
    async with LocalNode({"chat": chat}) as node:
        said = [(await node.run("chat", text, session=who)).output for who, text in
                [("ann", "a1"), ("bob", "b1"), ("ann", "a2")]]  # fmt: skip
    assert said == [["nothing", 1, 1], ["nothing", 1, 2], ["a1", 2, 3]]


async def test_entries_end_by_themselves():
    async with LocalNode({"chat": chat}) as node:
        await node.run("chat", "a1", session="ann")
        await node.advance(timedelta(minutes=6))
        assert (await node.run("chat", "a2", session="ann")).output == ["nothing", 2, 2]


async def test_a_session_that_is_deleted_takes_its_scratch_along():
    async with LocalNode({"chat": chat}) as node:
        await node.run("chat", "a1", session="ann")
        await delete(node, "chat", "ann")
        assert (await node.run("chat", "a2", session="ann")).output == ["nothing", 1, 2]


async def delete(node, name, key):
    from pilothouse.engine.session import delete_session

    await delete_session(node.world, "default", name, key)


async def test_a_sync_agent_has_the_same_verbs():
    @agent
    def count(ctx: BlockingContext, n: int) -> list:
        assert ctx.scratch.put("k", {"n": n})
        found = [ctx.scratch.get("k"), ctx.scratch.agent.get("k"), ctx.scratch.incr("c", 2)]
        return [*found, ctx.scratch.delete("k"), ctx.scratch.get("k", "gone")]

    async with LocalNode({"count": count}) as node:
        assert (await node.run("count", 7)).output == [{"n": 7}, {"n": 7}, 2, True, "gone"]


async def test_it_refuses_with_the_reason():
    @agent
    async def greedy(ctx: Context, n: int) -> list:
        scratch, said = ctx.scratch, []
        await scratch.put("word", "five")
        tries = [
            lambda: scratch.put("large", "x" * 70_000),
            lambda: scratch.get(""),
            lambda: scratch.get("x" * 201),
            lambda: scratch.put("k", 1, ttl=0),
            lambda: scratch.put("k", 1, ttl=timedelta(days=8)),
            lambda: scratch.incr("word"),
            lambda: scratch.incr("k", by=2**40),
        ]
        for one in tries:
            try:
                await one()
            except Exception as error:
                said.append(type(error).__name__)
        try:
            for number in range(2000):
                await scratch.put(f"k{number}", number)
        except LimitReached as error:
            said.append(str(error))
        return said

    async with LocalNode({"greedy": greedy}) as node:
        assert (await node.run("greedy", 1)).output == [
            "TooLarge", *["ScratchRefused"] * 2, *["ValueError"] * 2, "ScratchRefused", "ValueError",
            "The number of keys in this scratch reached its limit of 1000.",
        ]  # fmt: skip


async def test_a_store_that_is_away_is_as_empty_and_only_a_counter_says_so():
    @agent(mode="event")
    async def careful(ctx: Context, text: str) -> list:
        kept = await ctx.scratch.put("k", text)
        found = await ctx.scratch.get("k", "nothing")
        try:
            number: int | str = await ctx.scratch.incr("n")
        except HotStoreUnavailable as error:
            number = error.code
        return [kept, found, number, await ctx.scratch.delete("k")]

    hot = Away(ManualClock().now)
    async with LocalNode({"careful": careful}, hot=hot) as node:
        assert (await node.run("careful", "hi")).output == [False, "nothing", "hot_store_unavailable", False]
        hot.is_away = False
        assert (await node.run("careful", "hi")).output == [True, "hi", 1, True]


async def test_a_session_can_be_deleted_while_the_store_is_away():
    hot = Away(ManualClock().now)
    hot.is_away = False
    async with LocalNode({"chat": chat}, hot=hot) as node:
        await node.run("chat", "a1", session="ann")
        hot.is_away = True
        await delete(node, "chat", "ann")


async def test_a_counter_inside_a_step_is_moved_once_whatever_crashes():
    @agent(mode="event")
    async def desk(ctx: Context, text: str) -> int:
        async def count() -> int:
            return await ctx.scratch.incr("sent")

        number = await ctx.step(count)
        await ctx.step(lambda: "later", name="later")
        return number

    hot = MemoryHotStore(ManualClock().now)
    async with LocalNode({"desk": desk}, hot=hot) as node:
        node.crash_at_step("later", "before")
        assert (await node.run("desk", "x")).output == 1


async def test_an_agent_that_only_waits_for_its_scratch_is_not_parked_and_many_questions_are_answered():
    @agent(mode="event")
    async def many(ctx: Context, n: int) -> int:
        import asyncio

        return max(await asyncio.gather(*(ctx.scratch.incr("n") for _ in range(n))))

    async with LocalNode({"many": many}) as node:
        assert (await node.run("many", 500)).output == 500


async def test_a_counter_that_cannot_be_had_fails_its_step_like_any_error():
    @agent(mode="event")
    async def desk(ctx: Context, text: str) -> str:
        async def count() -> int:
            return await ctx.scratch.incr("sent")

        try:
            await ctx.step(count)
        except StepFailed as error:
            return error.kind
        return "counted"

    async with LocalNode({"desk": desk}, hot=Away(ManualClock().now)) as node:
        assert (await node.run("desk", "x")).output == "pilothouse.errors.HotStoreUnavailable"


@pytest.mark.parametrize("session", [None, "ann"])
def test_a_place_names_its_tenant_and_hides_its_session(session):
    from pilothouse.domain.scratch import place_of

    place = place_of("ac:me", "chat", session)
    assert place.startswith("ac%3Ame:")
    assert "ann" not in place
    assert place != place_of("ac", "me:chat", session)
