"""kill -9 of the node while sessions, background runs and streams are all under way, several times.

Clients do what a careful client does: they send a request again, with the same Idempotency-Key, until it is answered,
and resume a stream after the last event they have. What they were told must then be there.
"""

import asyncio
import json
from functools import partial

import httpx2
import pytest

from tests.faults.checkers import (
    check_answers_kept,
    check_intake,
    check_one_end,
    check_order,
    check_resumed,
    check_run,
)
from tests.faults.client import Answer, Caller, Event, take_all, wait_until

pytestmark = pytest.mark.slow

KILLS = 3
SESSIONS, BACKGROUND, STREAMS = 6, 6, 4
ACKNOWLEDGED_BETWEEN_KILLS = 25
REFUSED = {429, 503}


class Clients:
    """Everybody who uses the node, until `leave`. Everything that was said is kept."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.said: list[tuple[str, bytes, Answer]] = []
        self.turns: dict[str, list[str]] = {}
        self.streams: dict[str, list[list[Event]]] = {}
        self._is_leaving = False
        self._tasks = [
            *(asyncio.create_task(self._talk(f"session-{number}")) for number in range(SESSIONS)),
            *(asyncio.create_task(self._submit(number)) for number in range(BACKGROUND)),
            *(asyncio.create_task(self._listen(number)) for number in range(STREAMS)),
        ]

    @property
    def acknowledged(self) -> list[str]:
        return [answer.body["id"] for _, _, answer in self.said if answer.status in (200, 202)]

    async def leave(self) -> None:
        """They finish what they have begun."""
        self._is_leaving = True
        await asyncio.gather(*self._tasks)

    async def insist(self, agent: str, key: str, body: bytes, **headers: str) -> Answer:
        """Sends a request until it is answered; a connection that breaks or a refusal is no answer."""
        while True:
            try:
                answer = await self.caller.ask("POST", f"/v1/agents/{agent}/runs", body, idempotency_key=key, **headers)
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
                continue
            self.said.append((key, body, answer))
            if answer.status not in REFUSED:
                assert answer.status in (200, 202), answer
                return answer
            await asyncio.sleep(0.05)

    async def _talk(self, session: str) -> None:
        """One turn after the other; each caller waits for the end of its turn."""
        turns = self.turns.setdefault(session, [])
        while not self._is_leaving:
            text = f"{session}-{len(turns)}"
            answer = await self.insist("chat", text, json.dumps({"input": text, "session": session}).encode())
            turns.append(answer.body["id"])

    async def _submit(self, number: int) -> None:
        count = 0
        while not self._is_leaving:
            body = json.dumps({"input": {"steps": 3}}).encode()
            answer = await self.insist("chain", f"background-{number}-{count}", body, prefer="respond-async")
            await self.follow(answer.body["id"], [])
            count += 1

    async def _listen(self, number: int) -> None:
        count = 0
        while not self._is_leaving:
            body = json.dumps({"input": {"deltas": 20, "every": 0.02, "fill": 100}}).encode()
            answer = await self.insist("talk", f"stream-{number}-{count}", body, prefer="respond-async")
            parts = self.streams.setdefault(answer.body["id"], [])
            await self.follow(answer.body["id"], parts)
            count += 1

    async def follow(self, run: str, parts: list[list[Event]]) -> None:
        """The stream of a run, resumed until its end."""
        last = 0
        while True:
            part: list[Event] = []
            parts.append(part)
            try:
                async with self.caller.stream(run, last) as frames:
                    await take_all(frames, part)
            except (httpx2.TransportError, AssertionError):
                await asyncio.sleep(0.05)
            if part:
                last = part[-1].seq
                if part[-1].kind in ("run.succeeded", "run.failed", "run.cancelled"):
                    return


@pytest.mark.timeout(300)
async def test_everything_acknowledged_is_there_after_several_kills_under_mixed_load(serve, receiver):
    node = serve()
    await node.start()
    clients = Clients(node.caller)
    following: list[asyncio.Task[None]] = []
    for kill in range(1, KILLS + 1):

        async def has_enough(wanted: int = kill * ACKNOWLEDGED_BETWEEN_KILLS) -> bool:
            return len(clients.acknowledged) >= wanted

        await wait_until(has_enough, 60, lambda: f"{len(clients.acknowledged)} runs were acknowledged")
        held = f"run_held_{kill}"  # stands in a step when the node is killed, and somebody reads its events
        gate = receiver.hold(held, "2", "before")
        body = json.dumps({"input": {"steps": 4}, "run_id": held}).encode()
        await clients.insist("chain", held, body, prefer="respond-async")
        parts: list[list[Event]] = clients.streams.setdefault(held, [])
        following.append(asyncio.create_task(clients.follow(held, parts)))
        await gate.wait_reached()
        await wait_until(partial(has_some, parts))
        await node.restart()
        gate.drop()
    await clients.leave()
    await asyncio.gather(*following)
    acknowledged = set(clients.acknowledged)
    for run in acknowledged:
        await node.caller.wait_end(run)
    readings = {run: await node.caller.read(run) for run in acknowledged}

    assert check_one_end(acknowledged, readings) == []
    assert check_answers_kept((answer for _, _, answer in clients.said), readings) == []
    for run, reading in readings.items():
        assert check_run(reading, receiver.of(run)) == []
        assert reading.run["status"] == "succeeded"
    for turns in clients.turns.values():
        assert check_order([readings[run] for run in turns]) == []
    for kill in range(1, KILLS + 1):  # the kills did strike
        assert len(clients.streams[f"run_held_{kill}"]) > 1
        assert readings[f"run_held_{kill}"].run["attempt"] > 1
    for run, parts in clients.streams.items():
        assert check_resumed(parts, readings[run].events) == []

    again = [await send_again(node.caller, *one) for one in clients.said if one[2].status in (200, 202)]
    assert check_intake([*clients.said, *again]) == []
    assert {run["id"] for run in await node.caller.all_runs()} == acknowledged


async def has_some(parts: list[list[Event]]) -> bool:
    return any(parts)


async def send_again(caller: Caller, key: str, body: bytes, first: Answer) -> tuple[str, bytes, Answer]:
    path = f"/v1/agents/{first.body['agent']}/runs"
    return key, body, await caller.ask("POST", path, body, idempotency_key=key, prefer="respond-async")
