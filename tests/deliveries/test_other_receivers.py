"""Receivers that are no webhooks: subjects and streams of real brokers, and mail over real SMTP."""

import asyncio
import json

import nats
import pytest
import redis.asyncio

from pilothouse.communication.deliveries.mail import Mail
from pilothouse.communication.deliveries.options import ReceiverOptions
from pilothouse.communication.deliveries.queues import NatsQueue, RedisQueue
from pilothouse.domain.delivery import Delivery
from tests.triggers.brokers import nats_server, valkey_server


def delivery(number: int = 1, output: str = "done") -> Delivery:
    facts = {"run": "run_1", "agent": "desk", "output": output}
    body = json.dumps({"type": "run.succeeded", "timestamp": "x", "data": facts}).encode()
    return Delivery(
        tenant="default", id=f"dlv_{number}", run="run_1", agent="desk", type="run.succeeded", receiver="q", body=body,
        created_at=0,
    )  # fmt: skip


@pytest.mark.slow
async def test_a_subject_keeps_each_delivery_once_and_is_found_again_after_the_broker_was_killed(tmp_path):
    broker = nats_server(tmp_path)
    try:
        url = f"nats://127.0.0.1:{broker.port}"
        receiver, queue = ReceiverOptions(f"{url}/reports.done"), NatsQueue(3.0)
        assert (await queue.send(delivery(), receiver, 0)).verdict == "again"  # no stream keeps the subject
        client = await nats.connect(url)
        await client.jetstream().add_stream(name="reports", subjects=["reports.*"])
        await client.close()
        for number in (1, 1, 2):
            assert (await queue.send(delivery(number), receiver, 0)).verdict == "delivered"
        broker.kill()
        assert (await queue.send(delivery(3), receiver, 0)).verdict == "again"
        broker.start()
        assert (await queue.send(delivery(3), receiver, 0)).verdict == "delivered"
        await queue.close()
        client = await nats.connect(url)
        pull = await client.jetstream().pull_subscribe("reports.*", durable="test")
        found = await pull.fetch(3, timeout=5)
        assert [one.headers["Nats-Msg-Id"] for one in found] == ["dlv_1", "dlv_2", "dlv_3"]
        assert found[0].data == delivery().body
        await client.close()
    finally:
        broker.stop()


@pytest.mark.slow
async def test_a_stream_gets_the_id_the_type_and_the_body(tmp_path):
    broker = valkey_server(tmp_path)
    try:
        url = f"redis://127.0.0.1:{broker.port}/0"
        receiver, queue = ReceiverOptions(f"{url}?stream=reports"), RedisQueue(3.0)
        assert (await queue.send(delivery(), receiver, 0)).verdict == "delivered"
        broker.kill()
        assert (await queue.send(delivery(2), receiver, 0)).verdict == "again"
        broker.start()
        assert (await queue.send(delivery(2), receiver, 0)).verdict == "delivered"
        await queue.close()
        client = redis.asyncio.Redis.from_url(url)
        entries = [fields for _, fields in await client.xrange("reports")]
        await client.aclose()
        assert [one[b"id"] for one in entries] == [b"dlv_1", b"dlv_2"]
        assert entries[0][b"body"] == delivery().body
    finally:
        broker.stop()


class MailServer:
    """Speaks SMTP as RFC 5321 has it, without TLS; `refuses` is what it answers to the first recipient."""

    def __init__(self, refuses: bytes | None = None) -> None:
        self.refuses, self.mails = refuses, []

    async def __aenter__(self) -> "MailServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := await reader.readline():
            word = line[:4].upper()
            if word == b"DATA":
                writer.write(b"354 go on\r\n")
                mail = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(mail.decode())
                writer.write(b"250 taken\r\n")
            elif word == b"RCPT" and self.refuses is not None:
                writer.write(self.refuses + b"\r\n")
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 yes\r\n")
        writer.close()


async def test_a_mail_says_it_in_a_sentence():
    async with MailServer() as server:
        receiver = ReceiverOptions(f"smtp://127.0.0.1:{server.port}/?to=ops@example.org&from=desk@example.org")
        assert (await Mail(3.0).send(delivery(output="All\nis well"), receiver, 0)).verdict == "delivered"
        [mail] = server.mails
        assert "Subject: desk: run succeeded (run_1)" in mail
        assert "To: ops@example.org" in mail
        assert "Message-ID: <dlv_1@pilothouse>" in mail
        assert "is well" in mail


@pytest.mark.parametrize(("reply", "verdict"), [(b"450 later", "again"), (b"550 nobody here", "dead")])
async def test_what_a_mail_server_refuses_is_tried_again_or_given_up_as_it_says(reply, verdict):
    async with MailServer(reply) as server:
        receiver = ReceiverOptions(f"smtp://127.0.0.1:{server.port}/?to=ops@example.org")
        answer = await Mail(3.0).send(delivery(), receiver, 0)
        assert answer.verdict == verdict, answer


async def test_a_password_never_goes_out_in_the_clear():
    async with MailServer() as server:
        receiver = ReceiverOptions(f"smtp://ann:word@127.0.0.1:{server.port}/?to=ops@example.org")
        answer = await Mail(3.0).send(delivery(), receiver, 0)
        assert answer.verdict == "dead"
        assert "in the clear" in answer.reason
        assert server.mails == []


async def test_nobody_there_and_a_url_that_says_too_little_are_told():
    async with MailServer() as server:
        port = server.port
    assert (
        await Mail(1.0).send(delivery(), ReceiverOptions(f"smtp://127.0.0.1:{port}/?to=a@b.c"), 0)
    ).verdict == "again"
    assert (await Mail(1.0).send(delivery(), ReceiverOptions("smtp://127.0.0.1/"), 0)).verdict == "dead"
    for courier in (Mail(1.0), NatsQueue(1.0)):
        assert (await courier.send(delivery(), None, 0)).verdict == "dead"
