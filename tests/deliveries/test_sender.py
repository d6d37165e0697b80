"""The sender against a real receiver: at least once, the same id, signed, in order where asked (I10)."""

import asyncio

import pytest

from pilothouse import agent
from pilothouse.communication.deliveries.loop import Sender
from pilothouse.communication.deliveries.options import DeliveryOptions, ReceiverOptions
from pilothouse.domain.address import LOOPBACK
from pilothouse.domain.delivery import Receiver as Named
from pilothouse.domain.delivery import Receivers, Webhook
from pilothouse.domain.signature import read_secret
from pilothouse.engine.delivery import list_deliveries, retry_delivery
from pilothouse.engine.run import start_run
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.testing import LocalNode
from tests.deliveries.receiver import Receiver, answers
from tests.engine.agents import command, note

OLD, NEW = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ=", "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXc="


def sender_of(node: LocalNode, **options) -> Sender:
    options = {"keys": (read_secret(OLD),), "allowed": LOOPBACK, "within": 2.0} | options
    return Sender(node.world, DeliveryOptions(**options), lambda text: None)


async def ended(node: LocalNode, url: str, *events: str, ordered: bool = False) -> str:
    hook = Webhook(url, events or ("run.succeeded",), ordered)
    started = await start_run(node.world, command("note", wants="later", webhook=hook))
    await node.wait(started.run.id)
    return started.run.id


async def send(sender: Sender) -> None:
    while await sender.round():
        pass
    await sender.settled()


async def state(node: LocalNode) -> list[tuple[str, int, str | None]]:
    found, _ = await list_deliveries(node.world, "default", DeliveryFilter(), None, 100)
    return [(one.status, one.attempt, one.reason) for one in reversed(found)]


async def test_a_webhook_arrives_signed_and_once():
    async with LocalNode({"note": note}) as node, Receiver() as receiver:
        run = await ended(node, receiver.url)
        sender = sender_of(node)
        await send(sender)
        await send(sender)
        [post] = receiver.posts
        assert post.json["data"]["run"] == run
        assert post.is_signed_with(OLD)
        assert not post.is_signed_with(NEW)
        assert post.headers["content-type"] == "application/json"
        assert await state(node) == [("delivered", 1, None)]


async def test_while_a_secret_is_replaced_both_sign():
    async with LocalNode({"note": note}) as node, Receiver() as receiver:
        await ended(node, receiver.url)
        await send(sender_of(node, keys=(read_secret(NEW), read_secret(OLD))))
        assert receiver.posts[0].is_signed_with(NEW)
        assert receiver.posts[0].is_signed_with(OLD)


async def test_a_receiver_that_fails_is_asked_again_later_with_the_same_id_and_a_new_signature():
    behaviours = [answers(500), answers(503, "Retry-After: 3600"), answers(200)]
    async with LocalNode({"note": note}) as node, Receiver(behaviours) as receiver:
        await ended(node, receiver.url)
        sender = sender_of(node)
        await send(sender)
        assert await state(node) == [("pending", 1, "the receiver answered 500")]
        await send(sender)
        assert len(receiver.posts) == 1
        node.clock.advance(seconds=10)
        await send(sender)
        node.clock.advance(minutes=59)
        await send(sender)
        assert len(receiver.posts) == 2
        node.clock.advance(minutes=2)
        await send(sender)
        assert await state(node) == [("delivered", 3, None)]
        assert len({post.id for post in receiver.posts}) == 1
        assert len({post.headers["webhook-timestamp"] for post in receiver.posts}) == 3
        assert all(post.is_signed_with(OLD) for post in receiver.posts)
        assert len({post.body for post in receiver.posts}) == 1


async def test_a_sender_that_dies_between_the_post_and_its_settling_delivers_again_under_the_same_id():
    async with LocalNode({"note": note}) as node, Receiver() as receiver:
        await ended(node, receiver.url)
        node.records.strike(1, "before", "submit")
        sender = sender_of(node)
        await sender.round()
        await asyncio.wait(sender._tries, timeout=60) if node.is_dead else await node.wait_move(0.5)
        async with asyncio.timeout(60):
            while not node.is_dead:
                await node.wait_move(0.01)
        await sender.stop()
        await node.restart()
        node.clock.advance(seconds=61)
        await send(sender_of(node))
        assert len(receiver.posts) == 2
        assert len({post.id for post in receiver.posts}) == 1
        assert await state(node) == [("delivered", 2, None)]


async def test_a_receiver_that_answers_410_is_left_alone():
    async with LocalNode({"note": note}) as node, Receiver([answers(410)]) as receiver:
        await ended(node, receiver.url)
        sender = sender_of(node)
        await send(sender)
        await ended(node, receiver.url)
        await send(sender)
        assert len(receiver.posts) == 1
        assert [status for status, *_ in await state(node)] == ["dead", "dead"]
        receiver.behaviours = [answers(200)]
        found, _ = await list_deliveries(node.world, "default", DeliveryFilter(), None, 1)
        await retry_delivery(node.world, "default", found[0].id)
        await send(sender)
        assert [status for status, *_ in await state(node)] == ["dead", "delivered"]


async def test_the_events_of_a_run_come_in_order_where_that_is_asked_for():
    wanted = ("run.queued", "run.started", "run.succeeded")
    async with LocalNode({"note": note}) as node, Receiver([answers(500), answers(200)]) as receiver:
        await ended(node, receiver.url, *wanted, ordered=True)
        sender = sender_of(node)
        await send(sender)
        assert [post.type for post in receiver.posts] == ["run.queued"]
        node.clock.advance(seconds=10)
        for _ in wanted:
            await send(sender)
        assert [post.type for post in receiver.posts] == ["run.queued", *wanted]


async def test_a_slow_receiver_does_not_keep_the_others_waiting():
    release = asyncio.Event()

    async def slow(post, reader, writer):
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async with LocalNode({"note": note}) as node, Receiver([slow]) as stuck, Receiver() as quick:
        for _ in range(6):
            await ended(node, stuck.url)
        await ended(node, quick.url)
        sender = sender_of(node, at_once=4, at_once_each=2)
        async with asyncio.timeout(60):
            while not quick.posts:
                await sender.round()
                await asyncio.sleep(0.005)
        assert len(stuck.posts) == 2
        release.set()
        while await sender.round() or sender._tries:
            await sender.settled()
        assert [status for status, *_ in await state(node)] == ["delivered"] * 7
        assert len(stuck.posts) == 6


async def test_an_address_that_is_closed_is_not_connected_to_and_the_reason_is_told():
    async with LocalNode({"note": note}) as node, Receiver() as receiver:
        await ended(node, receiver.url)
        await send(sender_of(node, allowed=()))
        [(status, attempt, reason)] = await state(node)
        assert (status, attempt) == ("pending", 1)
        assert "closed (loopback)" in reason
        assert receiver.connections == 0


async def test_receivers_of_the_settings_are_told_with_their_own_secret_headers_and_format():
    shop = ReceiverOptions("", (read_secret(NEW),), "standard", {"X-Team": "blue"})
    async with LocalNode({"note": note}) as node, Receiver() as receiver:
        node.world.receivers = Receivers((Named(name="shop"), Named(name="chat"), Named(name="gone")))
        started = await start_run(node.world, command("note", wants="later"))
        await node.wait(started.run.id)
        options = {
            "shop": ReceiverOptions(receiver.url, shop.keys, "standard", shop.headers),
            "chat": ReceiverOptions(receiver.url + "/chat", (), "slack"),
        }
        await send(sender_of(node, receivers=options))
        posts = {post.path: post for post in receiver.posts}
        assert posts["/hook"].is_signed_with(NEW)
        assert posts["/hook"].headers["x-team"] == "blue"
        assert posts["/hook/chat"].json == {"text": f"note: run succeeded ({started.run.id})\nX"}
        assert "webhook-signature" not in posts["/hook/chat"].headers
        assert (await state(node))[-1] == ("dead", 1, "there is no receiver gone in the settings any more")


@pytest.mark.parametrize("format", ["slack", "teams"])
async def test_a_failure_is_told_to_a_chat_room_in_a_sentence(format):
    @agent(mode="event")
    def boom(text: str) -> str:
        raise ValueError("<no> & never")

    async with LocalNode({"note": boom}) as node, Receiver() as receiver:
        node.world.receivers = Receivers((Named(name="chat"),))
        await node.wait((await start_run(node.world, command("note", wants="later"))).run.id)
        await send(sender_of(node, receivers={"chat": ReceiverOptions(receiver.url, (), format)}))
        text = receiver.posts[0].body.decode()
        assert "note: run failed" in text
        assert ("&lt;no&gt; &amp; never" if format == "slack" else "<no> & never") in text


async def test_the_loop_hears_the_bell_and_sends_without_being_driven():
    async with LocalNode({"note": note}) as node, Receiver() as receiver:
        sender = sender_of(node)
        sender.start()
        await ended(node, receiver.url)
        async with asyncio.timeout(60):
            while not receiver.posts:
                await asyncio.sleep(0.005)
        await sender.stop(2.0)
        await sender.stop()
        assert await state(node) == [("delivered", 1, None)]
