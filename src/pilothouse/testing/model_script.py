"""Which answer or fault the next request gets.

The order is fixed by the order of arrival: faults that were placed come first, then the queued answers, then the
answer function. A fault that ruins an answer leaves the script where it is, so that the caller's retry gets the answer
that the fault spoiled. Every method may be called from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from pilothouse.testing.model_answer import Answer, Fault
from pilothouse.testing.model_request import ModelRequest

Said = str | Answer | Fault
AnswerFunction = Callable[[ModelRequest], Said | Awaitable[Said]]


@dataclass(slots=True)
class _Placed:
    fault: Fault
    at: int | None
    when: Callable[[ModelRequest], bool] | None
    times: int

    def strikes(self, request: ModelRequest) -> bool:
        return (self.at is None or self.at == request.n) and (self.when is None or self.when(request))


class Script:
    """The queue, the placed faults and the answer function of one model."""

    def __init__(self, function: AnswerFunction | None, queued: Iterable[Said]) -> None:
        self.function = function
        self._queue: deque[Said] = deque(queued)
        self._placed: list[_Placed] = []
        self._lock = threading.Lock()

    def add(self, said: Iterable[Said]) -> None:
        with self._lock:
            self._queue.extend(said)

    def place(self, fault: Fault, at: int | None, when: Callable[[ModelRequest], bool] | None, times: int) -> None:
        with self._lock:
            self._placed.append(_Placed(fault, at, when, times))

    @property
    def left(self) -> int:
        """Queued answers and faults that no request has taken."""
        with self._lock:
            return len(self._queue) + sum(placed.times for placed in self._placed)

    def next(self, request: ModelRequest) -> tuple[Fault | None, Answer | None]:
        """The fault that strikes this request, and the queued answer it gets; neither means: ask the function."""
        with self._lock:
            fault = self._placed_fault(request)
            if fault is None and self._queue and isinstance(self._queue[0], Fault):
                fault = self._queue.popleft()  # type: ignore[assignment]  # checked one line above
            answer = next((said for said in self._queue if not isinstance(said, Fault)), None)
            if answer is not None and not (fault and fault.keeps_script):
                self._queue.remove(answer)
            return fault, as_answer(answer) if answer is not None else None

    def _placed_fault(self, request: ModelRequest) -> Fault | None:
        for placed in self._placed:
            if placed.strikes(request):
                placed.times -= 1
                if placed.times <= 0:
                    self._placed.remove(placed)
                return placed.fault
        return None


def as_answer(said: str | Answer) -> Answer:
    return Answer(said) if isinstance(said, str) else said
