"""What is settled together, and what stands in line: acknowledgements that share a round trip, and orders of which a
message has to come again."""

import asyncio

import pytest

from pilothouse.communication.triggers import order
from pilothouse.communication.triggers.order import Lines
from pilothouse.communication.triggers.redis import RedisMessage, RedisStream
from pilothouse.communication.triggers.sqs import SqsMessage, SqsQueue
from pilothouse.communication.triggers.together import Together
from pilothouse.testing import LocalNode
from tests.triggers.fakes import HeldSource, message
from tests.triggers.test_loop import count, drain, loop_of, runs


async def test_what_is_asked_for_in_one_turn_is_done_at_once_and_not_over_the_limit():
    done: list[list[int]] = []

    async def act(items: list[int]) -> None:
        done.append(items)

    together = Together(act, 4)
    await asyncio.gather(*[together.ask(number) for number in range(10)])
    await together.ask(10)
    assert done == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [10]]


async def test_a_fault_is_told_to_those_who_asked_and_to_nobody_else_and_one_who_leaves_takes_nothing_along():
    gate = asyncio.Event()
    done: list[list[int]] = []

    async def act(items: list[int]) -> None:
        await gate.wait()
        if 0 in items:
            raise ConnectionError("lost")
        done.append(items)

    together = Together(act, 2)
    tasks = [asyncio.create_task(together.ask(number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    gate.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in told] == [ConnectionError, ConnectionError, type(None), asyncio.CancelledError]
    assert done == [[2, 3]]


def sqs():
    source = SqsQueue("https://sqs.example/1/orders")
    return source, SqsMessage(source, {"MessageId": "1", "ReceiptHandle": "h", "Body": "{}"})


def redis():
    source = RedisStream("redis://127.0.0.1:1", "orders", "pilothouse", "node")
    return source, RedisMessage(source, "1-0", {b"body": b"{}"})


@pytest.mark.parametrize("make", [sqs, redis])
async def test_who_settles_a_message_of_a_closed_source_hears_that_it_comes_again(make):
    source, taken = make()
    await source.close()
    for settle in (taken.ack, taken.extend, lambda: taken.nack(1.0), lambda: taken.dead_letter("poison")):
        with pytest.raises(ConnectionError, match="comes again"):
            await settle()


async def outputs(node) -> list[str]:
    """Of the runs that have ended, in the order in which they were taken in."""
    return [run.output.decode() for run in await runs(node, "succeeded")]


def numbered(*numbers: int):
    return [message(f"a{number}", b'{"n": %d}' % number, customer="a") for number in numbers]


async def test_a_message_that_comes_while_one_before_it_has_to_come_again_waits_for_it():
    """It once overtook it: a batch that came meanwhile knew nothing of what had been given back."""
    source = HeldSource(*numbered(1, 2))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source, order="attributes.customer")
        node.records.strike(1, "fail", "submit")
        await loop.round()
        again = list(source.queue)
        assert [one.key for one in again] == ["a1", "a2"]
        source.queue.clear()
        source.queue.extend([*numbered(4, 3), again[1]])  # new ones, and of those given back the second one
        await loop.round()
        assert await runs(node) == []
        source.queue.extend([*numbered(3), again[0]])  # and one of them twice
        await drain(node, loop)
        assert await outputs(node) == ["1", "2", "4", "3"]  # 4 came before 3 did
        assert loop.counts.repeated == 1
        assert "a" not in loop._lines


async def test_nobody_waits_for_what_another_node_has_settled():
    source = HeldSource(*numbered(1, 2, 3))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source, order="attributes.customer")
        node.records.strike(1, "fail", "submit")
        await loop.round()
        source.queue.clear()
        elsewhere = loop_of(node, HeldSource(*numbered(1), message("a2", b"poison", customer="a")))
        await drain(node, elsewhere)
        assert (elsewhere.counts.taken, elsewhere.counts.dead) == (1, 1)
        source.queue.extend(numbered(3))
        await drain(node, loop)
        assert await outputs(node) == ["1", "3"]


async def test_one_that_never_comes_again_is_waited_for_only_so_long(monkeypatch):
    source = HeldSource(*numbered(1, 2))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, source, order="attributes.customer")
        node.records.strike(1, "fail", "submit")
        await loop.round()
        source.queue.popleft()
        await loop.round()
        assert await runs(node) == []
        monkeypatch.setattr(order, "HELD_FOR", -1.0)
        await drain(node, loop)
        assert await outputs(node) == ["2"]


async def test_lines_are_remembered_within_a_limit(monkeypatch):
    monkeypatch.setattr(order, "LINE_LIMIT", 10)
    lines = Lines()
    for customer in "abc":
        for number in range(5):
            lines.join(customer, f"{customer}{number}", "sent")
    assert ["a" in lines, "b" in lines, "c" in lines] == [False, True, True]
    for number in range(5):
        lines.leave("b", f"b{number}")
    assert ["b" in lines, "c" in lines] == [False, True]
    assert [key for key, _, is_overdue in lines.walk("c") if not is_overdue] == [f"c{number}" for number in range(5)]
