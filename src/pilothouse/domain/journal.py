"""The journal: the steps of a run in order, and how a new attempt replays it.

Theory: the agent function is called again from the top. Each call of the context that has an effect asks `Replay` for
its step. The **step key** is the name, a digest of the arguments and the occurrence, so that steps which run
concurrently find their own record whatever the order of their ends. A step that ended is returned from the record; a
step that only began is run again, unless it was declared `once` (its outcome is unknown and a person is asked), or it
is a wait, whose end somebody else writes: **a wait is a step whose result comes from outside**.

A `gate` is what was decided of a call of a tool, for people to read. A `checkpoint` is what a framework keeps of a run
in progress. Neither is a step of the agent, nobody's event, and never asked for.

The rows are append-only: `begun` (written only for `once` steps and for waits) and `ended`, each at most once per key.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct

StepKind = Literal[
    "step", "model", "tool", "value", "sleep", "signal", "review", "call", "publish", "checkpoint", "gate"
]
StepStatus = Literal["started", "succeeded", "failed"]

BEGUN = 0
ENDED = 1

WAITS: frozenset[str] = frozenset({"sleep", "signal", "review", "call"})
"""Kinds whose end may be written by somebody else than the attempt that began them."""


class StepRow(Struct, array_like=True):
    """One row of the journal, as it is stored and as it travels to a host.

    `input`, `output`, `error` and `usage` are JSON bytes. `tries` counts the executions this end stands for. `due_at`
    of a begun wait is when it ends by itself.
    """

    key: str
    kind: StepKind
    name: str
    phase: int
    status: StepStatus
    tries: int = 1
    once: bool = False
    input: bytes | None = None
    output: bytes | None = None
    error: bytes | None = None
    usage: bytes | None = None
    due_at: int | None = None
    started_at: int = 0
    finished_at: int | None = None


class _Gate(Struct):
    verdict: str
    action: str = ""


_read_gate = msgspec.json.Decoder(_Gate).decode


def digest_arguments(encoded: bytes) -> str:
    """Eight hex digits over the encoded arguments of a step: enough beside the name, the occurrence and the run."""
    return hashlib.blake2b(encoded, digest_size=4).hexdigest()


def step_key(name: str, digest: str, occurrence: int) -> str:
    """`name-digest-occurrence`; the occurrence counts from 1 within the run."""
    return f"{name}-{digest}-{occurrence}"


def gate_key(key: str, number: int) -> str:
    """Where a decision about the step `key` stands in the journal."""
    return f"{key}.gate-{number}"


def gate_review_key(key: str, number: int) -> str:
    """The wait for the n-th review about the step `key`."""
    return f"{key}.review-{number}"


def signal_key(name: str, occurrence: int) -> str:
    """The step of the n-th signal `name`: known before the run waits for it, so that an early signal is its result."""
    return f"signal.{name}-{occurrence}"


class Replay:
    """What an attempt knows of the journal it continues. Not shared between attempts."""

    def __init__(self, rows: list[StepRow]) -> None:
        self._ended: dict[str, StepRow] = {}
        self._begun: dict[str, StepRow] = {}
        self._seen: dict[str, int] = {}
        self._unused: set[str] = set()
        self._open: set[str] = set()
        self.checkpoints: list[StepRow] = []
        for row in rows:
            self.learn(row)

    def learn(self, row: StepRow) -> None:
        """Take in a row: of the past, or one that came from outside while the attempt runs."""
        if row.kind == "checkpoint":
            self.checkpoints.append(row)
            return
        if row.kind == "gate":
            return
        if row.phase != ENDED:
            if row.key not in self._begun:
                self._begun[row.key] = row
                if row.key not in self._ended:
                    self._open.add(row.key)
        elif row.key not in self._ended:
            self._ended[row.key] = row
            self._open.discard(row.key)
            if row.kind != "signal" or row.key in self._begun:  # a signal may come long before the run asks for it
                self._unused.add(row.key)

    def occurrence(self, base: str) -> int:
        """Counts how often this attempt asked for `base` (name and digest), from 1."""
        count = self._seen.get(base, 0) + 1
        self._seen[base] = count
        return count

    def key_for(self, name: str, digest: str) -> str:
        """As `step_key` makes it, of the next occurrence."""
        base = f"{name}-{digest}"
        count = self._seen[base] = self._seen.get(base, 0) + 1
        return f"{base}-{count}"

    def ended(self, key: str) -> StepRow | None:
        """The kept end of a step; asking marks it as used."""
        row = self._ended.get(key)
        if row is not None:
            self._unused.discard(key)
        return row

    def begun(self, key: str) -> StepRow | None:
        """The kept beginning of a step; asking marks it as found."""
        self._open.discard(key)
        return self._begun.get(key)

    def pass_over(self) -> None:
        """What is recorded need not be asked for: checkpoints hold what came of it."""
        self._unused.clear()
        self._open.clear()

    def reviews_of(self, key: str) -> list[str]:
        """The reviews that were asked for before the step `key` could run."""
        return [one for one in (*self._begun, *self._ended) if one.startswith(f"{key}.review-")]

    def skip(self, keys: Iterable[str]) -> None:
        """These steps are not asked for by the agent itself."""
        self._unused.difference_update(keys)
        self._open.difference_update(keys)

    @property
    def is_repeating(self) -> bool:
        """Whether recorded steps remain that this attempt has not asked for (yet): what it does now was done before."""
        return bool(self._unused or self._open)

    @property
    def unused(self) -> frozenset[str]:
        """Ended steps that this attempt has not asked for (yet). Not empty at a new step of other code: it diverged."""
        return frozenset(self._unused)


def step_of(key: str) -> str:
    """The step that a row belongs to: one that ran again under a new intent is still that step."""
    return key.partition(".again-")[0]


def actions_without_end(rows: Iterable[StepRow]) -> dict[str, str]:
    """The actions that were allowed in these rows and whose steps have no end: action by step."""
    found: dict[str, str] = {}
    for row in rows:
        if row.kind == "gate" and row.output is not None:
            decision = _read_gate(row.output)
            if decision.verdict == "allow" and decision.action:
                found[step_of(row.key.partition(".gate-")[0])] = decision.action
        elif row.phase == ENDED:
            found.pop(step_of(row.key), None)
    return found


def hand_offs_begun(rows: Iterable[StepRow]) -> frozenset[str]:
    """The steps that have begun to call another agent: whoever starts the called run tells what came of the action."""
    return frozenset(row.key for row in rows if row.kind == "call" and row.phase == BEGUN)
