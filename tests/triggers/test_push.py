"""Posts of others: who they are from, over the bytes as they came; and which message each is."""

import base64
import hashlib
import hmac
import json

import pytest

from pilothouse.communication.triggers.push import Desk, Unreadable, check, read_messages
from pilothouse.domain.signature import sign
from pilothouse.domain.source import SourceRule
from pilothouse.engine.source import Intake

KEY, NOW = b"secret-of-some-length", 1_700_000_000
BODY = b'{"id": "evt_1", "event_id": "Ev1", "type": "order.paid", "order": 7}'


def desk(verify="key", *keys: bytes) -> Desk:
    return Desk(Intake(SourceRule(name="s", agent="a"), "default"), verify, keys or (KEY,))


def mac(text: bytes, key: bytes = KEY) -> str:
    return hmac.new(key, text, hashlib.sha256).hexdigest()


SIGNED = {
    "standard": {
        "webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": sign((KEY,), "msg_1", NOW, BODY),
    },
    "github": {"x-hub-signature-256": f"sha256={mac(BODY)}", "x-github-delivery": "d-1", "x-github-event": "push"},
    "stripe": {"stripe-signature": f"t={NOW},v1={mac(b'%d.' % NOW + BODY)},v0=old"},
    "slack": {"x-slack-request-timestamp": str(NOW), "x-slack-signature": f"v0={mac(b'v0:%d:' % NOW + BODY)}"},
    "token": {"authorization": f"Bearer {KEY.decode()}", "idempotency-key": "k-1"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("verify", "key"),
    [("standard", "msg_1"), ("github", "d-1"), ("stripe", "evt_1"), ("slack", "Ev1"), ("token", "k-1")],
)
def test_a_post_of_each_sender_is_let_in_and_its_message_has_the_senders_key(verify, key):
    assert check(desk(verify), SIGNED[verify], "", BODY, NOW) is None
    assert check(desk(verify, b"a newer secret", KEY), SIGNED[verify], "", BODY, NOW) is None
    [message] = read_messages(desk(verify), SIGNED[verify], BODY)
    assert (message.key, message.body) == (key, BODY)


@pytest.mark.parametrize("verify", ["standard", "github", "stripe", "slack"])
def test_a_post_that_was_changed_or_is_from_somebody_else_is_refused(verify):
    assert check(desk(verify), SIGNED[verify], "", BODY + b" ", NOW)
    assert check(desk(verify, b"another"), SIGNED[verify], "", BODY, NOW)
    assert check(desk(verify), {}, "", BODY, NOW)
    garbled = {name: value.replace("=", "=ä") for name, value in SIGNED[verify].items()}
    assert check(desk(verify), garbled, "", BODY, NOW)


@pytest.mark.parametrize("verify", ["standard", "stripe", "slack"])
def test_an_old_post_may_be_a_replay_and_is_refused(verify):
    assert "timestamp" in check(desk(verify), SIGNED[verify], "", BODY, NOW + 301)
    assert "timestamp" in check(desk(verify), SIGNED[verify], "", BODY, NOW - 301)


def test_a_token_may_stand_in_the_url_and_must_be_the_right_one():
    assert check(desk("token"), {}, KEY.decode(), BODY, NOW) is None
    for wrong in ("", "no", KEY.decode() + "x"):
        assert check(desk("token"), {}, wrong, BODY, NOW)


CE = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/shop", "ce-type": "order.paid"}
EVENT = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order.paid", "tries": 2}


def test_a_cloudevent_is_read_in_each_of_its_forms():
    [binary] = read_messages(desk(), {**CE, "content-type": "application/json"}, b'{"order":7}')
    structured = {**EVENT, "data": {"order": 7}}
    [whole] = read_messages(
        desk(), {"content-type": "application/cloudevents+json; charset=UTF-8"}, json.dumps(structured).encode()
    )
    assert binary.key == whole.key == "/shop 7"
    assert json.loads(binary.body) == json.loads(whole.body) == {"order": 7}
    assert (binary.attributes["type"], whole.attributes["tries"]) == ("order.paid", "2")
    coded = {**EVENT, "data_base64": base64.b64encode(b"\x00\x01").decode()}
    batch = json.dumps([coded, {**structured, "id": "8"}]).encode()
    first, second = read_messages(desk(), {"content-type": "application/cloudevents-batch+json"}, batch)
    assert (first.body, second.key) == (b"\x00\x01", "/shop 8")


def test_a_push_of_pubsub_is_read():
    push = {
        "message": {
            "data": base64.b64encode(b'{"a":1}').decode(),
            "messageId": "99",
            "attributes": {"b": "c"},
            "orderingKey": "k",
        },
        "subscription": "s",
    }
    [message] = read_messages(desk("token"), {"content-type": "application/json"}, json.dumps(push).encode())
    assert (message.key, message.body, message.attributes) == ("99", b'{"a":1}', {"b": "c", "orderingKey": "k"})
    [unwrapped] = read_messages(desk("oidc"), {"x-goog-pubsub-message-id": "99"}, b'{"a":1}')
    assert (unwrapped.key, unwrapped.body) == (message.key, message.body)


@pytest.mark.parametrize(
    ("verify", "headers", "body"),
    [
        ("key", {}, BODY),
        ("key", {**CE, "ce-specversion": "0.3"}, b"1"),
        ("key", {**CE, "ce-id": ""}, b"1"),
        ("key", {"content-type": "application/cloudevents+json"}, b"[1]"),
        ("key", {"content-type": "application/cloudevents+json"}, b"{"),
        ("key", {"content-type": "application/cloudevents+json"}, json.dumps({**EVENT, "data_base64": "%"}).encode()),
        ("key", {"content-type": "application/cloudevents-batch+json"}, b"{}"),
        ("key", {"content-type": "application/cloudevents-batch+json"}, json.dumps([EVENT] * 101).encode()),
        ("github", {}, BODY),
        ("stripe", {}, b"[]"),
        ("stripe", {}, b'{"id": 7}'),
        ("slack", {}, b"challenge=1"),
        ("token", {}, b'{"message": {"data": ""}, "subscription": "s"}'),
    ],
)
def test_what_names_no_message_is_refused(verify, headers, body):
    with pytest.raises(Unreadable):
        read_messages(desk(verify), headers, body)
