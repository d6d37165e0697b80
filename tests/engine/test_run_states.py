"""Whatever a caller, a clock and crashes do to runs in any order: each run walks along the table and ends once.

A Hypothesis machine drives a real node without knowing what the engine does; the events of each run are its walk.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from pilothouse import Context, Retry, agent
from pilothouse.domain.run import TERMINAL, may_become
from pilothouse.errors import ReviewClosed, RunActive, RunEnded, RunExists
from pilothouse.testing import LocalNode, LocalRun, NodeCrashed
from pilothouse.testing.invariants import check_fencing, check_one_end

T = TypeVar("T")

STATUS_OF = {
    "run.queued": "queued",
    "run.started": "running",
    "run.resumed": "running",
    "run.waiting": "waiting",
    "run.succeeded": "succeeded",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
}
UNTOLD = {("queued", "running"), ("waiting", "queued"), ("waiting", "running")}
"""A wake-up and a claim are told by the attempt that follows."""


@agent(mode="event", retry=Retry(attempts=2, delay=10))
async def wanderer(ctx: Context, path: list[str]) -> list[Any]:
    """Does what its input says, so that the machine meets every state."""
    found: list[Any] = []
    for stop in path:
        match stop:
            case "step":
                found.append(await ctx.step(str, stop, name="work"))
            case "sleep":
                await ctx.sleep(30)
            case "review":
                found.append((await ctx.review("go on?", within=100)).verdict)
            case "signal":
                found.append(await ctx.signal("go"))
            case "fail":
                raise ValueError("no")
    return found


def walk(run: LocalRun) -> list[str]:
    return [STATUS_OF[event.type] for event in run.events if event.type in STATUS_OF]


def is_allowed(before: str, after: str) -> bool:
    """A claim that died before its first event is not told: then one `queued` follows another."""
    return may_become(before, after) or (before, after) in UNTOLD or before == after == "queued"


class Wandering(RuleBasedStateMachine):
    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.node = LocalNode({"wanderer": wanderer}, slots=2, patience=0.05).__enter__()
        self.started: list[str] = []
        self.ended: dict[str, LocalRun] = {}

    def teardown(self) -> None:
        """The end of a run is told to those who count exactly once; a crash may swallow it and never doubles it."""
        try:
            self.node.settle()
            told = Counter(run.id for run, _ in self.node.node.told)
            ended = {id for id in self.started if self.node.get(id).status in TERMINAL}
            assert set(told) <= ended
            assert all(count == 1 for count in told.values()), told
            assert self.node.crashes or set(told) == ended
        finally:
            self.node.close()

    @rule(
        target=runs,
        path=st.lists(st.sampled_from(["step", "sleep", "review", "signal", "fail"]), max_size=4),
        delay=st.sampled_from([0, 0, 20]),
        deadline=st.sampled_from([None, None, 50]),
    )
    def start(self, path: list[str], delay: int, deadline: int | None) -> str:
        run = f"run_{len(self.started)}"

        def act() -> None:
            with suppress(RunExists):  # it was taken in before the crash
                self.node.start("wanderer", path, delay=delay, deadline=deadline, run_id=run)

        self.again(act)
        self.started.append(run)
        return run

    def again(self, act: Callable[[], T]) -> T:
        """As often as the node dies before it answers."""
        for _ in range(10):
            with suppress(NodeCrashed):
                return act()
        raise AssertionError("the node dies again and again")

    @rule(run=runs)
    def cancel(self, run: str) -> None:
        self.again(lambda: self.node.cancel(run))

    @rule(run=runs, verdict=st.sampled_from(["approve", "reject"]))
    def decide(self, run: str, verdict: Any) -> None:
        for review in self.node.reviews(run):
            with suppress(ReviewClosed):  # it was decided before the crash, or the run has ended
                self.again(lambda review=review: self.node.decide(review, verdict))  # type: ignore[misc]

    @rule(run=runs)
    def signal(self, run: str) -> None:
        try:
            self.again(lambda: self.node.signal(run, "go", 1))
        except RunEnded:
            assert self.node.get(run).status in TERMINAL

    @rule(target=runs, run=runs)
    def retry(self, run: str) -> str:
        try:
            again = self.node.retry(run).id
        except (RunActive, RunEnded, NodeCrashed):
            return run
        self.started.append(again)
        return again

    @rule(seconds=st.sampled_from([1, 15, 60]))
    def advance(self, seconds: int) -> None:
        self.node.advance(seconds)

    @rule()
    def settle(self) -> None:
        self.node.settle()

    @rule()
    def crash(self) -> None:
        self.node.crash()
        self.node.restart()

    @rule(when=st.sampled_from(["before", "after_effect", "after_commit"]))
    def crash_at_the_next_step(self, when: Any) -> None:
        self.node.crash_at_step("work", when)

    @invariant()
    def every_run_walks_along_the_table_and_stays_where_it_ended(self) -> None:
        for id in self.started:
            run = self.node.get(id)
            steps = walk(run)
            assert all(is_allowed(*pair) for pair in pairwise(steps)), steps
            assert (steps[-1], run.status) in UNTOLD or steps[-1] == run.status
            assert check_fencing(run) == []
            if id in self.ended:
                assert run == self.ended[id]
            elif run.status in TERMINAL:
                assert check_one_end(run) == []
                self.ended[id] = run


Wandering.TestCase.settings = settings(
    max_examples=20, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


@pytest.mark.slow
class TestWandering(Wandering.TestCase):  # type: ignore[misc]
    """The machine above, run by pytest."""
