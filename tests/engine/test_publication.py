"""Events between agents: published once with their step, delivered to who listens, one run for each whatever dies."""

import asyncio
import contextlib
import json
from typing import Any

import pytest

from pilothouse import Context, agent
from pilothouse.communication.deliveries.loop import Sender
from pilothouse.communication.deliveries.options import DeliveryOptions, ReceiverOptions
from pilothouse.domain.address import LOOPBACK
from pilothouse.domain.delivery import Receiver, Receivers
from pilothouse.domain.signature import read_secret
from pilothouse.domain.topic import FAN_OUT
from pilothouse.engine.delivery import list_deliveries, retry_delivery
from pilothouse.engine.label import Seen, labels_now
from pilothouse.engine.run import list_runs, start_run
from pilothouse.engine.world import Limits
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.ports.records import RunFilter
from pilothouse.testing import LocalNode, NodeCrashed
from tests.deliveries.receiver import Receiver as HttpReceiver
from tests.engine.agents import command

SECRET = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="


def listening(**agents: str) -> Receivers:
    return Receivers(
        tuple(Receiver(name=f"agent:{name}", events=(), topics=(topic,)) for name, topic in agents.items())
    )


def sender_of(node: LocalNode, **receivers: str) -> Sender:
    found = {name: ReceiverOptions(url, (read_secret(SECRET),)) for name, url in receivers.items()}
    return Sender(node.world, DeliveryOptions(found, allowed=LOOPBACK), lambda text: None)


async def deliver(node: LocalNode, sender: Sender | None = None) -> None:
    """Until nothing more is published, delivered or run."""
    sender = sender or sender_of(node)
    while True:
        await node.settle()
        more = await node._or_die(sender.round())
        if not more and not sender._tries:
            break
        await node._or_die(sender.settled())


async def runs_of(node: LocalNode, agent: str) -> list[Any]:
    page = await list_runs(node.world, "default", RunFilter(agent=agent), None, 1000)
    return list(reversed(page.items))


async def deliveries(node: LocalNode) -> list[Any]:
    found, _ = await list_deliveries(node.world, "default", DeliveryFilter(), None, 200)
    return list(reversed(found))


@agent(mode="event")
async def shop(ctx: Context, order: int) -> str:
    return await ctx.publish("orders.paid", {"n": order})


@agent(mode="event")
async def bill(order: dict[str, int]) -> int:
    return order["n"]


@agent(mode="event")
async def pack(ctx: Context, order: dict[str, int]) -> dict[str, Any]:
    return {"metadata": ctx.run.metadata, "order": order}


AGENTS = {"shop": shop, "bill": bill, "pack": pack}


async def test_an_event_starts_a_run_of_each_agent_that_listens_and_says_where_it_is_from():
    async with LocalNode(AGENTS) as node:
        node.world.receivers = listening(bill="orders.paid", pack="orders.>", other="invoices.*")
        run = await node.run("shop", 7)
        await deliver(node)
        assert [one.output for one in await runs_of(node, "bill")] == [b"7"]
        [packed] = await runs_of(node, "pack")
        assert json.loads(packed.output) == {
            "metadata": {"topic": "orders.paid", "event": run.output, "publisher": run.id, "hops": 1},
            "order": {"n": 7},
        }
        [step] = [row for _, row in await node.kept.list_steps("default", run.id, 0, 100)]
        assert (step.kind, step.name, step.status) == ("publish", "orders.paid", "succeeded")
        assert {one.receiver for one in await deliveries(node)} == {"agent:bill", "agent:pack"}


async def test_an_event_that_nobody_listens_to_is_kept_in_the_journal_only():
    async with LocalNode(AGENTS) as node:
        assert (await node.run("shop", 7)).output.startswith("evt_")
        assert await deliveries(node) == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["before", "after"])
async def test_a_node_that_dies_at_any_call_publishes_once_and_starts_one_run(mode):
    """Struck at each call of a run that publishes, and then at each call of a sender that delivers."""
    for nth in range(1, 12):
        async with LocalNode(AGENTS, options={"bill": {"subscribes": ["orders.*"]}}) as node:
            if nth < 7:
                node.records.strike(nth, mode)
            run = await node.run("shop", 7)  # starts the node again when it dies
            if nth >= 7:
                node.records.strike(nth - 6, mode)
            sender = sender_of(node)
            with contextlib.suppress(NodeCrashed):
                await deliver(node, sender)
            await sender.stop()
            node.records.strike(0)
            if node.is_dead:
                await node.restart()
            node.clock.advance(minutes=10)  # the claims of the dead sender end
            await deliver(node)
            assert [one.type for one in await deliveries(node)] == ["orders.paid"], nth
            [billed] = await runs_of(node, "bill")
            assert (billed.output, json.loads(billed.metadata)["event"]) == (b"7", run.output), nth


async def test_records_that_cannot_be_written_for_a_moment_cost_a_try_and_no_event():
    async with LocalNode(AGENTS, options={"bill": {"subscribes": ["orders.*"]}}) as node:
        await node.run("shop", 7)
        node.records.strike(1, "fail", "submit")
        await deliver(node)
        node.clock.advance(minutes=10)
        await deliver(node)
        assert len(await runs_of(node, "bill")) == 1


async def test_a_delivery_that_is_sent_again_finds_the_run():
    async with LocalNode(AGENTS) as node:
        node.world.receivers = listening(bill="orders.paid")
        await node.run("shop", 7)
        await deliver(node)
        [one] = await deliveries(node)
        await retry_delivery(node.world, "default", one.id)
        await deliver(node)
        assert [one.status for one in await deliveries(node)] == ["delivered"]
        assert len(await runs_of(node, "bill")) == 1


async def test_what_does_not_fit_the_agent_is_dead_with_the_reason_and_goes_out_again_when_it_is_mended():
    @agent(mode="event")
    async def words(ctx: Context, text: str) -> str:
        return await ctx.publish("orders.paid", text)

    async with LocalNode({"shop": words, "bill": bill}) as node:
        node.world.receivers = listening(bill="orders.paid")
        await node.run("shop", "seven")
        await deliver(node)
        [one] = await deliveries(node)
        assert one.status == "dead"
        assert "does not fit the input of bill" in one.reason


async def test_agents_that_start_each_other_in_a_circle_are_stopped_at_the_limit_of_depth():
    """The circle also leads through a run that is called, which started at no event itself."""

    @agent(mode="event")
    async def ping(ctx: Context, number: int) -> str:
        return await ctx.call("relay", number)

    @agent(mode="event")
    async def relay(ctx: Context, number: int) -> str:
        return await ctx.publish("ball.ping", number + 1)

    async with LocalNode({"ping": ping, "relay": relay}, limits=Limits(depth=5)) as node:
        node.world.receivers = listening(ping="ball.*")
        await node.start("ping", 0)
        await deliver(node)
        found = await runs_of(node, "relay")
        assert [one.status for one in found] == ["succeeded"] * 5 + ["failed"]
        assert json.loads(found[-1].error)["code"] == "limit_reached"
        assert "Runs that start each other by topics" in json.loads(found[-1].error)["message"]


async def test_an_event_that_would_reach_too_many_fails_its_run():
    async with LocalNode(AGENTS) as node:
        node.world.receivers = listening(**{f"agent{number}": "orders.>" for number in range(FAN_OUT + 1)})
        run = await node.run("shop", 7)
        assert run.error["code"] == "limit_reached"
        assert await deliveries(node) == []


async def test_receivers_outside_hear_of_topics_too():
    async with LocalNode(AGENTS) as node, HttpReceiver() as receiver:
        told = Receiver(name="erp", events=(), topics=("orders.*",), where={"payload.n": 7})
        node.world.receivers = Receivers((told,))
        runs = [await node.run("shop", number) for number in (7, 8)]
        await deliver(node, sender_of(node, erp=receiver.url))
        [post] = receiver.posts
        assert post.is_signed_with(SECRET)
        assert post.json["type"] == "orders.paid"
        facts = post.json["data"]
        assert (facts["event"], facts["run"], facts["payload"]) == (runs[0].output, runs[0].id, {"n": 7})


async def test_events_of_one_run_are_each_published_once_also_when_they_are_the_same():
    @agent(mode="event")
    async def twice(ctx: Context, order: int) -> list[str]:
        first = await ctx.publish("orders.paid", {"n": order})
        await ctx.sleep(3600)
        return [first, *await asyncio.gather(*(ctx.publish("orders.paid", {"n": order}) for _ in range(2)))]

    async with LocalNode({"shop": twice, "bill": bill}) as node:
        node.world.receivers = listening(bill="orders.paid")
        run = await node.start("shop", 1)
        await node.wait(run, "waiting")
        await node.advance(hours=2)
        ids = (await node.wait(run)).output
        await deliver(node)
        assert len(set(ids)) == 3
        assert len(await runs_of(node, "bill")) == 3


@pytest.mark.parametrize("topic", ["", "a b", ".a", "a..b", "orders.*", "run.succeeded", "x" * 129])
async def test_what_is_no_topic_is_refused(topic):
    @agent(mode="event")
    async def wrong(ctx: Context, topic: str) -> str:
        return await ctx.publish(topic, 1)

    async with LocalNode({"wrong": wrong}) as node:
        run = await node.run("wrong", topic)
        assert "is no topic" in run.error["message"]


async def test_a_run_that_is_not_kept_publishes_nothing_and_an_event_has_a_limit():
    @agent
    async def loose(ctx: Context, size: int) -> str:
        return await ctx.publish("orders.paid", "x" * size)

    @agent(mode="event")
    async def large(ctx: Context, size: int) -> str:
        return await ctx.publish("orders.paid", "x" * size)

    async with LocalNode({"loose": loose, "large": large}) as node:
        assert (await node.run("loose", 1)).error["code"] == "not_kept"
        assert (await node.run("large", 300_000)).error["code"] == "too_large"


async def test_a_run_that_starts_at_an_event_has_seen_what_its_publisher_has_seen():
    async with LocalNode(AGENTS, options={"bill": {"subscribes": [">"]}}) as node:
        asked = command("shop", b"7", wants="later", metadata=b'{"labels":["untrusted"]}', subject="ann")
        await node.wait((await start_run(node.world, asked)).run.id)
        await deliver(node)
        [billed] = await runs_of(node, "bill")
        assert billed.subject == "ann"
        assert "untrusted" in await labels_now(node.world, billed, {}, Seen())
