"""Why a run waits: the first of the reasons that a person would look for."""

import pytest

from pilothouse.domain.obstacle import Facts, obstacle_of
from pilothouse.domain.run import Run

ALL = {"hold": ("hold_a", "audit"), "turn": ("run_b", "running"), "has_steps": True}


def run(status, **more):
    return Run(tenant="t", id="run_a", agent="desk", release="r1", mode="event", status=status, created_at=0, **more)


@pytest.mark.parametrize(
    ("one", "facts", "kind", "on"),
    [
        (run("running"), ALL, None, None),
        (run("succeeded"), ALL, None, None),
        (run("waiting"), {"review": ("rev_a", "May I?")}, "review", "rev_a"),
        (run("waiting", due_at=5), {}, "time", None),
        (run("waiting"), {}, "answer", None),
        (run("queued", due_at=5), ALL, "hold", "hold_a"),
        (run("queued", due_at=5), {"turn": ("run_b", "running")}, "time", None),
        (run("queued"), {"turn": ("run_b", "waiting")}, "turn", "run_b"),
        (run("queued"), {"has_steps": True}, "worker", None),
        (run("queued"), {"releases": frozenset({"r2"}), "has_steps": True}, "release", "r1"),
        (run("queued"), {"releases": frozenset({"r2"}), "has_steps": True, "continues": True}, "place", None),
        (run("queued"), {"releases": frozenset({"r2"})}, "place", None),
        (run("queued", due_at=1), {"releases": frozenset({"r1"}), "ready": 7}, "place", None),
    ],
)
def test_the_first_reason_is_told(one, facts, kind, on):
    found = obstacle_of(one, Facts(now=2, **facts))
    assert (found and found.kind, found and found.on) == (kind, on)
