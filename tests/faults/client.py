"""A caller of a node over real HTTP: plain requests, streams that may break off, and whole readings of a run.

It is not `pilothouse.client`: it hides nothing, retries nothing unasked, and keeps the bytes as they came, since the
checkers compare bytes.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2

PATIENCE = 90.0
"""Seconds after which something hangs: no case takes this long, also on a machine that is ten times slower."""
PAGE = 1000


class Event(NamedTuple):
    """One event of a run, as a frame of a stream or an item of a page says it: with the same bytes."""

    seq: int
    kind: str
    data: bytes

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.data)
        return body


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: Any


class Reading(NamedTuple):
    """All that the API says of a run at one time."""

    run: dict[str, Any]
    events: list[Event]
    steps: list[dict[str, Any]]

    @property
    def id(self) -> str:
        return str(self.run["id"])


class Caller:
    """`url` is asked for at each request: a node that was started again has another port."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=50)
        self._http = httpx2.AsyncClient(timeout=PATIENCE, limits=limits, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Header names are given with `_` for `-`."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            said["content-type"] = "application/json"
        answer = await self._http.request(method, self._url() + path, content=content, headers=said)
        return Answer(answer.status_code, answer.headers, json.loads(answer.content) if answer.content else None)

    async def text(self, path: str) -> str:
        answer = await self._http.get(self._url() + path)
        return answer.text

    async def start(self, agent: str, input: Any, *, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
        """Starts a run in the background, unless `headers` say otherwise."""
        said = {"prefer": "respond-async"} if headers is None else dict(headers)
        return await self.ask("POST", f"/v1/agents/{agent}/runs", {"input": input, **more}, **said)

    async def start_at_last(self, agent: str, input: Any, **more: Any) -> Answer:
        """The same, tried again while the node says that it may be: hosts that were killed are not up at once."""
        answer: Answer | None = None

        async def is_taken() -> bool:
            nonlocal answer
            answer = await Caller.start(self, agent, input, **more)
            return not (answer.status in (429, 503) and "retry-after" in answer.headers)

        await wait_until(is_taken, PATIENCE, lambda: f"{answer}")
        assert answer is not None
        return answer

    async def start_known(self, agent: str, run: str, input: Any, **more: Any) -> str:
        """A run whose id the test chose, so that it can place gates for it first."""
        answer = await self.start(agent, input, run_id=run, **more)
        assert answer.status == 202, answer
        return run

    async def run(self, run: str, wait: float = 0.0) -> dict[str, Any]:
        answer = await self.ask("GET", f"/v1/runs/{run}" + (f"?wait={wait:g}" if wait else ""))
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.body
        return found

    async def wait_end(self, run: str, within: float = PATIENCE) -> dict[str, Any]:
        found = await self.wait_run(run, lambda it: it["status"] in ("succeeded", "failed", "cancelled"), within)
        return found

    async def wait_run(
        self, run: str, fits: Callable[[dict[str, Any]], bool], within: float = PATIENCE
    ) -> dict[str, Any]:
        """The run as soon as it `fits`."""
        found: dict[str, Any] = {}

        async def look() -> bool:
            nonlocal found
            found = await self.run(run)
            return fits(found)

        await wait_until(look, within, lambda: f"{found}")
        return found

    async def all_runs(self) -> list[dict[str, Any]]:
        return await self._pages("/v1/runs?limit=200")

    async def steps(self, run: str) -> list[dict[str, Any]]:
        return await self._pages(f"/v1/runs/{run}/steps?limit=200")

    async def _pages(self, path: str) -> list[dict[str, Any]]:
        items, cursor = [], ""
        while True:
            answer = await self.ask("GET", path + cursor)
            assert answer.status == 200, answer
            items += answer.body["items"]
            if answer.body["next_cursor"] is None:
                return items
            cursor = f"&cursor={answer.body['next_cursor']}"

    async def events(self, run: str) -> list[Event]:
        """The events so far, by pages."""
        found: list[Event] = []
        after = "0"
        while True:
            path = f"/v1/runs/{run}/events?after={after}&limit={PAGE}"
            answer = await self._http.get(self._url() + path)
            assert answer.status_code == 200, answer.content
            found += page_events(answer.content)
            after = json.loads(answer.content)["next_cursor"]
            if after is None:
                return found

    async def read(self, run: str) -> Reading:
        return Reading(await self.run(run), await self.events(run), await self.steps(run))

    @asynccontextmanager
    async def stream(self, run: str, after: int = 0) -> AsyncGenerator[AsyncGenerator[Event, None], None]:
        """The events of a run after a number, as they come. Ends with the stream, however that ends; a `reconnect` is
        an event with the number 0."""
        headers = {"accept": "text/event-stream", **({"last-event-id": str(after)} if after else {})}
        path = f"/v1/runs/{run}/events"
        async with self._http.stream("GET", self._url() + path, headers=headers, timeout=None) as answer:
            assert answer.status_code in (200, 204), await answer.aread()
            yield frames_of(answer)

    async def gather(self, run: str, into: list[Event]) -> None:
        """Puts the events after the last one of `into` behind it, until the stream ends or breaks off."""
        try:
            async with self.stream(run, into[-1].seq if into else 0) as frames:
                await take_all(frames, into)
        except httpx2.TransportError:
            return

    async def decide(self, run: str, verdict: str, within: float = PATIENCE, **more: Any) -> dict[str, Any]:
        """Waits for the open review of a run and decides it."""
        review: dict[str, Any] = {}

        async def look() -> bool:
            nonlocal review
            reviews = await self._pages("/v1/reviews?status=open&limit=200")
            review = next((one for one in reviews if one["run"] == run), {})
            return bool(review)

        await wait_until(look, within, lambda: f"{run} has no open review")
        answer = await self.ask("POST", f"/v1/reviews/{review['id']}/decision", {"verdict": verdict, **more})
        assert answer.status == 200, answer
        return review


async def wait_until(
    look: Callable[[], Awaitable[bool]], within: float = PATIENCE, tell: Callable[[], str] = lambda: ""
) -> None:
    """Looks again and again until it is so."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while not await look():
        if loop.time() > until:
            raise TimeoutError(f"not within {within:g} s: {tell()}")
        await asyncio.sleep(0.02)


async def take_all(frames: AsyncIterator[Event], into: list[Event]) -> None:
    """The events of a stream, one by one, so that those before a break are kept; hints are no events."""
    async for event in frames:
        into += [event] if event.seq else []


async def frames_of(answer: httpx2.Response) -> AsyncGenerator[Event, None]:
    """The whole frames of a stream; half a frame at its end is not counted as received."""
    rest = b""
    async for chunk in answer.aiter_raw():
        *whole, rest = (rest + chunk).split(b"\n\n")
        for frame in whole:
            fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if not line.startswith(b":"))
            if fields:
                yield Event(int(fields.get(b"id", b"0")), fields[b"event"].decode(), fields[b"data"])


def page_events(page: bytes) -> list[Event]:
    """The items of a page with the bytes of each, which are those of the frame but for the type in front."""
    found, rest, decoder = [], page.decode(), json.JSONDecoder()
    at = rest.index("[") + 1
    while rest[at] != "]":
        item, end = decoder.raw_decode(rest, at)
        text = rest[at:end].replace(f'"type":"{item["type"]}",', "", 1)
        found.append(Event(item["seq"], item["type"], text.encode()))
        at = end + (rest[end] == ",")
    return found
