"""The outbox: every way a run can end writes what is to be delivered in the same Change, and nothing else does."""

import asyncio
import json

import pytest

from pilothouse import Context, agent
from pilothouse.communication.deliveries.shape import sentence
from pilothouse.domain.delivery import Answer, Receiver, Receivers, Webhook
from pilothouse.engine.delivery import claim_deliveries, get_delivery, list_deliveries, retry_delivery, settle_delivery
from pilothouse.engine.outbox import tell_alert
from pilothouse.engine.run import start_run
from pilothouse.errors import DeliveryNotFound
from pilothouse.ports.change import Change
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.testing import LocalNode
from tests.engine.agents import chat, command, echo, held, note, until

HOOK = Webhook("https://shop.example/hook")


async def outbox(node: LocalNode) -> list[tuple[str, str]]:
    found, _ = await list_deliveries(node.world, "default", DeliveryFilter(), None, 100)
    return [(one.type, one.receiver) for one in reversed(found)]


async def start(node: LocalNode, agent: str = "note", **more):
    more.setdefault("webhook", HOOK)
    return (await start_run(node.world, command(agent, wants="later", **more))).run.id


@agent(mode="event")
def boom(text: str) -> str:
    raise ValueError("no")


async def test_a_run_that_succeeds_tells_its_webhook_what_came_of_it():
    async with LocalNode({"note": note}) as node:
        run = await start(node, metadata=b'{"order":"A1"}', subject="ann")
        await node.wait(run)
        assert await outbox(node) == [("run.succeeded", HOOK.url)]
        [one] = await claim_deliveries(node.world, 10)
        body = json.loads(one.body)
        assert (body["type"], body["timestamp"][-1]) == ("run.succeeded", "Z")
        data = body["data"]
        assert (data["run"], data["agent"], data["status"], data["output"]) == (run, "note", "succeeded", "X")
        assert (data["metadata"], data["subject"], data["session"]) == ({"order": "A1"}, "ann", None)


async def test_nothing_is_written_for_a_run_that_nobody_wants_to_hear_of():
    async with LocalNode({"note": note}) as node:
        await node.wait(await start(node, webhook=None))
        assert await outbox(node) == []


async def test_a_run_that_fails_tells_it():
    async with LocalNode({"boom": boom}) as node:
        await node.wait(await start(node, "boom"))
        assert await outbox(node) == [("run.failed", HOOK.url)]


async def test_a_run_that_is_cancelled_while_it_runs_waits_or_stands_in_line_tells_it():
    gate, hold = held()
    async with LocalNode({"hold": hold}, options={"hold": {"concurrency": 1}}) as node:
        running = await start(node, "hold")
        queued = await start(node, "hold")
        for run in (queued, running):
            await node.cancel(run)
            await node.wait(run)
        gate.set()
        assert await outbox(node) == [("run.cancelled", HOOK.url)] * 2


async def test_a_deadline_that_passes_in_line_tells_it():
    async with LocalNode({"note": note}) as node:
        run = await start(node, delay_seconds=100.0, deadline_seconds=50.0)
        await node.advance(seconds=60)
        assert (await node.wait(run)).status == "failed"
        assert await outbox(node) == [("run.failed", HOOK.url)]


async def test_a_run_that_always_loses_its_host_tells_it():
    async def forever(text: str) -> str:
        await asyncio.sleep(3600)
        return text

    async with LocalNode({"hold": agent(mode="event")(forever)}) as node:
        run = await start(node, "hold")
        while (await node.get(run)).status != "failed":
            await until(node, lambda: _running(node, run))
            node.lose_host()
            await node.settle()
        assert await outbox(node) == [("run.failed", HOOK.url)]


async def _running(node: LocalNode, run: str) -> bool:
    return (await node.get(run)).status in ("running", "failed")


async def test_a_stateless_run_with_a_webhook_is_kept_and_one_whose_error_is_kept_tells_it():
    async with LocalNode({"echo": echo, "boom": agent(keep="errors")(lambda text: 1 / 0)}) as node:
        await node.wait(await start(node, "echo"))
        node.world.receivers = Receivers((Receiver(name="ops", events=("run.failed",)),))
        started = await start_run(node.world, command("boom"))
        await started.ended
        await node.settle()
        assert await outbox(node) == [("run.succeeded", HOOK.url), ("run.failed", "ops")]


async def test_receivers_are_told_of_the_events_and_agents_they_asked_for():
    ops = Receiver(name="ops", events=("run.queued", "run.succeeded"), agents=("note",))
    blue = Receiver(name="blue", where={"metadata.team": "blue"})
    async with LocalNode({"note": note, "echo": agent(mode="event")(lambda text: text)}) as node:
        node.world.receivers = Receivers((ops, blue))
        await node.wait(await start(node, webhook=None))
        await node.wait(await start(node, "echo", webhook=None, metadata=b'{"team":"blue"}'))
        assert await outbox(node) == [("run.queued", "ops"), ("run.succeeded", "ops"), ("run.succeeded", "blue")]


async def test_the_name_of_the_agent_stands_once_in_a_body():
    async with LocalNode({"note": note}) as node:
        await node.wait(await start(node, webhook=Webhook(HOOK.url, ("run.queued",))))
        [one] = await claim_deliveries(node.world, 10)
        assert one.body.count(b'"agent"') == 1
        assert json.loads(one.body)["data"]["agent"] == "note"


async def test_reviews_and_waits_are_told_in_order():
    @agent(mode="event")
    async def asks(ctx: Context, text: str) -> str:
        return (await ctx.review("May I?")).verdict

    wanted = ("review.requested", "run.waiting", "review.decided", "run.resumed", "run.succeeded")
    async with LocalNode({"asks": asks}) as node:
        run = await start(node, "asks", webhook=Webhook(HOOK.url, wanted, ordered=True))
        review = await node.wait_review(run)
        await node.wait(run, "waiting")
        await node.decide(review, "approve")
        await node.wait(run)
        assert [kind for kind, _ in await outbox(node)] == list(wanted)
        for kind in wanted:
            [one] = await claim_deliveries(node.world, 10)
            assert one.type == kind
            await settle_delivery(node.world, one, Answer("delivered"))


async def test_a_turn_that_is_rolled_back_is_told_as_cancelled():
    gate, hold = held("session")
    async with LocalNode({"hold": hold, "chat": chat}) as node:
        first = await start(node, "hold", session="s")
        await until(node, lambda: _running(node, first))
        second = await start(node, "hold", session="s", on_busy="rollback", webhook=None)
        await node.wait(first)
        gate.set()
        await node.wait(second)
        assert await outbox(node) == [("run.cancelled", HOOK.url)]


async def test_a_body_that_would_be_too_long_goes_out_without_the_output():
    async with LocalNode({"note": note}) as node:
        run = await start(node, input=b'"' + b"x" * 300_000 + b'"')
        assert len((await node.wait(run)).output) == 300_000
        [one] = await claim_deliveries(node.world, 10)
        data = json.loads(one.body)["data"]
        assert (data["run"], data["omitted"]) == (run, True)
        assert "output" not in data


async def test_one_that_fails_is_due_after_its_pause_and_dead_when_none_is_left():
    async with LocalNode({"note": note}) as node:
        await node.wait(await start(node))
        tries = 0
        while due := await node.world.records.next_delivery():
            node.clock.advance_to(due)
            [one] = await claim_deliveries(node.world, 10)
            tries += 1
            assert one.attempt == tries
            await settle_delivery(node.world, one, Answer("again", "the receiver answered 500"))
        found = await get_delivery(node.world, "default", one.id)
        assert (found.status, found.reason, tries) == ("dead", "the receiver answered 500", 11)
        assert (await retry_delivery(node.world, "default", one.id)).status == "pending"
        [again] = await claim_deliveries(node.world, 10)
        assert (again.id, again.attempt, again.body) == (one.id, 1, one.body)


async def test_a_receiver_that_is_gone_gets_nothing_more_until_somebody_asks_again():
    async with LocalNode({"note": note}) as node:
        await node.wait(await start(node))
        [one] = await claim_deliveries(node.world, 10)
        assert await settle_delivery(node.world, one, Answer("gone", "410")) == "dead"
        await node.wait(await start(node))
        assert await claim_deliveries(node.world, 10) == []
        found, _ = await list_deliveries(node.world, "default", DeliveryFilter(status="dead"), None, 10)
        assert [each.reason for each in found] == ["410", "410"]
        await retry_delivery(node.world, "default", found[0].id)
        assert [each.id for each in await claim_deliveries(node.world, 10)] == [found[0].id]


async def test_a_late_word_about_a_try_does_not_count():
    async with LocalNode({"note": note}) as node:
        await node.wait(await start(node))
        [slow] = await claim_deliveries(node.world, 10)
        node.clock.advance(seconds=61)
        [quick] = await claim_deliveries(node.world, 10)
        assert await settle_delivery(node.world, quick, Answer("delivered")) == "delivered"
        assert await settle_delivery(node.world, slow, Answer("again", "late")) is None
        assert (await get_delivery(node.world, "default", slow.id)).status == "delivered"


async def test_a_delivery_that_is_not_there_is_told():
    async with LocalNode({"note": note}) as node:
        for verb in (get_delivery, retry_delivery):
            with pytest.raises(DeliveryNotFound):
                await verb(node.world, "default", "dlv_no")


async def test_a_retried_run_tells_the_same_webhook():
    async with LocalNode({"boom": boom}) as node:
        run = await start(node, "boom")
        await node.wait(run)
        again = await node.retry(run)
        await node.wait(again)
        assert await outbox(node) == [("run.failed", HOOK.url)] * 2


async def test_an_alert_goes_to_who_wants_to_hear_of_alerts_and_to_nobody_else():
    oncall = Receiver(name="oncall", events=("alert.fired",), where={"severity": "page"})
    shop = Receiver(name="shop", events=("alert.fired",), agents=("shop",))
    async with LocalNode({"note": note}) as node:
        node.world.receivers = Receivers((oncall, shop, Receiver(name="ends")))
        for facts in (b'{"severity":"page","summary":"too many"}', b'{"severity":"ticket"}'):
            await node.world.records.commit(Change(tuple(tell_alert(node.world, "alert.fired", "note", facts))))
        assert await outbox(node) == [("alert.fired", "oncall")]
        [one] = await claim_deliveries(node.world, 10)
        assert json.loads(one.body)["data"] == {"severity": "page", "summary": "too many"}
        assert sentence(one) == "note: alert fired (page)\ntoo many"
