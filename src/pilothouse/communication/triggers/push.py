"""Messages that others post: who they are from, and what the message is in the form of each sender.

A post is verified over its body as it came, before anything of it is read. What is not signed (a CloudEvent, a plain
document) needs a key of this deployment instead, when there are any.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from pilothouse.domain import signature
from pilothouse.domain.source import Message
from pilothouse.engine.source import Intake
from pilothouse.ports.identity import Identity

Verify = Literal["key", "standard", "github", "stripe", "slack", "token", "oidc"]
BATCH_LIMIT = 100
CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
NAMES = ("idempotency-key", "webhook-id", "x-goog-pubsub-message-id")
"""Headers that name a plain document; the last is that of Pub/Sub where payloads are unwrapped."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Unreadable(Exception):
    """The text says what is wrong with the post."""


@dataclass(slots=True)
class Desk:
    """A source whose messages are posted. `verify` "key": whoever may start runs may post; "oidc": whoever `identity`
    lets in, with its token in Authorization."""

    intake: Intake
    verify: Verify = "key"
    keys: tuple[bytes, ...] = ()
    identity: Identity | None = None


def check(desk: Desk, headers: Mapping[str, str], token: str, body: bytes, now: float) -> str | None:
    """What is wrong with the sender; None: nothing. `headers` by their names in small letters; `now`: seconds."""
    keys = desk.keys
    match desk.verify:
        case "standard":
            id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
            return signature.verify(keys, id, at, headers.get("webhook-signature", ""), body, now)
        case "github":
            return signature.verify_github(keys, headers.get("x-hub-signature-256", ""), body)
        case "stripe":
            return signature.verify_stripe(keys, headers.get("stripe-signature", ""), body, now)
        case "slack":
            at = headers.get("x-slack-request-timestamp", "")
            return signature.verify_slack(keys, at, headers.get("x-slack-signature", ""), body, now)
        case "token":
            return signature.verify_token(keys, bearer(headers) or token)
    return None


def bearer(headers: Mapping[str, str]) -> str:
    """The token in Authorization; empty: there is none."""
    said = headers.get("authorization", "")
    return said[7:].strip() if said[:7].lower() == "bearer " else ""


def read_messages(desk: Desk, headers: Mapping[str, str], body: bytes) -> list[Message]:
    """The messages of a post: one, or those of a batch of CloudEvents. Raises `Unreadable`."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == CLOUDEVENTS:
        events = _json(body)
        if not isinstance(events, list) or len(events) > BATCH_LIMIT:
            raise Unreadable(f"a batch is an array of at most {BATCH_LIMIT} events")
        return [_structured(one) for one in events]
    if media == CLOUDEVENT:
        return [_structured(_json(body))]
    if "ce-specversion" in headers:
        return [_binary(headers, body)]
    match desk.verify:
        case "standard":
            return [Message(key=headers["webhook-id"], body=body)]
        case "github":
            key = _needed(headers, "x-github-delivery")
            return [Message(key=key, body=body, attributes={"event": headers.get("x-github-event", "")})]
        case "stripe":
            return [_known(body, "id")]
        case "slack":
            return [_known(body, "event_id")]
    document = _maybe(body)
    if isinstance(document, dict) and isinstance(document.get("message"), dict) and "subscription" in document:
        return [_pubsub(document)]
    named = next((headers[name] for name in NAMES if headers.get(name)), None)
    if not named:
        raise Unreadable("it has no key: send it as a CloudEvent, or with an Idempotency-Key")
    return [Message(key=named[:256], body=body)]


def _binary(headers: Mapping[str, str], body: bytes) -> Message:
    """CloudEvents 1.0, HTTP binding, 3.1: attributes in headers, the body is the data."""
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    return Message(key=_event_key(attributes), body=body, attributes=attributes)


def _structured(event: Any) -> Message:
    """3.2: one JSON document with the attributes, and `data` or `data_base64`."""
    if not isinstance(event, dict):
        raise Unreadable("a CloudEvent is a JSON object")
    attributes = {
        name: value if isinstance(value, str) else _encode(value).decode()
        for name, value in event.items()
        if name not in ("data", "data_base64")
    }
    coded = event.get("data_base64")
    body = _unpack(coded) if isinstance(coded, str) else _encode(event.get("data"))
    return Message(key=_event_key(attributes), body=body, attributes=attributes)


def _event_key(attributes: Mapping[str, str]) -> str:
    """Source and id together name an event (CloudEvents 1.0, 3.1.1)."""
    if attributes.get("specversion") != "1.0":
        raise Unreadable("it is no CloudEvent 1.0: its specversion is another")
    id, source, kind = (attributes.get(name, "") for name in ("id", "source", "type"))
    if not id or not source or not kind:
        raise Unreadable("a CloudEvent has an id, a source and a type")
    return f"{source} {id}"


def _pubsub(document: dict[str, Any]) -> Message:
    """https://cloud.google.com/pubsub/docs/push: the data in Base64, with an id that stays the same."""
    message = document["message"]
    key = message.get("messageId") or message.get("message_id")
    if not isinstance(key, str) or not key:
        raise Unreadable("a message of Pub/Sub has a messageId")
    attributes = dict(message.get("attributes") or {})
    if message.get("orderingKey"):
        attributes["orderingKey"] = message["orderingKey"]
    return Message(
        key=key,
        body=_unpack(str(message.get("data") or "")),
        attributes={str(name): str(value) for name, value in attributes.items()},
    )


def _known(body: bytes, name: str) -> Message:
    """A document that says itself which message it is."""
    document = _json(body)
    key = document.get(name) if isinstance(document, dict) else None
    if not isinstance(key, str) or not key:
        raise Unreadable(f"it has no {name}")
    kind = document.get("type")
    return Message(key=key, body=body, attributes={"type": kind} if isinstance(kind, str) else {})


def _needed(headers: Mapping[str, str], name: str) -> str:
    if not headers.get(name):
        raise Unreadable(f"it has no header {name}")
    return headers[name]


def _json(body: bytes) -> Any:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable("it is no JSON") from None


def _maybe(body: bytes) -> Any:
    try:
        return _json(body)
    except Unreadable:
        return None


def _unpack(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("its data is no Base64") from None
