"""One request of a model call, from who is asked to what came of it.

A call may take several: it is tried again, goes to a fallback, or has a second one beside it. Each is asked for, priced
and settled by itself, and those that came to nothing are told as events, so that an operator sees why a run was slow or
dear. What a provider began to answer may be billed whatever became of it.
"""

import time
from typing import Any

import msgspec
from msgspec import Struct

from pilothouse.domain.price import Price
from pilothouse.sdk.egress.exchange import Answer, Outgoing

REASON_LIMIT = 300


class Flight:
    """`number` counts the requests of a call from 1."""

    __slots__ = ("ask_ref", "began", "is_sent", "model", "number", "price", "provider", "request")

    def __init__(self, provider: str, model: str, request: Outgoing, number: int) -> None:
        self.provider, self.model, self.request, self.number = provider, model, request, number
        self.ask_ref: int | None = None
        self.price: Price | None = None
        self.is_sent = False
        """Whether bytes may have left, and no answer has come: what is cancelled now may have been paid for."""
        self.began = time.monotonic()

    def send(self) -> None:
        self.is_sent, self.began = True, time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it was sent."""
        return time.monotonic() - self.began


class Landed(Struct):
    """What came of a flight. `got`: the beginning of an answer, as the driver has it; `answer`: the whole of it, unless
    it is a stream; `error`: why there is none."""

    flight: Flight
    got: Any = None
    answer: Answer | None = None
    error: BaseException | None = None
    is_good: bool = False

    @property
    def status(self) -> int | None:
        return None if self.got is None else int(self.got.status)

    @property
    def is_billed(self) -> bool:
        """Whether the provider had begun to answer."""
        return self.status is not None and self.status < 400

    @property
    def reason(self) -> str:
        if self.error is not None:
            text = f"{type(self.error).__name__}: {self.error}".rstrip(": ")
        elif self.is_billed:
            text = "the answer is cut off, is no JSON or is no answer of a model"
        else:
            text = _said(b"" if self.answer is None else self.answer.body)
        return text[:REASON_LIMIT]


class Failure(Struct, omit_defaults=True):
    """The event `model.failed`. `then`: what follows (`again`, `fallback`, `other`: the one beside it is still under
    way, `none`), after `wait` seconds. `passed_over`: fallbacks that could not be asked, with the reason."""

    provider: str
    model: str
    number: int
    reason: str
    then: str
    key: str | None = None
    status: int | None = None
    seconds: float = 0.0
    wait: float = 0.0
    is_billed: bool = False
    passed_over: list[str] = []


def _said(body: bytes) -> str:
    """What a provider says of an error, or the beginning of what it sent."""
    try:
        document = msgspec.json.decode(body[: 64 * 1024])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return body[:REASON_LIMIT].decode(errors="replace")
    found = document[0] if isinstance(document, list) and document else document
    for name in ("error", "message", "detail", "Message"):
        inner = found.get(name) if isinstance(found, dict) else None
        if inner is not None:
            found = inner
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()
