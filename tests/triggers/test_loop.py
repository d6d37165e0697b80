"""The loop of a source: nothing lost, nothing run twice, order kept, no more taken than can be worked off (I7, I18)."""

import asyncio
import contextlib
import json

import psutil  # type: ignore[import-untyped]
import pytest

from pilothouse import Context, agent
from pilothouse.communication.triggers.loop import SourceLoop
from pilothouse.domain.source import SourceRule
from pilothouse.engine.run import list_runs
from pilothouse.engine.source import Intake, list_dead, replay_dead
from pilothouse.errors import DeadLetterNotFound, RecordsUnavailable
from pilothouse.ports.records import RunFilter
from pilothouse.testing import LocalNode, NodeCrashed
from tests.engine.agents import held, until
from tests.triggers.fakes import Held, HeldSource, message


@agent(mode="event")
def count(order: dict[str, int]) -> int:
    return order["n"]


def loop_of(node: LocalNode, source, agent: str = "count", **rule) -> SourceLoop:
    intake = Intake(SourceRule(**({"name": "orders", "agent": agent} | rule)), "default")
    return SourceLoop(node.world, intake, source, lambda text: None)


async def runs(node: LocalNode, *statuses: str):
    page = await list_runs(node.world, "default", RunFilter(statuses=statuses), None, 1000)
    return list(reversed(page.items))


async def drain(node: LocalNode, loop: SourceLoop) -> None:
    async with asyncio.timeout(30):
        while loop.source.queue or loop.source.out:
            await loop.round()
            await node.settle()


async def test_a_message_becomes_a_run_and_is_acknowledged_then():
    source = HeldSource(message("1", b'{"n": 4}'))
    async with LocalNode({"count": count}) as node:
        await drain(node, loop_of(node, source))
        [run] = await runs(node, "succeeded")
        assert run.output == b"4"
        assert json.loads(run.metadata) == {"source": "orders", "message": "1"}
        assert source.settled == {("ack", "1"): 1}


async def test_a_message_that_comes_ten_times_and_out_of_order_is_one_run():
    source = HeldSource(*[message(str(key)) for _ in range(10) for key in (3, 1, 2)])
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source)
        await drain(node, loop)
        assert len(await runs(node)) == 3
        assert (loop.counts.taken, loop.counts.repeated) == (3, 27)
        await node.restart()
        again = loop_of(node, HeldSource(message("1"), message("4")))
        await drain(node, again)
        assert (again.counts.taken, again.counts.repeated) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["before", "after", "fail"])
async def test_a_node_that_dies_at_any_call_loses_nothing_and_runs_nothing_twice(mode):
    for nth in range(1, 8):
        async with LocalNode({"count": count}) as node:
            source = HeldSource(message("1"), message("2"))
            node.records.strike(nth, mode)
            with contextlib.suppress(NodeCrashed, RecordsUnavailable):
                await node._or_die(loop_of(node, source).round())
            node.records.strike(0)
            acknowledged = {key for how, key in source.settled if how == "ack"}
            if node.is_dead:
                await node.restart()
            kept = {json.loads(run.metadata)["message"] for run in await runs(node)}
            assert acknowledged <= kept
            await drain(node, loop_of(node, HeldSource(message("1"), message("2"))))
            assert len(await runs(node)) == 2, nth


async def test_what_does_not_fit_the_agent_is_a_dead_letter_and_can_be_replayed_when_that_is_mended():
    source = HeldSource(message("1", b'{"n": "four"}', shop="blue"), message("2", b"\xff\x00"), message("3"))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source)
        await drain(node, loop)
        assert source.settled == {("dead", "1"): 1, ("dead", "2"): 1, ("ack", "3"): 1}
        letters, _ = await list_dead(node.world, "default", "orders", None, 10)
        assert [(one.key, one.encoding) for _, one in letters] == [("1", "utf-8"), ("2", "base64")]
        assert "Expected `int`" in letters[0][1].reason
        assert letters[0][1].attributes == {"shop": "blue"}
        assert (await replay_dead(node.world, loop.intake, letters[0][0], "ann")).outcome == "dead"
        mended = loop_of(node, source, input="{n: `9`}").intake
        assert (await replay_dead(node.world, mended, letters[0][0], "ann")).outcome == "run"
        with pytest.raises(DeadLetterNotFound):
            await replay_dead(node.world, mended, letters[0][0], "ann")
        await node.settle()
        assert sorted(run.output for run in await runs(node, "succeeded")) == [b"1", b"9"]


async def test_a_message_that_is_too_large_is_a_dead_letter_without_its_body():
    source = HeldSource(message("1", b"x" * (1024 * 1024 + 1)))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source)
        await drain(node, loop)
        [(id, letter)], _ = await list_dead(node.world, "default", "orders", None, 10)
        assert letter.text is None
        assert (await replay_dead(node.world, loop.intake, id, "ann")).outcome == "dead"


async def test_the_mapping_says_what_the_input_the_key_and_the_order_are():
    body = b'{"data": {"order": "A7", "n": 5}, "shop": "blue"}'
    rule = {"input": "{n: body.data.n}", "key": "body.data.order", "order": "body.shop"}
    source = HeldSource(message("1", body), message("2", body), message("3", b'{"data": {"n": 5}}'))
    async with LocalNode({"count": count}) as node:
        await drain(node, loop_of(node, source, **rule))
        [run] = await runs(node)
        assert (run.output, run.session, json.loads(run.metadata)["message"]) == (b"5", "blue", "A7")
        letters, _ = await list_dead(node.world, "default", "orders", None, 10)
        assert "its key" in letters[0][1].reason or "its order" in letters[0][1].reason


async def test_no_more_is_taken_than_can_be_worked_off():
    gate, hold = held()
    source = HeldSource(*[message(str(key), b'"x"') for key in range(30)])
    async with LocalNode({"hold": hold}) as node:
        loop = loop_of(node, source, "hold", concurrency=4)
        for _ in range(10):
            await loop.round()
        await until(node, lambda: runs(node, "running"))
        assert len(await runs(node)) == 4
        assert len(source.queue) == 26
        assert not await loop.round()
        gate.set()
        await node.settle()
        await drain(node, loop)
        assert len(await runs(node, "succeeded")) == 30
        assert source.most <= 4


async def test_a_run_that_waits_for_a_person_does_not_stop_the_source():
    @agent(mode="event")
    async def waits(ctx: Context, text: str) -> str:
        return await ctx.signal("go")

    source = HeldSource(*[message(str(key), b'"x"') for key in range(6)])
    async with LocalNode({"waits": waits}) as node:
        await drain(node, loop_of(node, source, "waits", concurrency=2))
        assert len(await runs(node, "waiting")) == 6


async def test_messages_of_one_order_are_worked_off_one_after_the_other():
    seen: list[str] = []

    @agent(mode="event")
    async def note(ctx: Context, text: str) -> str:
        await asyncio.sleep(0)
        seen.append(text)
        return text

    names = [f"{customer}{number}" for number in range(8) for customer in "ab"]
    source = HeldSource(*[message(name, json.dumps(name).encode(), customer=name[0]) for name in names])
    async with LocalNode({"note": note}) as node:
        await drain(node, loop_of(node, source, "note", order="attributes.customer"))
        for customer in "ab":
            assert [name for name in seen if name[0] == customer] == [f"{customer}{number}" for number in range(8)]


async def test_when_one_must_come_again_so_must_those_behind_it():
    source = HeldSource(*[message(key, b'{"n":1}', customer=key[0]) for key in ("a1", "a2", "b1", "a3")])
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source, order="attributes.customer")
        node.records.strike(1, "fail", "submit")
        await loop.round()
        acknowledged = [key for how, key in source.settled if how == "ack"]
        given_back = [one.key for one in source.queue]
        assert acknowledged == ["b1"] or given_back == ["b1"]
        assert given_back in (["a1", "a2", "a3"], ["b1"])
        await drain(node, loop)
        assert len(await runs(node, "succeeded")) == 4


async def test_where_it_is_asked_for_a_message_is_acknowledged_when_its_run_has_ended():
    gate, hold = held()
    source = HeldSource(message("1", b'"x"'))
    async with LocalNode({"hold": hold}) as node:
        loop = loop_of(node, source, "hold", acknowledge="end")
        await loop.round()
        async with asyncio.timeout(60):
            while not source.settled["extend", "1"]:
                await asyncio.sleep(0.005)
        assert not source.settled["ack", "1"]
        gate.set()
        async with asyncio.timeout(60):
            while not source.settled["ack", "1"]:
                await asyncio.sleep(0.005)
        await loop.stop()


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_ten_thousand_messages_are_worked_off_a_bounded_number_at_a_time_and_without_a_spike_in_memory():
    """Messages of 2 KiB, made when they are taken: what grows is what the node keeps of them."""
    many, body = 10_000, json.dumps({"n": 1} | {f"pad{number}": number for number in range(150)}).encode()
    source = MadeSource(many, body)
    process = psutil.Process()
    async with LocalNode({"count": count}, slots=64) as node:
        loop = loop_of(node, source, concurrency=64)
        before = most = 0
        loop.start()
        async with asyncio.timeout(300):
            while loop.counts.taken < many:
                await asyncio.sleep(0.01)
                if loop.counts.taken >= 3000:  # caches and pools are as large as they get
                    held_now = process.memory_info().rss
                    before, most = before or held_now, max(most, held_now)
        await loop.stop()
        assert source.most <= 64
        assert loop.counts.repeated == 0
        assert most - before < 64 * 2**20, (before, most)  # the 7,000 at once would be over 70 MiB with their runs


class MadeSource(HeldSource):
    def __init__(self, many: int, body: bytes) -> None:
        super().__init__()
        self._left, self._many, self._body = many, many, body

    async def want(self, count):
        for _ in range(min(count, self._left)):
            self._left -= 1
            self.queue.append(message(str(self._many - self._left), self._body))
        if not self.queue:
            await asyncio.sleep(0.01)
        return await super().want(count)


async def test_acknowledgements_that_are_lost_keep_nobody_else_from_theirs_and_repeat_nothing():
    """A client that had too few connections for a batch once left the rest of it unsettled."""
    source = HeldSource(*[message(str(key)) for key in range(10)])
    source.broken_acks = 3
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source)
        with pytest.raises(ConnectionError):
            await loop.round()
        assert len(source.queue) == 3
        assert source.out == []
        await node.settle()
        await drain(node, loop)
        assert len(await runs(node, "succeeded")) == 10
        assert loop.counts.repeated == 3


async def test_a_connection_that_breaks_is_tried_again_and_told():
    source = HeldSource(message("1"))
    source.faults = [ConnectionError("the broker is away")]
    told: list[str] = []
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source)
        loop.on_error = told.append
        loop.start()
        async with asyncio.timeout(60):
            while not loop.counts.taken or loop.counts.problem is not None:
                await asyncio.sleep(0.01)
        await loop.stop()
        await loop.stop()
        assert told == ["source orders: ConnectionError: the broker is away"]
        assert loop.counts.problem is None


@pytest.mark.parametrize("expression", ["body.", "{a", ""])
def test_an_expression_that_is_none_is_refused(expression):
    with pytest.raises(ValueError, match="no JMESPath"):
        Intake(SourceRule(name="s", agent="a", input=expression), "default").command(message("1"))


class Deaf(HeldSource):
    """Its client loses the cancellation that meets it, as clients do whose own time limit ends at that moment."""

    def __init__(self):
        super().__init__()
        self.asked = asyncio.Event()

    async def want(self, count):
        self.asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return []


async def test_a_source_whose_client_loses_a_cancellation_ends_with_its_round():
    async with LocalNode({"count": count}) as node:
        source = Deaf()
        loop = loop_of(node, source)
        loop.start()
        await source.asked.wait()
        await asyncio.wait_for(loop.stop(), 10)


async def test_a_client_that_gives_up_with_a_cancellation_of_its_own_does_not_end_its_source():
    """They raise CancelledError to whoever waits on a connection that they close; the source once ended in silence."""
    source = HeldSource(message("1"))
    source.faults = [asyncio.CancelledError()]
    told: list[str] = []
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source)
        loop.on_error = told.append
        loop.start()
        async with asyncio.timeout(60):
            while not source.settled["ack", "1"]:
                await asyncio.sleep(0.01)
        await loop.stop()
        assert told == ["source orders: ConnectionError: the client of the broker gave up"]


class Unheard(Held):
    async def ack(self):
        await asyncio.Event().wait()


class Hung(HeldSource):
    """A broker that is connected and answers nothing, until its connection is made anew."""

    def __init__(self, *messages, at: str):
        super().__init__(*messages)
        self.at: str | None = at
        self.closed = 0

    async def want(self, count):
        if self.at == "want":
            await asyncio.Event().wait()
        found = await super().want(count)
        return [Unheard(self, one.message) for one in found] if self.at == "ack" else found

    async def close(self):
        self.at, self.closed = None, self.closed + 1
        for key in self.out:
            self.queue.append(message(key))
        self.out.clear()


@pytest.mark.parametrize("at", ["want", "ack"])
async def test_a_broker_that_answers_nothing_is_let_go_and_asked_anew(monkeypatch, at):
    monkeypatch.setattr("pilothouse.communication.triggers.loop.ANSWER_WITHIN", 0.02)
    source, told = Hung(message("1"), at=at), []
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source)
        loop.on_error = told.append
        loop.start()
        async with asyncio.timeout(60):
            while not source.settled["ack", "1"]:
                await asyncio.sleep(0.01)
        assert source.closed == 1
        await loop.stop()
        assert told == ["source orders: TimeoutError: no answer in time"]
        assert len(await runs(node)) == 1


async def test_a_message_whose_run_cannot_be_read_while_it_is_waited_for_comes_again_and_is_acknowledged_at_its_end():
    gate, hold = held()
    source = HeldSource(message("1", b'"x"'))

    async def settled(how: str) -> int:
        return source.settled[how, "1"]

    async with LocalNode({"hold": hold}) as node:
        loop = loop_of(node, source, "hold", acknowledge="end")
        await loop.round()
        await until(node, lambda: settled("extend"))
        node.records.strike(1, "fail", "get_run")
        await until(node, lambda: settled("nack"))
        assert source.settled["ack", "1"] == 0
        gate.set()
        await loop.round()
        await until(node, lambda: settled("ack"))
        await loop.stop()
        assert len(await runs(node, "succeeded")) == 1
