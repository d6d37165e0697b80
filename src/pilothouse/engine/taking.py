"""Stateless runs that other nodes ask this one to do: see `direct` for how the two sides speak.

A request that comes twice begins one run: what was taken is remembered for longer than a request is good. An asker that
says nothing any more has gone, and its run is cancelled. What it has not confirmed is held, and sent again.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from pilothouse.domain.run import Run
from pilothouse.engine.direct import (
    GOOD_FOR,
    ROOM_FOR_NAMES,
    SILENT_FOR,
    Ask,
    More,
    Over,
    Part,
    Refused,
    Told,
    decode_request,
    encode,
    packed,
)
from pilothouse.engine.unkept import Unkept
from pilothouse.engine.world import World, spawn
from pilothouse.errors import Cancelled, Overloaded, PilothouseError

WINDOW = 64
"""Parts on their way at once."""
TAKEN_LIMIT = 20_000
LOOK_EVERY = 2.0

Place = Callable[[World, Ask], Awaitable[Unkept]]


class Takings:
    """`start` before this node is in the roster, `stop` in the end. `place` begins a run, or says why not."""

    def __init__(self, world: World, place: Place) -> None:
        self._world, self._place = world, place
        self._taken: dict[str, Taken] = {}
        self._cancelled: deque[tuple[float, str]] = deque(maxlen=TAKEN_LIMIT)
        """Replies of requests that were taken back before they came."""
        self._leave: Callable[[], None] = lambda: None
        self._look: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._leave = self._world.bus.receive(self._world.worker.owner, self._hear)

    def stop(self) -> None:
        """A second call does nothing."""
        self._leave()
        if self._look is not None:
            self._look.cancel()

    def _hear(self, message: bytes) -> None:
        try:
            request = decode_request(message)
        except msgspec.DecodeError:
            return
        taken = self._taken.get(request.reply)
        if isinstance(request, More):
            if taken is not None:
                taken.confirm(request)
            elif request.cancel is not None:
                self._take_back(request)
        elif taken is not None:
            taken.send_again()
        elif self._world.clock.now() <= request.until:
            self._begin(request)

    def _begin(self, ask: Ask) -> None:
        taken = self._taken[ask.reply] = Taken(self._world, ask)
        if any(reply == ask.reply for _, reply in self._cancelled):
            taken.refuse(Cancelled(reason="its caller has gone"))
        elif len(self._taken) > TAKEN_LIMIT:
            taken.refuse(Overloaded())
        else:
            spawn(self._world, taken.work(self._place))
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look_after)

    def _take_back(self, more: More) -> None:
        now = asyncio.get_running_loop().time()
        while self._cancelled and self._cancelled[0][0] < now - 4 * GOOD_FOR:
            self._cancelled.popleft()
        if all(reply != more.reply for _, reply in self._cancelled):
            self._cancelled.append((now, more.reply))
        refused = Refused(packed(Cancelled(reason=more.cancel or "")))
        self._world.bus.post(more.reply, encode(Part(1, True, encode(refused))))

    def _look_after(self) -> None:
        """Ends what nobody asks for any more, and forgets what is over and can not be asked for again."""
        self._look = None
        now, at = asyncio.get_running_loop().time(), self._world.clock.now()
        for reply, taken in list(self._taken.items()):
            is_silent = taken.word_at < now - SILENT_FOR
            if is_silent and not taken.is_over:
                taken.cancel("its caller has gone")
            if taken.is_over and at > taken.until and (is_silent or not taken.unconfirmed):
                del self._taken[reply]
        if self._taken:
            self._look = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look_after)


class Taken:
    """One run for another node, and what that has not confirmed of it."""

    def __init__(self, world: World, ask: Ask) -> None:
        self.is_over = False
        self.until = ask.until
        self.word_at = asyncio.get_running_loop().time()
        self.unconfirmed: deque[Part] = deque()
        self._world, self._ask = world, ask
        self._room = max(world.bus.post_limit - ROOM_FOR_NAMES, 1)
        self._number = self._sent = self._told = 0
        self._unkept: Unkept | None = None
        self._reason: str | None = None

    async def work(self, place: Place) -> None:
        try:
            unkept = self._unkept = await place(self._world, self._ask)
        except PilothouseError as error:
            self.refuse(error)
            return
        if self._ask.is_stream:
            self._post(Part(0, True, b""))
            unkept.on_told = self._tell
        if self._reason is not None:
            unkept.cancel(self._reason)
        with contextlib.suppress(asyncio.CancelledError):
            await unkept.ended
        self._end(unkept, unkept.run)

    def refuse(self, error: PilothouseError) -> None:
        self.is_over = True
        self._say(encode(Refused(packed(error))))

    def cancel(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            if self._unkept is not None:
                self._unkept.cancel(reason)

    def _tell(self) -> None:
        assert self._unkept is not None
        for segment in self._unkept.segments[self._told :]:
            self._told += 1
            self._say(encode(Told(segment.seq, segment.count, segment.at, segment.data)))

    def _end(self, unkept: Unkept, run: Run) -> None:
        if self._ask.is_stream:
            self._tell()
        self.is_over = True
        problem = None if unkept.problem is None else packed(unkept.problem)
        over = Over(
            run.release, run.status, run.output, run.error, run.usage, run.attempt, run.started_at, run.finished_at,
            problem,
        )  # fmt: skip
        self._say(encode(over))

    # --- the row of parts -------------------------------------------------------------------------------------------

    def _say(self, item: bytes) -> None:
        for start in range(0, len(item), self._room):
            self._number += 1
            is_last = start + self._room >= len(item)
            self.unconfirmed.append(Part(self._number, is_last, item[start : start + self._room]))
        self._send()

    def _send(self) -> None:
        """What is new and has room in the window."""
        first = self._number - len(self.unconfirmed) + 1
        for number in range(max(self._sent + 1, first), min(first + WINDOW, self._number + 1)):
            self._sent = number
            self._post(self.unconfirmed[number - first])

    def confirm(self, more: More) -> None:
        self.word_at = asyncio.get_running_loop().time()
        while self.unconfirmed and self.unconfirmed[0].number <= more.heard:
            self.unconfirmed.popleft()
        if more.cancel is not None:
            self.cancel(more.cancel)
        if more.is_again:
            self.send_again()
        else:
            self._send()

    def send_again(self) -> None:
        """All that was not confirmed, or else a sign of life."""
        self.word_at = asyncio.get_running_loop().time()
        self._sent = self._number - len(self.unconfirmed)
        if self.unconfirmed:
            self._send()
        else:
            self._post(Part(0, self._unkept is not None, b""))

    def _post(self, part: Part) -> None:
        self._world.bus.post(self._ask.reply, encode(part))
