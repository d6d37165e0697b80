"""Why a run does not go on although nothing is wrong with it, in the order in which a person would look.

A run that waits is silent, and most of the reasons lie outside of it: a hold, the turn before it, workers that are not
there. Decided from facts that were read a moment ago, so it is a hint for people and nothing goes by it.
"""

from typing import Literal

from msgspec import Struct

from pilothouse.domain.run import Run

ObstacleKind = Literal["answer", "time", "hold", "turn", "worker", "release", "place", "review"]


class Obstacle(Struct, frozen=True):
    """`on`: the id of what is waited for, where it has one: a review, a run, a hold, or the name of a release."""

    kind: ObstacleKind
    message: str
    on: str | None = None


class Facts(Struct, kw_only=True):
    """What lies around a run that is neither running nor over."""

    now: int
    hold: tuple[str, str] | None = None
    """Id and reason of the hold that covers it."""
    is_shut_out: bool = False
    """The release that is served has not passed its evaluation."""
    review: tuple[str, str] | None = None
    """Id and question of an open review of this run."""
    turn: tuple[str, str] | None = None
    """Id and status of the turn of its session before it."""
    releases: frozenset[str] = frozenset()
    """Of its agent, that nodes which are there host."""
    has_steps: bool = False
    continues: bool = False
    """Its agent takes runs of other releases."""
    ready: int = 0
    """Runs of its agent that are ready, this one with them."""


def obstacle_of(run: Run, facts: Facts) -> Obstacle | None:
    """None: the run is at work, or over, or nothing keeps it."""
    if run.status == "waiting":
        return _of_waiting(run, facts)
    if run.status != "queued":
        return None
    if facts.hold is not None:
        return Obstacle("hold", f"It is on hold: {facts.hold[1]}", facts.hold[0])
    if run.due_at is not None and run.due_at > facts.now:
        return Obstacle("time", "It is to begin, or to be tried again, at `due_at`.")
    if facts.turn is not None:
        before, status = facts.turn
        return Obstacle("turn", f"An earlier turn of its session comes first; that one is {status}.", before)
    if facts.is_shut_out:
        text = (
            "The release that is served has not passed the evaluation that it needs: `pilothouse eval run` scores it."
        )
        return Obstacle("release", text, run.release)
    if not facts.releases:
        return Obstacle("worker", f"No worker that is there hosts the agent {run.agent}: start one.")
    if run.release not in facts.releases and facts.has_steps and not facts.continues:
        text = "It began on a release that no worker hosts: start one that does, or cancel the run and retry it."
        return Obstacle("release", text, run.release)
    text = f"All places are taken, or its tenant or agent has all that it may have; {facts.ready} runs of it are ready."
    return Obstacle("place", text)


def _of_waiting(run: Run, facts: Facts) -> Obstacle:
    if facts.review is not None:
        return Obstacle("review", f"A person is asked: {facts.review[1]}", facts.review[0])
    if run.due_at is not None:
        return Obstacle("time", "It goes on at `due_at`, or with an answer before that.")
    return Obstacle("answer", "It waits for a signal, or for a run that it called: see its steps that have not ended.")
