"""The topic: what runs tell each other without knowing each other, and which agents start at it.

Theory: publishing is a step whose end and whose deliveries are one Change, so an event is published exactly once,
however often its run is replayed. Its id follows from the run and the step; the id of each run that starts at it
follows from that and the agent, so an event that is delivered twice finds the run that it became. Runs that start each
other like this count their hops: a circle ends at the limit of depth, loudly.
"""

import hashlib
import re

import msgspec
from msgspec import Raw, Struct

TOPIC = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")
PATTERN = re.compile(r"(\*|[A-Za-z0-9_-]+)(\.(\*|[A-Za-z0-9_-]+))*(\.>)?\Z|>\Z")
TOPIC_LIMIT = 128
EVENT_LIMIT = 192 * 1024
"""Bytes of one event as JSON. What is larger is kept elsewhere, and the event says where."""
FAN_OUT = 64
"""Agents and receivers that one event reaches at most."""
OWN = frozenset({"run", "review", "alert", "output", "step", "framework"})
"""First words that the events of runs have themselves."""
SUBSCRIBER = "agent:"
"""Goes before the name of an agent where deliveries have the name of a receiver."""


class Published(Struct, kw_only=True):
    """An event on its way to an agent that starts at it."""

    topic: str
    event: str
    publisher: str
    subject: str | None = None
    started_by: str = ""
    traceparent: str | None = None
    hops: int = 1
    payload: Raw


class _Hops(Struct):
    event: str = ""
    publisher: str = ""
    hops: int = 0


def check_topic(topic: str) -> None:
    """Raises ValueError for what is no topic."""
    if len(topic) > TOPIC_LIMIT or not TOPIC.match(topic):
        raise ValueError(f"{topic!r} is no topic: words of letters, digits, _ and - with dots between, at most 128")
    if topic.partition(".")[0] in OWN:
        raise ValueError(f"{topic!r} is no topic: {topic.partition('.')[0]} is what the events of runs begin with")


def check_pattern(pattern: str) -> None:
    """Raises ValueError for what matches no topic."""
    if len(pattern) > TOPIC_LIMIT or not PATTERN.match(pattern):
        raise ValueError(
            f"{pattern!r} is no pattern of topics: `*` stands for one word, a last `>` for all that follow"
        )


def matches(pattern: str, topic: str) -> bool:
    """`orders.*` matches `orders.paid`; `orders.>` matches `orders.paid.late` too, and neither matches `orders`."""
    words = topic.split(".")
    parts = pattern.split(".")
    if parts[-1] == ">":
        parts.pop()
        if len(words) <= len(parts):
            return False
        words = words[: len(parts)]
    return len(parts) == len(words) and all(part in ("*", word) for part, word in zip(parts, words, strict=True))


def event_id(tenant: str, step: str) -> str:
    """`step`: the idempotency key of the step that publishes, the same in every attempt and in a retry of its run."""
    return "evt_" + hashlib.blake2b(f"{tenant}\n{step}".encode(), digest_size=16).hexdigest()


def subscriber_run_id(tenant: str, event: str, agent: str) -> str:
    """The run that starts at an event: the same however often the event is delivered."""
    return "run_" + hashlib.blake2b(f"topic\n{tenant}\n{event}\n{agent}".encode(), digest_size=16).hexdigest()


def origin_in(metadata: bytes) -> tuple[str | None, int]:
    """The run that published the event at which a run with this metadata started, and how many such starts lie behind
    it."""
    if b'"publisher"' not in metadata:
        return None, 0
    try:
        found = msgspec.json.decode(metadata, type=_Hops)
    except msgspec.DecodeError:
        return None, 0
    return (found.publisher, max(found.hops, 1)) if found.event.startswith("evt_") and found.publisher else (None, 0)
