"""The delivery: one notification that must reach somebody outside, with its tries (I10).

Theory: a delivery is a row that became durable with the event it tells of. It is `pending` until a receiver has taken
it (`delivered`) or until it is given up (`dead`); a dead one stays visible and can be asked for again. Its id is the
same on every try, so a receiver that hears it twice can tell. Who claims it moves its `due_at` behind the end of the
claim and raises `attempt`; whatever is said of an earlier attempt is not taken.
"""

from typing import Literal, get_args

from msgspec import Struct

from pilothouse.domain.run import Run
from pilothouse.domain.topic import matches

DeliveryStatus = Literal["pending", "delivered", "dead"]
Verdict = Literal["delivered", "again", "dead", "gone"]

MINUTE, HOUR = 60.0, 3600.0
PAUSES = (
    5.0,
    MINUTE,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
"""Seconds between tries, as Standard Webhooks proposes them, with one more at the beginning: over three days in all."""
JITTER = 0.2
"""The share of a pause that is drawn, so that what failed together does not come back together."""
RETRY_AFTER_LIMIT = 24 * HOUR

ToldEvent = Literal[
    "run.queued",
    "run.started",
    "run.waiting",
    "run.resumed",
    "run.succeeded",
    "run.failed",
    "run.cancelled",
    "review.requested",
    "review.decided",
]
AlertEvent = Literal["alert.fired", "alert.resolved"]
"""What a node tells of itself: an objective of an agent is missed too fast, or is not any more."""
OversightEvent = Literal["override.made", "review.escalated", "audit.checkpoint"]
"""What people did to a run that has ended; a question that the next role is asked; a signed word about the whole audit
log, for who keeps it elsewhere."""
TOLD: tuple[ToldEvent, ...] = get_args(ToldEvent)
"""Events that can be delivered. What a run says while it works (deltas, steps, logs) is for those who watch it."""
ENDS: tuple[ToldEvent, ...] = ("run.cancelled", "run.failed", "run.succeeded")


class Delivery(Struct, kw_only=True):
    """As the records keep it. `receiver` is the name of one that is configured, or the URL that a request brought."""

    tenant: str
    id: str
    run: str
    agent: str
    type: str
    receiver: str
    lane: str | None = None
    """Deliveries of one lane go out one after the other, in the order of their events."""
    body: bytes
    status: DeliveryStatus = "pending"
    attempt: int = 0
    due_at: int | None = None
    reason: str | None = None
    """Why the last try failed, for people."""
    created_at: int
    finished_at: int | None = None


class Webhook(Struct, frozen=True, omit_defaults=True):
    """What a request asked to be told of its run, and where. Kept with the run."""

    url: str
    events: tuple[ToldEvent, ...] = ENDS
    ordered: bool = False


class Receiver(Struct, frozen=True, kw_only=True):
    """Who is told of what. `where`: what the event must say, by dotted path into the `data` of its body."""

    name: str
    events: tuple[ToldEvent | AlertEvent | OversightEvent, ...] = ENDS
    agents: tuple[str, ...] = ()
    """Empty: all."""
    where: dict[str, object] = {}
    ordered: bool = False
    topics: tuple[str, ...] = ()
    """Of the events that runs publish, those on topics of these patterns."""


class Receivers:
    """All who are told something by this deployment. `signs`: there is a secret with which the webhooks of single runs
    can be signed."""

    def __init__(self, receivers: tuple[Receiver, ...] = (), *, signs: bool = False) -> None:
        self.all, self.signs = receivers, signs
        self._wanted = frozenset(event for one in receivers for event in one.events)
        self._listening = tuple(one for one in receivers if one.topics)

    def wants(self, kind: str) -> bool:
        return kind in self._wanted

    def find(self, kind: str, agent: str) -> list[Receiver]:
        return [one for one in self.all if kind in one.events and (not one.agents or agent in one.agents)]

    def find_topic(self, topic: str, agent: str) -> list[Receiver]:
        """Who hears what a run of the agent publishes on the topic."""
        return [
            one
            for one in self._listening
            if (not one.agents or agent in one.agents) and any(matches(each, topic) for each in one.topics)
        ]

    def __bool__(self) -> bool:
        """Whether anybody is told of the events of runs themselves."""
        return bool(self._wanted)


class Answer(Struct, frozen=True):
    """What came of one try. `gone`: the receiver wants to hear nothing any more. `after`: seconds for which it asked
    to be left alone."""

    verdict: Verdict
    reason: str | None = None
    after: float = 0.0


def fits(where: dict[str, object], document: object) -> bool:
    """Whether the document says everything that `where` asks for."""
    return all(_at(path, document) == wanted for path, wanted in where.items())


def _at(path: str, document: object) -> object:
    for name in path.split("."):
        if not isinstance(document, dict) or name not in document:
            return None
        document = document[name]
    return document


def pause_after(attempt: int, draw: float, after: float = 0.0) -> float | None:
    """Seconds until the next try when `attempt` tries have failed; None: it is given up. `draw` is uniform in
    [0, 1). What the receiver asked for counts when it is longer."""
    if attempt > len(PAUSES):
        return None
    pause = PAUSES[max(attempt, 1) - 1]
    return max(pause * (1.0 - JITTER * draw), min(after, RETRY_AFTER_LIMIT))


def judge(status: int, retry_after: float = 0.0) -> Answer:
    """What the HTTP status of a receiver means. A redirect is no success: whoever can redirect could send the node
    anywhere."""
    if 200 <= status < 300:
        return Answer("delivered")
    if status == 410:
        return Answer("gone", "the receiver answered 410: it wants no more")
    if 300 <= status < 400:
        return Answer("again", f"the receiver answered {status}; redirects are not followed")
    return Answer("again", f"the receiver answered {status}", retry_after if status in (429, 503) else 0.0)


def lane_of(run: Run, receiver: str) -> str:
    return f"{receiver}\n{run.id}"
