"""A node in memory that drives one run in a real `HostRuntime`: it keeps rows, acks, answers waits and loses hosts.

It is what the sdk's tests hold in place of the engine. A crash is exact: at the n-th message to the node the host is
gone, with that message kept (and its ack lost) or lost. Then a new runtime gets a new attempt with the kept rows.
"""

import asyncio
import time
from typing import Any

import msgspec

from pilothouse.domain.journal import BEGUN, ENDED, WAITS, StepRow
from pilothouse.errors import PilothouseError
from pilothouse.sdk.failure import write_failure
from pilothouse.sdk.host import HostRuntime
from pilothouse.wire import frames
from pilothouse.wire.host import HostConfig

LAST_WORDS = (frames.Finished, frames.Failed, frames.Parked, frames.Rejected, frames.Stopped)
SLOT = 3
WITHIN = 60.0
ATTEMPTS_LIMIT = 200


def now() -> int:
    return time.time_ns() // 1000


def end_of(begun: StepRow, value: Any) -> StepRow:
    """The end of a wait: a value, or the failure that an exception is."""
    failed = isinstance(value, PilothouseError)
    return StepRow(
        begun.key,
        begun.kind,
        begun.name,
        ENDED,
        "failed" if failed else "succeeded",
        output=None if failed else msgspec.json.encode(value),
        error=write_failure(value) if failed else None,
        started_at=begun.started_at,
        finished_at=now(),
    )


class Node:
    """One run of one agent. `answers` has, by the name of a wait (`review`, `unknown_outcome`, a signal's or an agent's
    name), its result or a function that makes it of the message; `late` the same for waits whose run has parked."""

    def __init__(
        self,
        agent: Any,
        *,
        mode: str = "event",
        kept: bool = True,
        answers: dict[str, Any] | None = None,
        late: dict[str, Any] | None = None,
        park_after: float = WITHIN,
        acks: bool = True,
        **start: Any,
    ) -> None:
        self.agent, self.mode, self.kept = agent, mode, kept
        self.answers, self.late = answers or {}, late or {}
        self.acks = acks
        self.config = HostConfig(socket="", project="", agents={}, park_after=park_after, threads=4)
        self.start = start
        self.rows: list[StepRow] = []
        self.heard: list[frames.Message] = []
        self.deltas: list[Any] = []
        self.asked: list[frames.AskReview] = []
        self.parks: list[frames.Parked] = []
        self.attempts = 0
        self.runtime: HostRuntime | None = None
        self.crash_at: int | None = None
        self.keeps = True
        self.ended_at_crash: set[str] = set()
        self._inbox: list[frames.Message] = []
        self._word: asyncio.Future[frames.Message | None] | None = None

    # --- the run ---

    async def run(self, input: Any = None, *, crash_at: int | None = None, keeps: bool = True) -> frames.Message:
        """Attempts until one of them has a last word that is the run's."""
        self.crash_at, self.keeps = crash_at, keeps
        for _ in range(ATTEMPTS_LIMIT):
            word = await self.attempt(input)
            if isinstance(word, frames.Parked):
                self.parks.append(word)
                await self._wake(word)
            elif word is not None:
                return word
        raise AssertionError("the run does not end")

    async def output(self, input: Any = None, **options: Any) -> Any:
        word = await self.run(input, **options)
        assert isinstance(word, frames.Finished), word
        return msgspec.json.decode(word.output)

    async def failure(self, input: Any = None) -> dict[str, str]:
        word = await self.run(input)
        assert isinstance(word, frames.Failed), word
        return msgspec.json.decode(word.error)

    async def attempt(self, input: Any = None) -> frames.Message | None:
        """One attempt; its last word, or None when its host was lost."""
        with self.begin(input):
            assert self._word is not None
            return await asyncio.wait_for(asyncio.shield(self._word), WITHIN)

    def begin(self, input: Any = None) -> "Attempting":
        self.attempts += 1
        loop = asyncio.get_running_loop()
        self._inbox, self._word = [], loop.create_future()
        runtime = self.runtime = HostRuntime(self._hear, self.config, loop)
        runtime.add("agent", self.agent)
        raw = input if isinstance(input, msgspec.Raw) else msgspec.json.encode(input)
        facts: dict[str, Any] = {
            "slot": SLOT,
            "tenant": "acme",
            "run": "run_1",
            "agent": "agent",
            "release": "r1",
            "mode": self.mode,
            "attempt": self.attempts,
            "input": bytes(raw),
            "kept": self.kept,
            "stream": True,
            "metadata": b"{}",
            "subject": None,
            "session": None,
            "state": b"{}",
            "history": frames.NO_HISTORY,
            "journal": list(self.rows),
            "now": now(),
            "strict": False,
        }
        runtime.receive([frames.Start(**{**facts, **self.start})])
        return Attempting(runtime)

    async def until(self, kind: type[frames.Message], count: int = 1) -> None:
        """Until so many messages of a kind were heard."""
        async with asyncio.timeout(WITHIN):
            while sum(isinstance(one, kind) for one in self.heard) < count:
                await asyncio.sleep(0.001)

    async def word(self) -> frames.Message | None:
        assert self._word is not None
        return await asyncio.wait_for(asyncio.shield(self._word), WITHIN)

    def send(self, *messages: frames.Message) -> None:
        assert self.runtime is not None
        self.runtime.receive(messages)

    # --- what the host says ---

    def _hear(self, message: frames.Message) -> None:
        if not self._inbox:
            asyncio.get_running_loop().call_soon(self._tick, self._word)
        self._inbox.append(message)

    def _tick(self, word: "asyncio.Future[frames.Message | None]") -> None:
        if word is not self._word or (word.done() and word.result() is None):
            return  # said by a host that is lost
        inbox, self._inbox = self._inbox, []
        refs: list[int] = []
        ends: list[StepRow] = []
        for message in inbox:
            self.heard.append(message)
            is_last = len(self.heard) == self.crash_at
            if not is_last or self.keeps:
                self._take(message, refs, ends)
            if is_last:
                self.ended_at_crash = {row.key for row in self.rows if row.phase == ENDED}
                if not word.done():
                    word.set_result(None)
                return
        if self.acks and refs:
            self.send(frames.Acks(SLOT, refs))
        for row in ends:
            self.send(frames.Resolved(SLOT, row))

    def _take(self, message: frames.Message, refs: list[int], ends: list[StepRow]) -> None:
        match message:
            case frames.StepStarted(durable=False):
                pass
            case frames.StepStarted() | frames.StepEnded() | frames.AskReview() | frames.CallAgent():
                assert self.kept, "a run that is not kept says nothing of its steps"
                self._keep(message.row)
                refs.append(message.ref)
                if isinstance(message, frames.AskReview):
                    self.asked.append(message)
                if message.row.phase == BEGUN and message.row.kind in WAITS:
                    self._answer(message, ends)
            case frames.Emit():
                self.deltas.append(msgspec.json.decode(message.delta))
            case _ if isinstance(message, LAST_WORDS) and self._word is not None and not self._word.done():
                self._word.set_result(message)

    def _keep(self, row: StepRow) -> None:
        place = (row.key, row.phase)
        assert place not in {(one.key, one.phase) for one in self.rows}, f"{place} is written twice"
        self.rows.append(row)

    def _answer(self, message: Any, ends: list[StepRow]) -> None:
        name = message.row.name
        if isinstance(message, frames.AskReview) and message.kind != "gate":
            name = message.kind
        if name in self.answers:
            answer = self.answers[name]
            row = end_of(message.row, answer(message) if callable(answer) else answer)
            self.rows.append(row)
            ends.append(row)

    async def _wake(self, parked: frames.Parked) -> None:
        ended = {row.key for row in self.rows if row.phase == ENDED}
        for row in [one for one in self.rows if one.kind in WAITS and one.key not in ended]:
            if row.name in self.late:
                self.rows.append(end_of(row, self.late[row.name]))
                return
        assert parked.due_at is not None, "nothing would ever wake this run"
        await asyncio.sleep(max(0.0, (parked.due_at - now()) / 1_000_000))

    def ended(self, kind: str = "step") -> list[StepRow]:
        return [row for row in self.rows if row.phase == ENDED and row.kind == kind]


class Attempting:
    """A runtime that is closed in the end."""

    def __init__(self, runtime: HostRuntime) -> None:
        self.runtime = runtime

    def __enter__(self) -> HostRuntime:
        return self.runtime

    def __exit__(self, *_: object) -> None:
        self.runtime.close()
