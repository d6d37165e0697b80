"""What the engine asks of the worker of its own node: is there room, and begin.

On a node that has no worker there is never room, and every run waits in the records for another node's claim.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from pilothouse.domain.agent import Agent
from pilothouse.domain.journal import StepRow
from pilothouse.domain.price import Price
from pilothouse.domain.run import Run
from pilothouse.domain.scratch import ScratchAnswer, ScratchWish
from pilothouse.domain.session import Session, Trail, Turn
from pilothouse.ports.outgoing import CallResult, CallWish, Denial


class Notebook(Protocol):
    """What the worker tells of one attempt, in the order in which its host said it. Nothing here waits: what was told
    within one tick of the loop becomes durable in one Change, and `Actor` hears of it."""

    run: Run
    kept: bool
    traceparent: str | None
    """The trace that the run belongs to, as W3C Trace Context writes it; None: one of its own."""

    def step_started(self, ref: int, row: StepRow, durable: bool) -> None: ...

    def step_ended(self, ref: int, row: StepRow, started: bool) -> None: ...

    def ask_review(
        self, ref: int, row: StepRow, question: str, details: bytes, kind: str, expires_at: int | None
    ) -> None: ...

    def begin_call(self, ref: int, row: StepRow, then: Callable[[], None]) -> None:
        """The step `row` waits for a run of another agent; `then` is called once that wait is durable."""
        ...

    def handed(self, key: str) -> str | None:
        """The action of the hand-off that the step `key` is, where it was decided and has no outcome yet."""
        ...

    def call_began(self, key: str) -> None:
        """The run that the step `key` waits for is durable."""
        ...

    def end_wait(self, row: StepRow) -> None:
        """This node ends a wait of the attempt itself."""
        ...

    def emit(self, delta: bytes, event: str) -> None:
        """A delta of the output; with `event`, another event of that type."""
        ...

    def log(self, stream: str, text: str) -> None: ...

    def ask_call(self, ref: int, wish: CallWish) -> None:
        """May this call be made? `Actor` hears the answer, now or later."""
        ...

    def settle_call(self, ref: int, result: CallResult) -> None:
        """What came of it."""
        ...

    def use_scratch(self, ref: int, wish: ScratchWish) -> None:
        """`Actor` hears the answer."""
        ...

    def finish(self, output: bytes, state: bytes | None, usage: bytes | None, trail: Trail | None) -> None: ...

    def fail(self, error: bytes, kinds: list[str], usage: bytes | None, retryable: bool) -> None: ...

    def park(self, due_at: int | None, usage: bytes | None) -> None: ...

    def reject(self, faults: bytes) -> None: ...

    def stop(self, usage: bytes | None) -> None:
        """The attempt obeyed a cancel or a drain."""
        ...

    def lose(self) -> None:
        """The host ended, or did not answer."""
        ...

    def hand_back(self) -> None:
        """The host did not let go in time: what the attempt was doomed to happens now; without a doom the run goes back
        to the queue, and that does not count against it."""
        ...

    def flush(self) -> None:
        """Hands over what was told since the last flush as one Change. The worker calls it once a tick."""
        ...


class Actor(Protocol):
    """What the engine tells the worker about an attempt."""

    def acked(self, refs: Sequence[int]) -> None:
        """These refs are durable."""
        ...

    def resolved(self, row: StepRow) -> None:
        """A wait of the attempt ended; the row is durable."""
        ...

    def decided(self, ref: int, row: StepRow) -> None:
        """What the host is to do with the call of a tool that it proposed; durable, if the run is kept."""
        ...

    def cancel(self, reason: str) -> None:
        """Somebody wants the run to end."""
        ...

    def granted(self, ref: int, price: Price | None) -> None:
        """The call that was asked for may be made."""
        ...

    def denied(self, ref: int, denial: Denial) -> None: ...

    def scratch_used(self, ref: int, answer: ScratchAnswer) -> None: ...

    def over(self) -> None:
        """The end of the attempt is durable, or another attempt has the run: the slot is free. Called exactly once."""
        ...


class Assignment(Protocol):
    """Everything a host needs for one attempt."""

    @property
    def notebook(self) -> Notebook: ...

    agent: Agent
    session: Session | None
    turns: list[Turn]
    trails: list[Trail]
    journal: list[StepRow]
    stream: bool
    now: int
    strict: bool


class HostFact(Struct, frozen=True):
    """How a host stands. `taken` and `free` count places of attempts."""

    name: str
    is_up: bool
    agents: list[str]
    taken: int
    free: int
    memory_bytes: int
    """Resident; 0: not measured."""


class Crew(Struct, frozen=True):
    """The workers of all nodes: how many there are, how many `places` one has, those of single agents on one worker,
    and for how many seconds a run of an agent holds its place, where that is known."""

    workers: int
    places: int
    places_of: dict[str, int]
    run_seconds: dict[str, float]


class Worker(Protocol):
    def crew(self) -> Crew: ...

    def host_facts(self) -> list[HostFact]:
        """All hosts of this node, those that try suspects alone included."""
        ...

    @property
    def owner(self) -> str:
        """The name under which this node's worker holds leases."""
        ...

    def find(self, agent: str) -> Agent | None: ...

    def agents(self) -> list[Agent]: ...

    def releases(self, agent: str) -> frozenset[str]:
        """Of the agent, that nodes which are there host."""
        ...

    def takers(self, agent: str) -> Sequence[str]:
        """The names of nodes that do stateless runs of the agent for this one, the next to be asked first; none when
        this node hosts it."""
        ...

    def warm(self, tenant: str, agent: str, session: str | None) -> str:
        """The name of the node that is to take a run: of a session the one that had its turns before and remembers
        them, else one after the other. "": anybody."""
        ...

    def suspect(self, taker: str) -> None:
        """It does not answer: the others are to be asked, until it is heard of again."""
        ...

    def reserve(self, agent: str, tenant: str) -> bool:
        """Takes a place for a run of the agent, when there is one now that the tenant may have. It is used up by
        `begin` or given back by `unreserve`."""
        ...

    async def wait_place(self, agent: str, tenant: str, within: float) -> bool:
        """Like `reserve`, in line with others who wait, for at most `within` seconds."""
        ...

    def unreserve(self, agent: str, tenant: str) -> None: ...

    def begin(self, assignment: Assignment) -> Actor: ...

    def gate(self, is_gated: bool) -> None:
        """Whether hosts propose calls of tools before they run."""
        ...

    async def check(self, agent: str, input: bytes) -> list[dict[str, str]]:
        """The faults of an input; empty: it fits. Raises `HostUnavailable`."""
        ...
