"""Callers of the desk: they ask, keep what they were promised, and say in the end whether it was held.

A caller that gets no answer, or a refusal, asks again with the same Idempotency-Key, so it never has two runs for one
question. A promise is a 202 with the id of a run.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx2

TERMINAL = ("succeeded", "failed", "cancelled")
TEXT = "Metadata-Version: 2.4\nName: thing-{number}\nVersion: 1.0\nLicense-Expression: {licence}"
LICENCES = ("MIT", "MPL-2.0", "Apache-2.0", "BSD-3-Clause")
AGAIN_AFTER = 0.2
EVERY_NTH_AUDITS = 5
DOCUMENTS = 6


class Callers:
    """`begin`, `end`, then `judge`."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._http = httpx2.AsyncClient(timeout=30.0, trust_env=False)
        self.acknowledged = self.finished = self.refused = 0
        self._runs: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    async def wait_ready(self) -> None:
        """Until the gateways know the agents of the workers."""
        while True:
            found = await self._ask("GET", "/v1/agents")
            if {"audit", "extract"} <= {one["name"] for one in found["items"]}:
                return
            await asyncio.sleep(AGAIN_AFTER)

    def begin(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep_asking()) for _ in range(count)]
        self._tasks.append(loop.create_task(self._decide()))

    async def end(self, within: float) -> None:
        """Asks nothing new, and waits for what was promised."""
        self._is_over = True
        async with asyncio.timeout(within):
            await asyncio.gather(*self._tasks[:-1])

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer to a request, which is repeated until there is one."""
        while True:
            try:
                answer = await self._http.request(method, self._url() + path, json=body, headers=headers)
                if answer.status_code < 300:
                    return answer.json()
                if answer.status_code not in (429, 503):
                    return None
            except httpx2.HTTPError:
                pass
            self.refused += 1
            await asyncio.sleep(AGAIN_AFTER)

    async def _keep_asking(self) -> None:
        while not self._is_over:
            number = next(self._numbers)
            if number % EVERY_NTH_AUDITS == 0:
                agent, input = "audit", {"limit": DOCUMENTS}
            else:
                agent = "extract"
                input = TEXT.format(number=number, licence=LICENCES[number % len(LICENCES)])
            headers = {"prefer": "respond-async", "idempotency-key": f"question-{number}"}
            run = (await self._ask("POST", f"/v1/agents/{agent}/runs", {"input": input}, **headers))["id"]
            self.acknowledged += 1
            self._runs[run] = "queued"
            while self._runs[run] not in TERMINAL:
                found = await self._ask("GET", f"/v1/runs/{run}?wait=5")
                self._runs[run] = found["status"] if found is not None else "lost"
            self.finished += 1

    async def _decide(self) -> None:
        """The person who is asked: lets everything be used."""
        while True:
            found = await self._ask("GET", "/v1/reviews?status=open&limit=50")
            for review in found["items"]:
                await self._ask("POST", f"/v1/reviews/{review['id']}/decision", {"verdict": "approve"})
            await asyncio.sleep(AGAIN_AFTER)

    # --- judging ------------------------------------------------------------------------------------------------------

    async def running(self) -> list[str]:
        found = await self._ask("GET", "/v1/runs?status=running&limit=200")
        return [run["id"] for run in found["items"] if run["id"] in self._runs]

    async def events(self, run: str) -> list[dict[str, Any]]:
        found = await self._ask("GET", f"/v1/runs/{run}/events?after=0&limit=1000")
        return list(found["items"]) if found is not None else []

    async def takeover(self, runs: list[str], killed_at: float) -> float | None:
        """Seconds from the kill until the last of the runs that lost their worker went on elsewhere."""
        longest = None
        for run in runs:
            is_lost = False
            for event in await self.events(run):
                kind = event["type"]
                if kind == "run.queued" and event.get("reason") == "worker_lost":
                    is_lost = True
                elif kind == "run.resumed" and is_lost:
                    at = datetime.fromisoformat(event["at"]).timestamp() - killed_at
                    longest = max(longest or 0.0, at)
        return longest

    async def judge(self) -> tuple[int, int]:
        """(promised runs that are not there or have not ended, steps that were kept and done again)."""
        lost = repeated = 0
        for run in self._runs:
            found = await self._ask("GET", f"/v1/runs/{run}")
            lost += found is None or found["status"] not in TERMINAL
            events = await self.events(run)
            ends = Counter(event.get("key") for event in events if event["type"] == "step.finished")
            repeated += sum(count - 1 for count in ends.values())
            seqs = [event["seq"] for event in events]
            lost += seqs != list(range(1, len(seqs) + 1))
        return lost, repeated
