"""The source: where messages come from that become runs (I7).

Theory: a message is taken in when its run is durable, and only then is it acknowledged to whoever sent it. The id of
the run follows from the source and the key of the message, so a message that comes again, however often and in whatever
order, finds the run that it became. What can never become a run is kept as a dead letter, with the reason, and can be
replayed when that is mended.
"""

import hashlib
from typing import Literal

from msgspec import Struct

MESSAGE_LIMIT = 1024 * 1024
"""Bytes of one message; a larger one is a dead letter at once, without its body."""


class Message(Struct, kw_only=True):
    """`key` is what the sender says the message is; the same key is the same message. `body` as it came."""

    key: str
    body: bytes
    attributes: dict[str, str] = {}


class SourceRule(Struct, frozen=True, kw_only=True):
    """How the messages of a source become runs. `input`, `key`, `order` are JMESPath over the message: `body` (its
    JSON, or its text), `attributes`, `key` and `source`. Messages of one `order` become turns of one session, so that
    they are worked off one after the other."""

    name: str
    agent: str
    input: str = "body"
    key: str | None = None
    order: str | None = None
    concurrency: int = 16
    """Messages that are taken and not worked off yet, at most."""
    acknowledge: Literal["durable", "end"] = "durable"
    """When the sender hears of it: when the run is durable, or when it has ended."""


class DeadLetter(Struct, kw_only=True):
    """A message that could not become a run. `body` is None when it was too large to be kept."""

    source: str
    key: str
    reason: str
    at: int
    text: str | None = None
    encoding: Literal["utf-8", "base64"] = "utf-8"
    attributes: dict[str, str] = {}


def message_run_id(tenant: str, source: str, key: str) -> str:
    """The id of the run that this message is: the same however often it comes."""
    return "run_" + hashlib.blake2b(f"source\n{tenant}\n{source}\n{key}".encode(), digest_size=16).hexdigest()


def dead_letter_id(source: str, key: str) -> str:
    digest = hashlib.blake2b(f"{source}\n{key}".encode(), digest_size=12).hexdigest()
    return f"dead/{source}/{digest}"
