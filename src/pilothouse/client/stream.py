"""The events of one run as an iterator that survives a cut connection.

After a cut it asks again from the last event it gave out (`Last-Event-ID`), so its reader sees every event once and in
order (I4). A run whose id was not heard yet is asked for by sending the same request with the same Idempotency-Key.
A run that is not kept cannot be asked for again; then the reader is told, never left with a silent end.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import msgspec

from pilothouse.client.http import BUSY, LOST, Pauses, Wire
from pilothouse.client.refusal import ApiError, Unreachable, strange_answer
from pilothouse.client.shape import Event

EVENT_LIMIT = 64 * 1024 * 1024
"""Bytes of one event."""
LIVELY = 2.0
"""A connection that lasted so many seconds was one: after its cut the time to reconnect begins anew."""


class RunStart:
    """The request that starts the run to read. `repeatable`: it carries an Idempotency-Key."""

    def __init__(self, path: str, body: object, headers: dict[str, str]) -> None:
        self.path = path
        self.body = body
        self.headers = headers
        self.repeatable = "Idempotency-Key" in headers


class EventStream:
    """Iterate it once. `run` and `seq` tell which event came last; `close` leaves the run alone."""

    def __init__(
        self,
        wire: Wire,
        reconnect_within: float,
        *,
        start: RunStart | None = None,
        run: str | None = None,
        after: int = 0,
    ) -> None:
        self.run = run
        self.seq = after
        self._wire = wire
        self._start = start
        self._reconnect_within = reconnect_within
        self._events = self._read()

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def close(self) -> None:
        self._events.close()

    def _read(self) -> Generator[Event, None, None]:
        pauses = Pauses(self._wire.retry_within)
        while True:
            began, wish = time.monotonic(), None
            seen = self.seq
            try:
                with self._open() as response:
                    for event in _events_of(response):
                        if event.seq <= self.seq:
                            continue
                        self.run, self.seq = event.run, event.seq
                        yield event
                        if event.is_terminal:
                            return
                failure: ApiError = Unreachable("The node closed the stream.", "Follow the run again.", self.run)
            except (httpx2.SSEError, msgspec.MsgspecError):
                raise strange_answer(self._wire.url) from None
            except LOST as error:
                failure = self._wire.lost(error, self.run)
            except ApiError as error:
                failure, wish = error, error.retry_after
                if error.status not in BUSY:
                    raise self._explain(error) from None
            if self.seq > seen or time.monotonic() - began > LIVELY:
                pauses = Pauses(self._reconnect_within)
            if not self._may_repeat() or not pauses.wait(wish):
                raise failure

    def _may_repeat(self) -> bool:
        return self.run is not None or (self._start is not None and self._start.repeatable)

    def _open(self) -> AbstractContextManager[httpx2.Response]:
        if self.run is None and self._start is not None:
            return self._wire.stream("POST", self._start.path, body=self._start.body, headers=self._start.headers)
        headers = {"Last-Event-ID": str(self.seq)} if self.seq else {}
        return self._wire.stream("GET", f"/v1/runs/{self.run}/events", headers=headers)

    def _explain(self, error: ApiError) -> ApiError:
        if error.code == "run_not_found" and self.seq:
            return Unreachable(
                "The connection was cut, and the run is not kept: its other events are gone.",
                "Ask with an Idempotency-Key, or set keep = true for the agent.",
                self.run,
            )
        return error


def _events_of(response: httpx2.Response) -> Iterator[Event]:
    for frame in httpx2.EventSource(response, max_event_size=EVENT_LIMIT):
        if not frame.id or not frame.id.isdecimal() or frame.event == "reconnect":
            continue
        yield Event(int(frame.id), frame.event, msgspec.json.decode(frame.data, type=dict[str, Any]))
