"""A stateless run that is not kept, of an agent that others host: one of them does it, and tells of it over the bus.

The bus may lose, repeat, delay and reorder. So the asker names a worker and says the same again until it hears of it;
what the worker tells is a numbered row of parts, of which it sends again what was not confirmed. A run is handed to
one worker: to another only after the first has said that it will not, and never because it is silent. The request
is good for a few seconds by the clock that all nodes share: what arrives later begins nothing. Whoever asked is
answered once: with the end, or with an error that says what is known.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from pilothouse import errors
from pilothouse.domain.agent import Agent
from pilothouse.domain.event import Segment
from pilothouse.domain.journal import StepRow
from pilothouse.domain.run import Run, Status
from pilothouse.engine.encoding import error_json
from pilothouse.engine.ending import Ending, terminal_line
from pilothouse.engine.world import World
from pilothouse.errors import Cancelled, Draining, HostUnavailable, InvalidInput, PilothouseError, WorkerLost

GOOD_FOR = 5.0
"""Seconds in which a request begins a run; and how long one waits for the first word of a worker."""
SUSPECT_AFTER = 1.0
"""Seconds without a first word after which other runs are not given to that worker until its next heartbeat."""
SILENT_FOR = 10.0
"""Seconds without a word after which the other side is taken for lost."""
AGAIN_FIRST, AGAIN_AT_MOST = 0.25, 3.0
CONFIRM_EVERY = 16
"""Parts."""
AHEAD = 256
"""Parts that are held while one before them is missing."""
ITEM_LIMIT = 64 * 1024 * 1024
"""Bytes of one item, however many parts it takes."""
ROOM_FOR_NAMES = 300
"""Bytes of a message beside what it carries."""
TRIES_ELSEWHERE = frozenset({"overloaded", "draining", "host_unavailable", "agent_not_found"})
"""A worker that says one of these has begun nothing."""


class Ask(Struct, tag="ask", array_like=True):
    """Do this run. `reply`: where the parts go; a name that no other request has. `until`: microseconds, see above.
    `waits`: in line for a place, when there is none."""

    reply: str
    run: str
    tenant: str
    agent: str
    input: bytes
    metadata: bytes
    subject: str | None
    deadline_at: int | None
    traceparent: str | None
    started_by: str | None
    is_stream: bool
    waits: bool
    until: int


class More(Struct, tag="more", array_like=True):
    """All parts up to `heard` have come. `is_again`: send the next ones again. `cancel`: why the run is to end."""

    reply: str
    heard: int
    is_again: bool
    cancel: str | None


class Part(Struct, tag="part", array_like=True):
    """A piece of an item; `is_last`: the item is whole with it. With number 0 a sign of life; then `is_last` tells that
    the run has its place."""

    number: int
    is_last: bool
    body: bytes


class Problem(Struct, array_like=True):
    """An error of the house on its way."""

    code: str
    message: str
    hint: str
    faults: list[dict[str, str]] | None = None


class Told(Struct, tag="told", array_like=True):
    """Events."""

    seq: int
    count: int
    at: int
    lines: bytes


class Refused(Struct, tag="refused", array_like=True):
    """Nothing has begun."""

    problem: Problem


class Over(Struct, tag="over", array_like=True):
    """The end of the run."""

    release: str
    status: str
    output: bytes | None
    error: bytes | None
    usage: bytes | None
    attempt: int
    started_at: int | None
    finished_at: int | None
    problem: Problem | None


Item = Told | Refused | Over
encode = msgspec.msgpack.Encoder().encode
decode_part = msgspec.msgpack.Decoder(Part).decode
decode_request = msgspec.msgpack.Decoder(Ask | More).decode
_decode_item = msgspec.msgpack.Decoder(Item).decode


def packed(error: PilothouseError) -> Problem:
    return Problem(error.code, error.message, error.hint, error.faults if isinstance(error, InvalidInput) else None)


def unpacked(problem: Problem) -> PilothouseError:
    """The same error; one that this release does not know keeps its words."""
    if problem.faults is not None:
        return InvalidInput(problem.message, faults=problem.faults, hint=problem.hint)
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, PilothouseError) and kind.code == problem.code:
            return kind(problem.message, hint=problem.hint)
    return PilothouseError(problem.message, hint=problem.hint)


class Distant:
    """The run as the node of its caller has it. `ended` gets the run; `problem` is set when there is none to show."""

    kept = False

    def __init__(self, world: World, run: Run, agent: Agent, traceparent: str | None, *, is_stream: bool) -> None:
        self.world, self.run, self.agent, self.is_stream = world, run, agent, is_stream
        self.open_waits: set[str] = set()
        self.began_at = run.created_at
        self.segments: list[Segment] = []
        self.problem: PilothouseError | None = None
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Run | None] = loop.create_future()
        self.taken: asyncio.Future[None] = loop.create_future()
        """Done when the run has a place somewhere, or is over."""
        self.is_placed = False
        self._traceparent = traceparent
        self._reason: str | None = None
        self._bell = asyncio.Event()
        self._row: _Row | None = None
        self.ended.add_done_callback(lambda ended: self._bell.set())
        world.attempts[(run.tenant, run.id)] = self

    @property
    def tools_at_work(self) -> set[str]:
        return set()

    # --- what the node wants ----------------------------------------------------------------------------------------

    def cancel(self, reason: str, *, rollback: bool = False) -> None:
        if self._reason is None:
            self._reason = reason
            self._bell.set()

    def expire(self) -> None:
        """The worker goes by the same clock, and says so itself."""

    def let_go(self) -> None:
        self.cancel("the node of its caller is shutting down")
        self._fail(Draining())

    def learn(self, rows: Sequence[StepRow]) -> None:
        """It has no waits that others end."""

    def wake(self) -> None:
        """Its tries are the worker's."""

    # --- asking -----------------------------------------------------------------------------------------------------

    async def ask(self, takers: Sequence[str]) -> None:
        """One after the other; when all are full, the first of them is asked to let the run wait in line."""
        problem: PilothouseError = HostUnavailable(agent=self.agent.name)
        full: list[str] = []
        try:
            for taker in takers:
                found = await self._ask_one(taker, waits=False)
                if found is None:
                    return
                problem = found
                if found.code not in TRIES_ELSEWHERE or self._reason is not None:
                    return
                if found.code == "overloaded":
                    full.append(taker)
            if full:
                problem = await self._ask_one(full[0], waits=True) or problem
        finally:
            self._fail(problem)  # nothing, when the run is over
            self.world.attempts.pop((self.run.tenant, self.run.id), None)

    async def _ask_one(self, taker: str, *, waits: bool) -> PilothouseError | None:
        """Why the worker does not do it; None: the run is over, one way or another."""
        world, run = self.world, self.run
        reply = f"{world.worker.owner}/{world.entropy.bits():x}"
        row = self._row = _Row(self._take, self._bell)
        leave = world.bus.receive(reply, row.hear)
        request = encode(
            Ask(
                reply, run.id, run.tenant, run.agent, run.input, run.metadata, run.subject, run.deadline_at,
                self._traceparent, run.started_by, self.is_stream, waits, world.clock.now() + round(GOOD_FOR * 1e6),
            )
        )  # fmt: skip
        world.bus.post(taker, request)
        row.confirm = lambda is_again: world.bus.post(taker, encode(More(reply, row.heard, is_again, self._reason)))
        try:
            await self._follow(row, taker, lambda: world.bus.post(taker, request))
            return row.refused
        finally:
            if self.ended.cancelled() and self._reason is None:
                self._reason = "its caller has gone"
            row.confirm(False)
            leave()

    async def _follow(self, row: "_Row", taker: str, ask_again: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        pause, told = AGAIN_FIRST, None
        heard, again_at = row.heard, loop.time() + pause
        while not self.ended.done() and row.refused is None:
            self._bell.clear()
            timer = loop.call_at(again_at, self._bell.set)
            await self._bell.wait()
            timer.cancel()
            if row.is_placed and not self.is_placed:
                self.is_placed = True
                if not self.taken.done():
                    self.taken.set_result(None)
            now = loop.time()
            if row.heard != heard:
                heard, pause = row.heard, AGAIN_FIRST
                again_at = now + pause
            if self._reason is not None and told is None:
                told, pause, again_at = self._reason, AGAIN_FIRST, now  # said at once
            if now < again_at or self.ended.done():
                continue
            if now - row.word_at > (SILENT_FOR if row.has_word else GOOD_FOR + 1.0):
                self._fail(WorkerLost(run=self.run.id))
                return
            if not row.has_word and now - row.word_at > SUSPECT_AFTER:
                self.world.worker.suspect(taker)
            if row.has_word or told is not None:
                row.confirm(True)
            else:
                ask_again()
            again_at, pause = now + pause, min(pause * 2, AGAIN_AT_MOST)

    # --- what is heard ----------------------------------------------------------------------------------------------

    def _take(self, item: Told | Over) -> None:
        if self.ended.done():
            return
        if isinstance(item, Told):
            self._show(Segment(self.run.id, item.seq, item.count, item.at, item.lines))
            return
        run = self.run
        run.release, run.status, run.output, run.error = item.release, _status(item.status), item.output, item.error
        run.usage, run.attempt = item.usage, item.attempt
        run.started_at, run.finished_at = item.started_at, item.finished_at
        self.problem = None if item.problem is None else unpacked(item.problem)
        self._leave()

    def _show(self, segment: Segment) -> None:
        self.segments.append(segment)
        self.world.bus.publish(self.run.tenant, segment)

    def _fail(self, problem: PilothouseError) -> None:
        """The run is over for its caller, who is told why. A second call does nothing."""
        if self.ended.done():
            return
        run, at = self.run, self.world.clock.now()
        if self._reason is not None and not isinstance(problem, Draining | WorkerLost):
            run.status, run.error = "cancelled", error_json(Cancelled(reason=self._reason))
        else:
            run.status, run.error, self.problem = "failed", error_json(problem), problem
        run.finished_at = at
        if self.is_stream:
            seq = self.segments[-1].last + 1 if self.segments else 1
            end = Ending(run.status, at, error=run.error)
            self._show(Segment(run.id, seq, 1, at, terminal_line(end)))
        self._leave()

    def _leave(self) -> None:
        self.world.attempts.pop((self.run.tenant, self.run.id), None)
        self.ended.set_result(self.run)
        if not self.taken.done():
            self.taken.set_result(None)
        self._bell.set()


class _Row:
    """The parts of one worker, put in order and together again."""

    def __init__(self, take: Callable[[Told | Over], None], bell: asyncio.Event) -> None:
        self.heard = 0
        self.has_word = self.is_placed = False
        self.word_at = asyncio.get_running_loop().time()
        self.refused: PilothouseError | None = None
        self.confirm: Callable[[bool], None] = lambda is_again: None
        self._take, self._bell = take, bell
        self._ahead: dict[int, Part] = {}
        self._pieces: list[bytes] = []
        self._size = 0

    def hear(self, message: bytes) -> None:
        try:
            part = decode_part(message)
        except msgspec.DecodeError:
            return  # of a release that says it otherwise: its silence is told
        self.has_word, self.word_at = True, asyncio.get_running_loop().time()
        if part.number == 0:
            self.is_placed = self.is_placed or part.is_last
        if self.heard < part.number <= self.heard + AHEAD:
            self._ahead[part.number] = part
        while self.heard + 1 in self._ahead:
            self.heard += 1
            self._add(self._ahead.pop(self.heard))
            if self.heard % CONFIRM_EVERY == 0:
                self.confirm(False)
        self._bell.set()

    def _add(self, part: Part) -> None:
        self._size += len(part.body)
        if self._size <= ITEM_LIMIT:
            self._pieces.append(part.body)
        if not part.is_last:
            return
        raw, self._pieces, self._size = b"".join(self._pieces), [], 0
        try:
            item = _decode_item(raw)
        except msgspec.DecodeError:
            self.refused = WorkerLost("The worker sent what this node cannot read, or more than it takes.")
            return
        if isinstance(item, Refused):
            self.refused = unpacked(item.problem)
        else:
            self.is_placed = True
            self._take(item)


def _status(text: str) -> Status:
    return text  # type: ignore[return-value]


def has_room(world: World, *said: str | bytes | None) -> bool:
    """Whether a request with all that its caller said fits into one message."""
    size = sum(len(one) if isinstance(one, bytes) else 4 * len(one) for one in said if one is not None)
    return size + 2 * ROOM_FOR_NAMES <= world.bus.post_limit


async def begin_distant(
    world: World, run: Run, agent: Agent, traceparent: str | None, takers: Sequence[str], *, is_stream: bool
) -> Distant:
    """Hands the run to one of the workers. A stream is begun when one has it: raises what all refused it for."""
    distant = Distant(world, run, agent, traceparent, is_stream=is_stream)
    work = asyncio.get_running_loop().create_task(distant.ask(takers))
    world.chores.add(work)
    work.add_done_callback(world.chores.discard)
    if is_stream:
        try:
            await asyncio.shield(distant.taken)
        except asyncio.CancelledError:
            distant.cancel("its caller has gone")
            raise
        if distant.problem is not None and not distant.is_placed:
            raise distant.problem
    return distant
