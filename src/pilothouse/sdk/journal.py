"""The attempt's side of the journal: reserves step keys, tells the node of rows, waits until they are durable.

Replay answers from what is recorded; everything new goes out as a frame and comes back as an ack, named by a `ref`
counted up here. Values (time, chance) are given out before they are durable, because no effect can come of them sooner:
every function that a step runs waits until the values before it are durable (`settled`). In a run that is not kept
nothing is sent and nothing is waited for.

`strict`: the journal was written by another release. A step that is new while recorded ones were not asked for is held
back for a moment, because tasks that run side by side may still ask for them; then it is a divergence, told loudly.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from pilothouse.domain.journal import ENDED, Replay, StepKind, StepRow, digest_arguments, step_key
from pilothouse.errors import JournalDiverged, PilothouseError
from pilothouse.sdk.schema import read_json, write_json
from pilothouse.sdk.scope import in_part
from pilothouse.sdk.usage import Usage, read_usage
from pilothouse.wire.frames import Message, StepEnded, StepStarted

DIVERGED_AFTER = 0.5
"""Seconds a new step is held back while recorded steps have not been asked for."""

KINDS: dict[str, bytes] = {
    kind: kind.encode() + b"\n"
    for kind in ("model", "tool", "value", "sleep", "review", "call", "publish", "checkpoint")
}
"""Goes before what is digested, so that a user's function called `now` or `sleep` has keys of its own."""

T = TypeVar("T")


class Gate:
    """Where tasks wait until it opens. Unlike an Event it can also be given up, which cancels them."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[asyncio.Future[None]] = []

    async def passed(self) -> None:
        future = self._loop.create_future()
        self._waiting.append(future)
        await future

    def open(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.cancel()


class Speaker(Protocol):
    """The attempt, as its journal sees it."""

    slot: int
    kept: bool
    loop: asyncio.AbstractEventLoop

    @property
    def is_ending(self) -> bool: ...

    def tell(self, message: Message) -> None: ...

    def take_back(self, message: Message) -> bool:
        """Whether the node will not hear what was told last."""
        ...

    def clock(self) -> int: ...

    def touch(self) -> None: ...

    def fail(self, error: PilothouseError) -> None:
        """Ends the attempt whatever the agent does with what is raised."""
        ...


class AttemptJournal:
    __slots__ = (
        "_acks",
        "_attempt",
        "_begun",
        "_checkpoints",
        "_drained",
        "_held",
        "_refs",
        "_settled",
        "_values",
        "replay",
        "strict",
        "usage",
    )

    def __init__(self, attempt: Speaker, rows: list[StepRow], strict: bool) -> None:
        self._attempt = attempt
        self.replay = Replay(rows)
        self.strict = strict
        self.usage = Usage()
        for row in rows:
            self._count(row)
        self._checkpoints = max((int(row.key.rpartition("-")[2]) for row in self.replay.checkpoints), default=0)
        self._refs = 0
        self._acks: dict[int, asyncio.Future[StepRow | None]] = {}
        self._values: set[int] = set()
        self._settled = Gate(attempt.loop)
        self._held: list[Message] = []
        self._drained: Gate | None = None
        self._begun: StepStarted | None = None
        """The last beginning that was told and that nobody waits for."""

    # --- what is recorded ---

    def reserve(self, kind: StepKind, name: str, encoded: bytes) -> str:
        """The key of the next step with this name and these arguments. Must be called in the order of the code."""
        mark = in_part(encoded)
        return self.replay.key_for(name, digest_arguments(KINDS[kind] + mark if kind in KINDS else mark))

    def recorded(self, key: str, kind: StepKind) -> StepRow | None:
        """The kept end of a step."""
        row = self.replay.ended(key)
        if row is not None:
            self._same_kind(row, kind)
            if self.strict and not self.replay.unused:
                self._relax()
        return row

    def begun(self, key: str, kind: StepKind) -> StepRow | None:
        row = self.replay.begun(key)
        if row is not None:
            self._same_kind(row, kind)
        return row

    def _same_kind(self, row: StepRow, kind: StepKind) -> None:
        if row.kind != kind:
            self._diverge(row.key, f"there it is a {row.kind}, here a {kind}")

    def _diverge(self, key: str, reason: str) -> None:
        self._attempt.fail(JournalDiverged(step=key, reason=reason))
        raise asyncio.CancelledError

    async def admit(self, key: str) -> None:
        """Lets a new step go on, unless it shows that the code is not the one that wrote the journal."""
        if not self.strict:
            return
        if not self.replay.unused:
            self._relax()
            return
        await self._judged(key).passed()

    def _judged(self, key: str) -> Gate:
        if self._drained is None:
            self._drained = Gate(self._attempt.loop)
            self._attempt.loop.call_later(DIVERGED_AFTER, self._judge, key)
        return self._drained

    def _judge(self, key: str) -> None:
        if self.strict and not self._attempt.is_ending:
            unused = sorted(self.replay.unused)
            reason = f"this step is new, and {len(unused)} recorded ones were not asked for, the first is {unused[0]!r}"
            self._attempt.fail(JournalDiverged(step=key, reason=reason))

    def _relax(self) -> None:
        """All recorded steps were asked for: what comes now is new in any case."""
        self.strict = False
        held, self._held = self._held, []
        for message in held:
            self._attempt.tell(message)
        if self._drained is not None:
            self._drained.open()

    # --- what is new ---

    @property
    def is_repeating(self) -> bool:
        """Whether the attempt only repeats what another has done: until the first step or wait that is not recorded."""
        return self._refs == 0 and self.replay.is_repeating

    def next_ref(self) -> int:
        self._refs += 1
        return self._refs

    def told(self, ref: int, row: StepRow) -> None:
        """A step began; nobody waits for that."""
        if self._attempt.kept:
            self._begun = StepStarted(self._attempt.slot, ref, False, row)
            self._attempt.tell(self._begun)

    async def begin(self, ref: int, row: StepRow) -> None:
        """A step began, and that is durable when this returns."""
        await self.ask(ref, StepStarted(self._attempt.slot, ref, True, row))

    async def ask(self, ref: int, message: Message) -> None:
        """Tells, and waits for the ack."""
        if self._attempt.kept:
            await self._sent(ref, message)

    async def propose(self, ref: int, message: Message) -> StepRow:
        """Tells, and gives the row that the node answers with; also in a run that is not kept."""
        row = await self._sent(ref, message)
        assert row is not None
        return row

    async def end(self, ref: int, row: StepRow, started: bool) -> StepRow:
        """A step ended, and that is durable when this returns. Gives the row that counts: the node may know another.
        A step that was over at once tells its beginning with its end, in one message."""
        if self._attempt.kept:
            other = await self.send_end(ref, row, started)
            if other is not None:
                return other
        self._count(row)
        return row

    def send_end(self, ref: int, row: StepRow, started: bool) -> "asyncio.Future[StepRow | None]":
        """The same for who waits for itself and then calls `note_usage`: done with the row that counts instead, or with
        None when it is this one."""
        begun = self._begun
        if begun is not None and begun.ref == ref and self._attempt.take_back(begun):
            started = False
        return self._sent(ref, StepEnded(self._attempt.slot, ref, started, row))

    def end_later(self, ref: int, row: StepRow) -> None:
        """As `end`, for code that blocks the loop and can wait for nothing: as with a value, the end is durable before
        the next step runs anything."""
        if self._attempt.kept:
            self._values.add(ref)
            self._attempt.tell(StepEnded(self._attempt.slot, ref, True, row))
        self._count(row)

    def _sent(self, ref: int, message: Message) -> "asyncio.Future[StepRow | None]":
        if self._attempt.is_ending:  # a function that swallowed its cancel would wait for an ack that never comes
            raise asyncio.CancelledError
        future: asyncio.Future[StepRow | None] = self._attempt.loop.create_future()
        self._acks[ref] = future
        self._attempt.tell(message)
        return future

    async def checkpoint(self, name: str, mark: str, content: bytes) -> None:
        """What a framework keeps of a run in progress; durable when this returns. `mark` tells it from the others of
        this name. It is never asked for by its key: see `checkpoints`."""
        if not self._attempt.kept:
            return
        self._checkpoints += 1
        key = step_key(name, digest_arguments(KINDS["checkpoint"] + mark.encode()), self._checkpoints)
        at = self._attempt.clock()
        row = StepRow(key, "checkpoint", name, ENDED, "succeeded", output=content, started_at=at, finished_at=at)
        await self.end(self.next_ref(), row, started=False)

    def checkpoints(self, name: str) -> list[bytes]:
        """What was kept under a name by the attempts before, in order."""
        return [row.output or b"null" for row in self.replay.checkpoints if row.name == name]

    def value(self, name: str, make: Callable[[], T], read: Callable[[Any], T]) -> T:
        """A recorded value. It is given out at once and durable before the next step runs anything."""
        if not self._attempt.kept:
            return make()
        key = self.reserve("value", name, b"")
        row = self.recorded(key, "value")
        if row is not None:
            return read(read_json(row.output or b"null"))
        value = make()
        at = self._attempt.clock()
        output = write_json(value)
        self.give_out(StepRow(key, "value", name, ENDED, "succeeded", output=output, started_at=at, finished_at=at))
        return value

    def give_out(self, row: StepRow) -> None:
        """Tells an end that is used before it is durable; no step runs a function until it is."""
        ref = self.next_ref()
        message = StepEnded(self._attempt.slot, ref, False, row)
        self._values.add(ref)
        if self.strict and self.replay.unused:
            self._held.append(message)
            self._judged(row.key)
        else:
            self._attempt.tell(message)

    @property
    def has_unsettled(self) -> bool:
        """Whether values were given out that are not durable yet."""
        return bool(self._values)

    async def settled(self) -> None:
        """Waits until every value that was given out is durable."""
        while self._values:
            await self._settled.passed()

    # --- what the node says ---

    def acked(self, refs: Iterable[int], row: StepRow | None = None) -> None:
        """These refs are durable. With `row`: another row has won their place."""
        self._attempt.touch()
        for ref in refs:
            future = self._acks.pop(ref, None)
            if future is None:
                self._values.discard(ref)
            elif not future.done():
                future.set_result(row)
        if not self._values:
            self._settled.open()

    def resolved(self, row: StepRow) -> None:
        """A wait ended outside. Asking for it at once keeps it from looking like a step of other code."""
        self._count(row)
        self.replay.learn(row)
        self.replay.ended(row.key)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits for an ack."""
        return not self._acks and not self._values

    def close(self) -> None:
        """The attempt ends: whoever waits for an ack is cancelled."""
        acks, self._acks = self._acks, {}
        for future in acks.values():
            future.cancel()
        self._settled.close()
        if self._drained is not None:
            self._drained.close()

    def note_usage(self, row: StepRow) -> None:
        """Counts what a row has used that was given out, or whose end was awaited elsewhere."""
        if row.usage is not None:
            self._count(row)

    def _count(self, row: StepRow) -> None:
        if row.usage is not None and row.phase == ENDED:
            self.count(row.usage)

    def count(self, usage: bytes) -> None:
        self.usage.add(read_usage(usage))
