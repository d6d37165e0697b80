"""What a scripted model says: an answer in text or tool calls, or a fault instead of one.

These are plain values without a protocol in them, so that one script serves both the chat completions and the
responses API, whole or streamed. How a value becomes bytes is left to `model_chat` and `model_responses`; when a fault
strikes is left to `model_script`.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

_TOKEN = re.compile(r"\w+|[^\w\s]")
_PIECE = re.compile(r"\s*\S+\s*")


def count_tokens(text: str) -> int:
    """Words and signs: no tokenizer's count, but the same on every run and growing with the text."""
    return sum(1 for _ in _TOKEN.finditer(text))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that the answer claims to have cost."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call the model asks for. Arguments given as `str` are sent as they are, so they may be broken JSON."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None

    @property
    def arguments_text(self) -> str:
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One turn of the model.

    Without `usage` it is counted from the request and the answer. The text is streamed word by word unless `pieces`
    say it in portions of their own, in place of `text`. Without `finish_reason` it is `tool_calls` or `stop`, as the
    answer has calls or not.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] | list[ToolCall] = ()
    usage: Usage | None = None
    pieces: tuple[str, ...] | list[str] | None = None
    finish_reason: str | None = None

    @property
    def deltas(self) -> list[str]:
        """The text in the portions in which it is streamed; together they are the text."""
        if self.pieces is not None:
            return list(self.pieces)
        return _PIECE.findall(self.text) or ([self.text] if self.text else [])

    @property
    def whole_text(self) -> str:
        return self.text if self.pieces is None else "".join(self.pieces)

    @property
    def reason(self) -> str:
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    def usage_for(self, prompt: str) -> Usage:
        if self.usage is not None:
            return self.usage
        said = self.whole_text + " ".join(f"{call.name} {call.arguments_text}" for call in self.tool_calls)
        return Usage(count_tokens(prompt), count_tokens(said))


class Gate:
    """Holds what passes through it until the test lets it: a slow model without a sleep.

    The server waits at it in its own thread; the test opens it from any other. `allow` counts, so permits given before
    anybody waits are not lost.
    """

    def __init__(self, permits: int = 0) -> None:
        self._permits = permits
        self._opened = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._changed = threading.Condition()

    def allow(self, count: int = 1) -> None:
        """Let this many more pass."""
        with self._changed:
            self._permits += count
            self._wake()

    def open(self) -> None:
        """Let everything pass from now on."""
        with self._changed:
            self._opened = True
            self._wake()

    def wait_held(self, count: int = 1, within: float = 5.0) -> None:
        """Block until so many wait at the gate; `TimeoutError` if they do not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._waiting) >= count, timeout=within):
                raise TimeoutError(f"{len(self._waiting)} of {count} reached the gate within {within} s")

    async def enter(self) -> None:
        """Pass, at once with a permit, else when one is given."""
        loop = asyncio.get_running_loop()
        with self._changed:
            if self._take():
                return
            ticket = (loop, loop.create_future())
            self._waiting.append(ticket)
            self._changed.notify_all()
        try:
            await ticket[1]
        finally:
            with self._changed:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)

    def _take(self) -> bool:
        if self._opened:
            return True
        if self._permits > 0:
            self._permits -= 1
            return True
        return False

    def _wake(self) -> None:
        while self._waiting and self._take():
            loop, waiter = self._waiting.pop(0)
            # A loop that closed meanwhile has nobody left to wake.
            if not loop.is_closed():
                loop.call_soon_threadsafe(_finish, waiter)
        self._changed.notify_all()


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong instead of, or in the middle of, an answer. Made by the constructors below.

    `status`, `cut` and `broken` ruin the answer, and the script keeps its place so that a retry gets that answer.
    `held` only delays it.
    """

    kind: Literal["status", "cut", "broken", "held"]
    status: int = 200
    code: str = ""
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    after: int = 0
    gate: Gate = field(default_factory=Gate, compare=False)

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = 1) -> Fault:
        """429 with `Retry-After` in seconds, or as the text given (an HTTP date); without the header for `None`."""
        text = retry_after if isinstance(retry_after, str) else f"{retry_after:g}" if retry_after is not None else None
        headers = (("retry-after", text),) if text is not None else ()
        return cls("status", 429, "rate_limit_exceeded", "Rate limit reached.", headers)

    @classmethod
    def overloaded(cls) -> Fault:
        """529: the provider has no room, and no promise when it will have."""
        return cls("status", 529, "overloaded_error", "Overloaded.")

    @classmethod
    def server_error(cls, status: int = 500, message: str = "The server had an error.") -> Fault:
        """Any other status: 500 unless told."""
        return cls("status", status, "server_error" if status >= 500 else "invalid_request_error", message)

    @classmethod
    def cut_stream(cls, after: int = 1) -> Fault:
        """The connection ends after so many chunks of a stream, or in the middle of a whole answer."""
        return cls("cut", after=after)

    @classmethod
    def bad_json(cls, after: int = 0) -> Fault:
        """200, and a body that stops being JSON: the whole one, or the chunk after so many good ones."""
        return cls("broken", after=after)

    @classmethod
    def hang(cls, after: int = 0) -> Fault:
        """Silence after so many chunks, or before the first byte, until `release` or until the server stops."""
        return cls("held", after=after)

    @classmethod
    def slow(cls, gate: Gate) -> Fault:
        """Each chunk of a stream waits for the gate (its head leaves with the first), and a whole answer once."""
        return cls("held", gate=gate)

    def release(self) -> None:
        """Let go of what this fault holds."""
        self.gate.open()

    @property
    def keeps_script(self) -> bool:
        return self.kind != "held"

    @property
    def needs_answer(self) -> bool:
        return self.kind in ("cut", "held")
