"""More work, and slower readers, than a node can take: it refuses with the time to come again, and keeps what it took.

Excluded: sizes and forms of single requests (`tests/server`), a full disk (`tests/faults/test_disk_full`).
"""

import asyncio
import socket

import pytest

from tests.faults.checkers import check_bounded, check_gapless, check_one_end, check_resumed
from tests.faults.client import Answer, Caller, Event, wait_until

pytestmark = pytest.mark.slow

MIB = 1 << 20
MEMORY_LIMIT = 250 * MIB
REQUESTS, QUEUE, SLOTS = 32, 40, 8
READERS = 80
HELD_LIMIT = 112 * MIB
DELTAS, FILL = 1500, 2000
"""Three megabytes of events: far more than sockets and buffers hold."""


class Crowd:
    """Ten times as many callers as the node takes, each again and again; its memory is looked at meanwhile."""

    def __init__(self, node, size: int) -> None:
        self.node = node
        self.answers: list[Answer] = []
        self.memory: list[int] = []
        self._size = size
        self.callers = [Caller(lambda: node.url) for _ in range(4)]

    async def rush(self, agent: str, input: object, times: int, **headers: str) -> None:
        async def call(number: int) -> None:
            caller = self.callers[number % len(self.callers)]
            for _ in range(times):
                self.answers.append(await caller.start(agent, input, headers=headers))

        watch = asyncio.create_task(self._watch())
        await asyncio.gather(*(call(number) for number in range(self._size)))
        watch.cancel()

    async def _watch(self) -> None:
        while True:
            self.memory.append(self.node.memory)
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        for caller in self.callers:
            await caller.close()

    def count(self, status: int) -> int:
        return sum(answer.status == status for answer in self.answers)


async def test_ten_times_the_load_is_refused_in_good_order_and_what_was_taken_is_finished(serve, receiver):
    node = serve(f"[server]\nport = 0\nmax_requests = {REQUESTS}\n[limits]\nqueue = {QUEUE}\n[worker]\nslots = {SLOTS}")
    await node.start()
    waiting, background = Crowd(node, REQUESTS * 10), Crowd(node, REQUESTS * 10)
    try:
        await waiting.rush("echo", "hello", 2)
        assert waiting.count(200) >= REQUESTS
        assert waiting.count(503) > 0
        assert check_bounded(waiting.answers, waiting.memory, MEMORY_LIMIT) == []

        await background.rush("rest", 0.1, 1, prefer="respond-async")
        assert background.count(202) > 0
        assert background.count(429) + background.count(503) > 0
        assert check_bounded(background.answers, background.memory, MEMORY_LIMIT) == []
    finally:
        await waiting.close()
        await background.close()
    taken = [answer.body["id"] for answer in background.answers if answer.status == 202]
    for run in taken:
        await node.caller.wait_end(run, 60)
    assert {run["id"] for run in await node.caller.all_runs()} == set(taken)
    assert [len(receiver.of(run)) for run in taken] == [1] * len(taken)
    for run in taken[:: max(1, len(taken) // 20)]:
        assert check_one_end([run], {run: await node.caller.read(run)}) == []


def open_slowly(url: str, run: str) -> socket.socket:
    """A reader that asks for all events of a run and takes none of them."""
    address = url.removeprefix("http://").split(":")
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect((address[0], int(address[1])))
    head = f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
    reader.sendall(head.encode())
    reader.setblocking(False)
    return reader


async def test_slow_readers_cost_a_bounded_memory_and_neither_the_run_nor_a_fast_reader_waits_for_them(serve):
    node = serve()
    caller = node.caller
    await node.start()
    await caller.start_known("wait", "run_before", "go")
    before, files = node.memory, node.process.num_fds()
    run = await caller.start_known("talk", "run_talk", {"deltas": DELTAS, "every": 0.001, "fill": FILL})
    slow = [open_slowly(node.url, run) for _ in range(READERS)]
    try:
        fast: list[Event] = []
        await asyncio.wait_for(caller.gather(run, fast), 60)
        assert (await caller.run(run))["status"] == "succeeded"
        reading = await caller.read(run)
        assert check_gapless(reading) == []
        assert check_resumed([fast], reading.events) == []
        assert check_bounded([], [node.memory - before], HELD_LIMIT) == []
        assert sum(len(event.data) for event in fast) * READERS > 2 * HELD_LIMIT  # the cost of holding all for each

        late = await asyncio.to_thread(drain, slow[0])
        assert late.count(b"\nevent: ") == len(fast)
        assert b"event: run.succeeded\n" in late
    finally:
        for reader in slow:
            reader.close()
    open_slowly(node.url, run).close()  # and one that only looks in

    async def are_closed() -> bool:
        return await has_no_streams(caller) and node.process.num_fds() <= files + 8

    await wait_until(are_closed, tell=lambda: f"{node.process.num_fds()} files are open, {files} were")


def drain(reader: socket.socket) -> bytes:
    """Everything that a slow reader gets when it begins to read."""
    reader.settimeout(30)
    found = b""
    while not found.endswith(b"0\r\n\r\n"):
        chunk = reader.recv(1 << 20)
        if not chunk:
            break
        found += chunk
    return found


async def has_no_streams(caller: Caller) -> bool:
    metrics = await caller.text("/metrics")
    return "pilothouse_http_streams 0" in metrics
