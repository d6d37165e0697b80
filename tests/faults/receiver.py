"""The external counter: a real HTTP server that agents call from inside their steps.

It is the outside world of these tests, and the only one that knows how often something really happened: each request
that got through is an `Effect`, counted as naively as any foreign system would, with the idempotency key it came with.
A `Gate` stops one request at a chosen moment, before or after its effect, so that a kill strikes exactly there and no
test sleeps for luck. A gate that nobody opens gives way after a limit.
"""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, NamedTuple, Self

GATE_LIMIT = 300.0

Moment = Literal["before", "after"]


class Effect(NamedTuple):
    """Something that happened in the outside world because a step asked for it."""

    run: str
    step: str
    attempt: int
    host: int
    """The process that asked."""
    key: str


class Gate:
    """Stops the next request of a step. `open` lets it go on; `drop` cuts its connection, as when it never came."""

    def __init__(self, run: str, step: str | None, moment: Moment) -> None:
        self.run, self.step, self.moment = run, step, moment
        self.is_dropped = False
        self.host = 0
        self._reached = threading.Event()
        self._opened = threading.Event()

    def take(self, effect: Effect, moment: Moment) -> bool:
        """Whether the request of this effect is the one that stops here. A gate stops one."""
        if (effect.run, moment) != (self.run, self.moment) or self.step not in (None, effect.step) or self.is_reached:
            return False
        self.host = effect.host
        self._reached.set()
        return True

    def hold(self) -> None:
        """Blocks the request until the gate is opened or dropped."""
        if not self._opened.wait(GATE_LIMIT):
            self.is_dropped = True

    @property
    def is_reached(self) -> bool:
        return self._reached.is_set()

    async def wait_reached(self, within: float = 90.0) -> None:
        if not await asyncio.to_thread(self._reached.wait, within):
            raise TimeoutError(f"no request of step {self.step!r} of {self.run} came within {within:g} s")

    def open(self) -> None:
        self._opened.set()

    def drop(self) -> None:
        self.is_dropped = True
        self._opened.set()


class Receiver:
    """Used in a `with` block: it serves on a free port of 127.0.0.1 until the block ends."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self._lock = threading.Lock()
        self._gates: list[Gate] = []
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.receiver = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.open_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/effect"

    def hold(self, run: str, step: str | None = None, moment: Moment = "before") -> Gate:
        """The next request of this step (None: of any step) of the run stops at the moment."""
        gate = Gate(run, step, moment)
        with self._lock:
            self._gates.append(gate)
        return gate

    def open_all(self) -> None:
        with self._lock:
            gates, self._gates = self._gates, []
        for gate in gates:
            gate.open()

    def of(self, run: str, step: str | None = None) -> list[Effect]:
        """The effects of a run, in the order in which they happened."""
        with self._lock:
            return [one for one in self.effects if one.run == run and step in (None, one.step)]

    def take(self, effect: Effect) -> int | None:
        """One request: how often its key has been seen, itself included. None: it was dropped before its effect."""
        if not self._pass(effect, "before"):
            return None
        with self._lock:
            self.effects.append(effect)
            times = sum(one.key == effect.key for one in self.effects)
        return times if self._pass(effect, "after") else None

    def _pass(self, effect: Effect, moment: Moment) -> bool:
        with self._lock:
            gate = next((one for one in self._gates if one.take(effect, moment)), None)
        if gate is None:
            return True
        gate.hold()
        with self._lock:
            if gate in self._gates:
                self._gates.remove(gate)
        return not gate.is_dropped


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    receiver: Receiver

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that was killed leaves a broken connection: that is what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        times = self.server.receiver.take(Effect(**asked, key=key))
        if times is None:
            self.close_connection = True
            return
        body = json.dumps({"times": times}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
