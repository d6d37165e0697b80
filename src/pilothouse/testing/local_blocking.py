"""A node for tests without `async`: the same verbs, and each returns when it is done.

The node has an event loop of its own, which turns only while a verb is under way: between two of them nothing happens,
so a test sees exactly the state that its last verb left.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from pilothouse.domain.review import Verdict
from pilothouse.domain.session import Turn
from pilothouse.testing.clock import ManualClock
from pilothouse.testing.local_host import When
from pilothouse.testing.local_run import LocalReview, LocalRun
from pilothouse.testing.local_verbs import LocalVerbs

T = TypeVar("T")


class BlockingNode:
    """See `LocalNode` for what each verb does."""

    def __init__(self, node: LocalVerbs) -> None:
        self.node = node
        self._runner = asyncio.Runner()
        try:
            self._do(node.open())
        except BaseException:
            self._runner.close()
            raise

    def _do(self, act: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(act)

    def close(self) -> None:
        """A second call does nothing."""
        try:
            self._do(self.node.close())
        finally:
            self._runner.close()

    @property
    def clock(self) -> ManualClock:
        return self.node.clock

    @property
    def executions(self) -> Counter[str]:
        return self.node.executions

    @property
    def crashes(self) -> int:
        return self.node.crashes

    def start(self, agent: str, input: Any = None, **more: Any) -> LocalRun:
        return self._do(self.node.start(agent, input, **more))

    def run(self, agent: str, input: Any = None, **more: Any) -> LocalRun:
        return self._do(self.node.run(agent, input, **more))

    def ask(self, agent: str, input: Any = None, *, deadline: float | None = None) -> LocalRun:
        return self._do(self.node.ask(agent, input, deadline=deadline))

    def wait(self, run: LocalRun | str, status: str | None = None, within: float = 10.0) -> LocalRun:
        return self._do(self.node.wait(run, status, within))

    def get(self, run: LocalRun | str) -> LocalRun:
        return self._do(self.node.get(run))

    def cancel(self, run: LocalRun | str, reason: str = "asked by the test") -> LocalRun | None:
        return self._do(self.node.cancel(run, reason))

    def retry(self, run: LocalRun | str) -> LocalRun:
        return self._do(self.node.retry(run))

    def fork(self, run: LocalRun | str, after: str | None = None, replace: Mapping[str, Any] | None = None) -> LocalRun:
        return self._do(self.node.fork(run, after, replace))

    def signal(self, run: LocalRun | str, name: str, payload: Any = None) -> None:
        self._do(self.node.signal(run, name, payload))

    def reviews(self, run: LocalRun | str | None = None, status: str | None = "open") -> list[LocalReview]:
        return self._do(self.node.reviews(run, status))

    def wait_review(self, run: LocalRun | str, within: float = 10.0) -> LocalReview:
        return self._do(self.node.wait_review(run, within))

    def decide(self, asked: LocalReview | str, verdict: Verdict, **more: Any) -> None:
        self._do(self.node.decide(asked, verdict, **more))

    def state(self, agent: str, key: str) -> dict[str, Any]:
        return self._do(self.node.state(agent, key))

    def history(self, agent: str, key: str) -> list[Turn]:
        return self._do(self.node.history(agent, key))

    def advance(self, span: timedelta | float = 0.0, **units: float) -> None:
        self._do(self.node.advance(span, **units))

    def settle(self) -> None:
        self._do(self.node.settle())

    def crash(self) -> None:
        self.node.crash()

    def crash_at_step(self, step: str, when: When = "after_effect", occurrence: int = 1) -> None:
        self.node.crash_at_step(step, when, occurrence)

    def restart(self, agents: Mapping[str, Any] | None = None) -> None:
        self._do(self.node.restart(agents))
