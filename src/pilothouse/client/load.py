"""Load on a deployment that runs: many callers at once, and how long each had to wait.

Closed: every caller asks again as soon as it is answered, which finds the most a node can do. Open: requests are due at
instants that were drawn before (a Poisson process of the given rate), whether the node keeps up or not, and each is
measured from the instant at which it was due. So a node that stalls is charged for everybody who would have come
meanwhile: no coordinated omission. Latencies of a closed load hide exactly that, and say nothing about users.

Plain HTTP/1.1 on asyncio, since a client library would cost more than the node that is measured.
"""

import asyncio
import json
import random
import ssl
from collections import deque
from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote, urlsplit

from msgspec import Struct, field

from pilothouse.client.refusal import Unreachable
from pilothouse.client.spread import TimeSpread

Work = Literal["run", "session", "stream", "background"]

CONNECT_WITHIN = 5.0
END_WITHIN = 30.0
"""Seconds that requests which were sent may take after the end."""
PAUSE = 0.1
"""Seconds until a connection that was lost is made anew."""
WAIT = 60
HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
EVENT = b"\nevent: "
CALLERS_LIMIT = 10_000


class LoadPlan(Struct, kw_only=True):
    """`rate`: requests a second of an open load; None: a closed one. What happens in the first `warm` seconds is not
    counted. `input` is JSON. `seed`: the same arrivals again."""

    url: str
    agent: str
    work: Work = "run"
    input: bytes = b"null"
    callers: int = 32
    rate: float | None = None
    seconds: float = 10.0
    warm: float = 1.0
    key: str | None = None
    seed: int = 0


class LoadReport(Struct, kw_only=True):
    """`done` in `span` seconds. `latency`: of whole units; `first`: to the first event of a stream, or to the 202 of
    background work. `failures` by what was answered. `late`: due and not even sent at the end of an open load."""

    done: int = 0
    events: int = 0
    span: float = 0.0
    late: int = 0
    latency: TimeSpread = field(default_factory=TimeSpread)
    first: TimeSpread = field(default_factory=TimeSpread)
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return self.done / self.span if self.span else 0.0


class Answer(Struct):
    status: int
    body: bytes


class Line(asyncio.Protocol):
    """A connection for one request at a time. `first_at`: when the body of the answer began to say something."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buffer = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._body_at = -1
        self._length = -1
        self._status = 0
        self._is_head = False
        self._transport: asyncio.Transport | None = None
        self.is_lost = False
        self.first_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the node closed the connection"))

    def ask(self, request: bytes) -> "asyncio.Future[Answer]":
        assert self._transport is not None
        self._buffer.clear()
        self._body_at, self._length, self.first_at = -1, -1, 0.0
        self._answer = self._loop.create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if self._answer is None or self._answer.done() or (self._body_at < 0 and not self._read_head()):
            return
        if not self.first_at and len(buffer) > self._body_at:
            self.first_at = self._loop.time()
        is_whole = len(buffer) - self._body_at >= self._length if self._length >= 0 else buffer.endswith(LAST_CHUNK)
        if is_whole:
            self._answer.set_result(Answer(self._status, bytes(buffer[self._body_at :])))

    def _read_head(self) -> bool:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return False
        head = bytes(self._buffer[:end]).lower()
        try:
            self._status = int(head[9:12])
            _, found, rest = head.partition(b"\r\ncontent-length: ")
            self._length = int(rest.split(b"\r\n", 1)[0]) if found else -1
        except ValueError:
            self.close()
            return False
        if self._status == 204:
            self._length = 0
        self._body_at = end + len(HEAD_END)
        return True


class Load:
    """One load, from its first connection to its report."""

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.report = LoadReport()
        self._loop = asyncio.get_running_loop()
        place = urlsplit(plan.url)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise _unreachable(plan.url, "it is no address of a node")
        self._is_tls = place.scheme == "https"
        self._host, self._port = place.hostname, place.port or (443 if self._is_tls else 80)
        self._name = place.netloc.rpartition("@")[2]
        self._opens_at = self._ends_at = 0.0
        self._due: deque[float] = deque()
        self._nonce = f"{random.getrandbits(40):010x}"

    async def apply(self) -> LoadReport:
        """Raises `Unreachable` when nobody is there at the start."""
        plan, loop = self.plan, self._loop
        lines = await asyncio.gather(*(self._connect() for _ in range(plan.callers)), return_exceptions=True)
        for found in lines:
            if isinstance(found, BaseException):
                for line in lines:
                    if isinstance(line, Line):
                        line.close()
                raise _unreachable(plan.url, str(found) or type(found).__name__) from found
        began_at = loop.time()
        self._opens_at, self._ends_at = began_at + plan.warm, began_at + plan.warm + plan.seconds
        if plan.rate is not None:
            self._due.extend(arrivals(plan.rate, plan.warm + plan.seconds, began_at, plan.seed))
        callers = [loop.create_task(self._call(number, line)) for number, line in enumerate(lines)]  # type: ignore[arg-type]
        _, pending = await asyncio.wait(callers, timeout=plan.warm + plan.seconds + END_WITHIN)
        for one in pending:
            one.cancel()
            self._fail("no answer")
        await asyncio.gather(*callers, return_exceptions=True)
        self.report.span = plan.seconds
        return self.report

    async def _connect(self) -> Line:
        async with asyncio.timeout(CONNECT_WITHIN):
            made = await self._loop.create_connection(
                lambda: Line(self._loop), self._host, self._port,
                ssl=ssl.create_default_context() if self._is_tls else None,
            )  # fmt: skip
        return made[1]

    async def _call(self, number: int, line: Line) -> None:
        """What one caller does until the end."""
        try:
            while (due_at := await self._next_due()) is not None:
                try:
                    if line.is_lost:
                        line = await self._connect()
                    await self._perform(number, line, due_at)
                except (OSError, TimeoutError) as error:
                    if self._counts(due_at):
                        self._fail(type(error).__name__)
                    line.close()
                    await asyncio.sleep(PAUSE)
        finally:
            line.close()

    async def _next_due(self) -> float | None:
        now = self._loop.time()
        if self.plan.rate is None:
            return now if now < self._ends_at else None
        if now >= self._ends_at + END_WITHIN / 2:
            self.report.late += len(self._due)
            self._due.clear()
        if not self._due:
            return None
        due_at = self._due.popleft()
        if due_at > now:
            await asyncio.sleep(due_at - now)
        return due_at

    def _counts(self, due_at: float) -> bool:
        """Closed: what ended in the window. Open: what was due in it, however late it came."""
        at = self._loop.time() if self.plan.rate is None else due_at
        return self._opens_at <= at < self._ends_at

    async def _perform(self, number: int, line: Line, due_at: float) -> None:
        plan, report = self.plan, self.report
        answer = await line.ask(self._start(number))
        first_at = line.first_at
        if plan.work == "background" and answer.status == 202:
            run = json.loads(answer.body)["id"]
            while answer.status in (200, 202) and json.loads(answer.body)["finished_at"] is None:
                answer = await line.ask(self._request("GET", f"/v1/runs/{run}?wait={WAIT}"))
        if not self._counts(due_at):
            return
        if answer.status != 200 or has_failed(answer.body, plan.work):
            self._fail(f"HTTP {answer.status}" if answer.status != 200 else "failed run")
            return
        report.done += 1
        report.latency.add(self._loop.time() - due_at)
        if plan.work in ("stream", "background"):
            report.first.add(first_at - due_at)
            report.events += answer.body.count(EVENT) if plan.work == "stream" else 0

    def _fail(self, what: str) -> None:
        self.report.failures[what] = self.report.failures.get(what, 0) + 1

    def _start(self, number: int) -> bytes:
        plan = self.plan
        body = b'{"input":%b}' % plan.input
        headers: list[str] = []
        if plan.work == "session":
            body = b'{"input":%b,"session":"bench-%b-%d"}' % (plan.input, self._nonce.encode(), number)
        elif plan.work == "stream":
            headers = ["Accept: text/event-stream"]
        elif plan.work == "background":
            headers = ["Prefer: respond-async"]
        return self._request("POST", f"/v1/agents/{quote(plan.agent, safe='')}/runs", body, *headers)

    def _request(self, method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._name}", *headers]
        if self.plan.key is not None:
            lines.append(f"Authorization: Bearer {self.plan.key}")
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


def has_failed(body: bytes, work: Work) -> bool:
    """Whether the run of an answer did not succeed."""
    if work == "stream":
        return b"\nevent: run.succeeded\n" not in body
    return bool(json.loads(body)["status"] != "succeeded")


def arrivals(rate: float, seconds: float, start: float, seed: int) -> Iterator[float]:
    """The instants at which requests of an open load are due."""
    draw, at = random.Random(seed), start
    while (at := at + draw.expovariate(rate)) < start + seconds:
        yield at


def _unreachable(url: str, reason: str) -> Unreachable:
    hint = "Start a node with `pilothouse serve`, or say where it is with --url."
    return Unreachable(f"{url} cannot be loaded: {reason}.", hint)


async def apply_load(plan: LoadPlan) -> LoadReport:
    """Loads a deployment as the plan says. Raises `Unreachable`."""
    return await Load(plan).apply()
