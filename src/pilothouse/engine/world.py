"""What every verb is given: the ports, the limits of this deployment, and the attempts that run in this node.

A world is made once, by the composition root, and handed to each verb: no verb reaches for a clock, a store or a
limit in any other way, so a test that builds a world controls all of it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from pilothouse.domain.agent import Agent
from pilothouse.domain.delivery import Receivers
from pilothouse.domain.evaluation import Requirement, Standing
from pilothouse.domain.hold import Hold
from pilothouse.domain.journal import StepRow
from pilothouse.domain.principal import Key
from pilothouse.domain.run import Run
from pilothouse.domain.sampling import Plan
from pilothouse.domain.scale import ScaleRule
from pilothouse.domain.scratch import ScratchLimits
from pilothouse.domain.signature import ReviewLinks
from pilothouse.engine.audit_entry import Seals
from pilothouse.engine.backlog import Backlogs
from pilothouse.engine.outgoing import Outgoing
from pilothouse.engine.session_memory import SessionMemory, SessionName
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.bus import Bus
from pilothouse.ports.clock import Clock, Entropy
from pilothouse.ports.evidence import Archive, Signer, Witness
from pilothouse.ports.hot import HotStore
from pilothouse.ports.policy import ActivePolicies, PolicyLanguage
from pilothouse.ports.records import Records
from pilothouse.ports.worker import Worker

T = TypeVar("T")
RunEnded = Callable[[Run, str | None], None]
"""The run as it ended, and the `traceparent` of the request that started it."""

AGAIN_AFTER = 0.25
AGAIN_AT_MOST = 5.0


@dataclass(slots=True, frozen=True)
class Limits:
    """Sizes in bytes, spans in seconds."""

    queue: int = 100_000
    """Runs that may be queued or delayed at once in a tenant; more are refused with `TenantOverloaded`."""
    queue_wait: float = 0.0
    """How long a tenant's work for an agent may wait before more of it is refused; 0: as long as it takes."""
    session_queue: int = 1_000
    """Turns that may wait in one session."""
    signals: int = 10_000
    """Signals of one name a run takes."""
    steps: int = 100_000
    """Steps of one run; past it the run fails with `LimitReached`."""
    log_bytes: int = 1024 * 1024
    """What one attempt may print into the events of its run."""
    held_bytes: int = 16 * 1024 * 1024
    """Events of one attempt that wait while the records cannot be written; past it the host is asked to let go."""
    unkept_stream_bytes: int = 8 * 1024 * 1024
    """What is held for the readers of a run that is not kept."""
    scale: ScaleRule = field(default_factory=ScaleRule)
    """How many workers the work is said to want."""
    idempotency_ttl: float = 24 * 3600.0
    losses: int = 3
    """Attempts in a row, none of which finished a step, that may lose their host before the run fails (`host_lost`)."""
    depth: int = 32
    """How deep runs may call runs."""


class LiveRun(Protocol):
    """A run whose attempt is in this node."""

    run: Run
    kept: bool
    agent: Agent
    began_at: int

    @property
    def ended(self) -> "asyncio.Future[Run | None]": ...

    @property
    def open_waits(self) -> set[str]: ...

    @property
    def tools_at_work(self) -> set[str]:
        """Tools of calls that began, or were allowed to, and have not ended."""
        ...

    def cancel(self, reason: str, *, rollback: bool = False) -> None:
        """The run is to end `cancelled`: its host is told."""
        ...

    def expire(self) -> None:
        """The run is to end `failed` with `deadline_exceeded`: its host is told."""
        ...

    def let_go(self) -> None:
        """The node drains: the host is asked to end the attempt, and the run goes back to the queue."""
        ...

    def learn(self, rows: Sequence[StepRow]) -> None:
        """Ends of waits that others wrote: the host hears of each once."""
        ...

    def wake(self) -> None:
        """The time has gone on: what waits for it in memory looks at the clock."""
        ...


@dataclass(slots=True)
class World:
    records: Records
    bus: Bus
    clock: Clock
    entropy: Entropy
    worker: Worker
    limits: Limits = field(default_factory=Limits)
    receivers: Receivers = field(default_factory=Receivers)
    """Who is told of events, beside the webhooks of single runs."""
    sessions: SessionMemory = field(default_factory=SessionMemory)
    attempts: dict[tuple[str, str], LiveRun] = field(default_factory=dict)
    chores: "set[asyncio.Task[None]]" = field(default_factory=set)
    """What was started and nobody waits for; bounded by the attempts that start it."""
    queued: int = 0
    """About how many runs wait, and never too few: who ends a turn looks here for the next one."""
    backlogs: Backlogs = field(default_factory=Backlogs)
    """The same for each tenant and agent."""
    taken_in: int = 0
    """How many runs this node has queued: a count that was under way meanwhile has missed them."""
    named: dict[str, float] = field(default_factory=dict)
    """By agent: when a node was named last for something of it (`naming`)."""
    entering: dict[SessionName, int] = field(default_factory=dict)
    """How many turns of a session are being inserted: reads do not see them yet."""
    signalling: "WeakValueDictionary[tuple[str, str, str], asyncio.Lock]" = field(default_factory=WeakValueDictionary)
    """One sender at a time for each name of a run, since the number of a signal is read before it is written."""
    hot: HotStore | None = None
    """Short-term state that may be lost. None: there is none, as if it were away."""
    scratch: ScratchLimits = field(default_factory=ScratchLimits)
    """What one place of the hot store may hold."""
    outgoing: Outgoing = field(default_factory=Outgoing)
    """The calls of agents, of all hosts of this node."""
    links: ReviewLinks | None = None
    """How links to reviews are made; None: there are none."""
    seals: Seals = field(default_factory=Seals)
    keys: dict[str, Key] = field(default_factory=dict)
    """API keys by id; none: only this machine is let in."""
    names: dict[tuple[str, str], dict[str, Key]] = field(default_factory=dict)
    """The same keys by tenant and principal, then by id."""
    language: PolicyLanguage | None = None
    policies: dict[str, ActivePolicies] = field(default_factory=dict)
    """By tenant; a tenant without policies is asked nothing."""
    knows_rules: bool = False
    """The policies were read. Until then hosts propose every call, and none is answered: what a node has not read yet
    must not be taken for permission (I15)."""
    holds: dict[str, Hold] = field(default_factory=dict)
    """Holds that are placed, by id."""
    plans: dict[tuple[str, str], Plan] = field(default_factory=dict)
    """How runs are sampled, by tenant and agent."""
    sampling_keys: dict[str, bytes] = field(default_factory=dict)
    """By tenant: what chooses runs. It leaves this process for the records only."""
    standings: dict[tuple[str, str, Requirement], Standing] = field(default_factory=dict)
    """What was found out of releases that must have an evaluation, by agent and release."""
    signer: Signer | None = None
    """Who signs checkpoints of the audit log; None: there are none."""
    witnesses: tuple[Witness, ...] = ()
    archive: Archive | None = None
    is_traced: bool = False
    """Spans are recorded: a run that is claimed later looks up its trace."""
    on_end: RunEnded = lambda run, traceparent: None
    """Told of each run that this node gave its end, once that is known to stand, wherever the run was: in a host, in
    the queue, waiting, or with a node that is gone. Counting is for whoever listens."""
    is_draining: bool = False
    """Set at SIGTERM: new work is refused with `Draining`, streams are told to reconnect."""


def spawn(world: World, work: Coroutine[Any, Any, None]) -> None:
    """Starts what nobody waits for; a failure reaches the loop's exception handler and with it the log."""
    task = asyncio.get_running_loop().create_task(work)
    world.chores.add(task)
    task.add_done_callback(world.chores.discard)


async def persist(act: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Does what must be done, again and again until the records can be used. For chores only: nobody waits for them."""
    pause = AGAIN_AFTER
    while True:
        try:
            return await act()
        except RecordsUnavailable:
            await asyncio.sleep(pause)
            pause = min(pause * 2, AGAIN_AT_MOST)
