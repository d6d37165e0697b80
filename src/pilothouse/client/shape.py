"""What the node answers, as typed values with plain Python payloads.

The fields are those of the views in `wire`, and a test keeps them so. They are declared anew because a server passes a
payload on as bytes, while a caller wants the value; and because a client must be able to read what an older or newer
node says: fields it does not know are passed over, fields that are missing have a default.
"""

from typing import Any

from msgspec import Raw, Struct, field

from pilothouse.domain.event import TERMINAL_EVENTS
from pilothouse.domain.run import TERMINAL


class Usage(Struct, kw_only=True):
    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    cost_usd: float = 0.0


class Override(Struct, kw_only=True):
    id: str
    number: int = 1
    by: str = ""
    at: str = ""
    reason: str = ""
    changed: list[str] = field(default_factory=list)
    original: Any = None
    compensation: str | None = None
    value: Any = None


class OverridePage(Struct):
    items: list[Override]
    next_cursor: str | None = None


class Obstacle(Struct, kw_only=True):
    """Why a run does not go on."""

    kind: str
    message: str
    on: str | None = None


class Run(Struct, kw_only=True):
    id: str
    agent: str = ""
    release: str = ""
    mode: str = ""
    session: str | None = None
    status: str
    input: Any = None
    output: Any = None
    error: dict[str, Any] | None = None
    attempt: int = 1
    metadata: dict[str, Any] = field(default_factory=dict)
    tenant: str = ""
    created_at: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    usage: Usage = field(default_factory=Usage)
    subject: str | None = None
    priority: int = 0
    due_at: str | None = None
    deadline_at: str | None = None
    parent: str | None = None
    origin: str | None = None
    override: Override | None = None
    waits_for: Obstacle | None = None

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


class Step(Struct, kw_only=True):
    key: str
    kind: str = "step"
    name: str = ""
    status: str
    attempt: int = 1
    input: Any = None
    output: Any = None
    error: dict[str, Any] | None = None
    started_at: str = ""
    finished_at: str | None = None
    once: bool = False
    due_at: str | None = None


class Event(Struct):
    """One event of a run. `fields` is its whole object, with `run`, `seq` and `at`."""

    seq: int
    type: str
    fields: dict[str, Any]

    @property
    def run(self) -> str:
        return str(self.fields.get("run", ""))

    @property
    def is_terminal(self) -> bool:
        return self.type in TERMINAL_EVENTS


class Session(Struct, kw_only=True):
    key: str
    agent: str = ""
    tenant: str = ""
    turns: int = 0
    version: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    created_at: str = ""
    updated_at: str = ""
    expires_at: str | None = None


class Turn(Struct, kw_only=True):
    number: int
    run: str
    status: str = ""
    input: Any = None
    output: Any = None
    finished_at: str = ""


class Vote(Struct, kw_only=True):
    by: str = ""
    on_behalf_of: str | None = None
    at: str = ""
    reason: str = ""
    counts: bool = True


class Ballot(Struct, kw_only=True):
    """How far a decision of several people is. `refusal`: why you may not vote; None: you may."""

    roles: list[str] = []
    quorum: int = 1
    counted: int = 0
    votes: list[Vote] = []
    until: str | None = None
    requester: str = ""
    open_to: list[str] = []
    refusal: str | None = None


class Delegation(Struct, kw_only=True):
    """`to` may vote in the name of `by`."""

    id: str
    by: str = ""
    to: str = ""
    roles: list[str] = []
    until: str = ""


class DelegationPage(Struct):
    items: list[Delegation]
    next_cursor: str | None = None


class Review(Struct, kw_only=True):
    id: str
    run: str = ""
    agent: str = ""
    question: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    status: str
    created_at: str = ""
    expires_at: str | None = None
    answer: dict[str, Any] | None = None
    kind: str = "gate"
    step: str = ""
    decided_at: str | None = None
    override: Override | None = None
    ballot: Ballot | None = None


class Delivery(Struct, kw_only=True):
    id: str
    run: str = ""
    agent: str = ""
    type: str = ""
    receiver: str = ""
    status: str
    attempt: int = 0
    due_at: str | None = None
    reason: str | None = None
    created_at: str = ""
    finished_at: str | None = None


class Agent(Struct, kw_only=True):
    name: str
    mode: str = ""
    releases: list[str] = field(default_factory=list)
    description: str = ""
    input_schema: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] = field(default_factory=dict)
    keep: float | str = 0.0
    concurrency: int = 0
    timeout: float | None = None
    session_ttl: float | None = None


class RunPage(Struct):
    items: list[Run]
    next_cursor: str | None = None


class StepPage(Struct):
    items: list[Step]
    next_cursor: str | None = None


class TurnPage(Struct):
    items: list[Turn]
    next_cursor: str | None = None


class ReviewPage(Struct):
    items: list[Review]
    next_cursor: str | None = None


class SessionSummary(Struct, kw_only=True):
    """A session without its state."""

    key: str
    agent: str = ""
    turns: int = 0
    version: int = 0
    created_at: str = ""
    updated_at: str = ""
    expires_at: str | None = None


class SessionPage(Struct):
    items: list[SessionSummary]
    next_cursor: str | None = None


class Spread(Struct, kw_only=True):
    """Percentiles in seconds; None: nothing was measured."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Figures(Struct, kw_only=True):
    """`at` is set in a slice, `agent` in the figures of an agent."""

    at: str = ""
    agent: str = ""
    created: int = 0
    live: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    lasted: Spread = field(default_factory=Spread)
    waited: Spread = field(default_factory=Spread)


class Overview(Struct, kw_only=True):
    begin: str
    end: str
    covers_from: str = ""
    slice_seconds: float = 0.0
    total: Figures = field(default_factory=Figures)
    slices: list[Figures] = field(default_factory=list)
    agents: list[Figures] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    queue: dict[str, int] = field(default_factory=dict)
    reviews: dict[str, Any] = field(default_factory=dict)


class Cost(Struct, kw_only=True):
    name: str = ""
    calls: int = 0
    unpriced_calls: int = 0
    untold_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_tokens: int = 0
    cost_usd: float = 0.0


class Forecast(Struct, kw_only=True):
    """US dollars of the month; it lies between `low_usd` and `high_usd` with `share` of confidence."""

    month: str
    spent_usd: float
    expected_usd: float
    low_usd: float
    high_usd: float
    share: float
    days: int
    method: str


class Costs(Struct, kw_only=True):
    first_day: str
    last_day: str
    group: str
    items: list[Cost]
    is_whole: bool
    total: Cost
    forecast: Forecast | None = None


class Alert(Struct, kw_only=True):
    agent: str
    objective: str = ""
    severity: str = ""
    since: str = ""
    measured: float = 0.0
    expected: float = 0.0
    window_seconds: int = 0
    summary: str = ""
    resolved_at: str | None = None


class AlertPage(Struct):
    items: list[Alert]
    next_cursor: str | None = None


class Schedule(Struct, kw_only=True):
    name: str
    agent: str = ""
    status: str = "active"
    cron: str | None = None
    every_seconds: float | None = None
    at: str | None = None
    zone: str = "UTC"
    input: Any = None
    session: str | None = None
    subject: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    misfire: str = ""
    overlap: str = ""
    jitter_seconds: float = 0.0
    origin: str = ""
    next_at: str | None = None
    last_at: str | None = None
    last_run: str | None = None
    waiting: int = 0
    left_out: int = 0
    problem: str | None = None


class SchedulePage(Struct):
    items: list[Schedule]
    next_cursor: str | None = None


class FiringPage(Struct):
    items: list[str]


class Source(Struct, kw_only=True):
    name: str
    kind: str = ""
    agent: str = ""
    taken: int = 0
    repeated: int = 0
    dead: int = 0
    given_back: int = 0
    problem: str | None = None


class SourcePage(Struct):
    items: list[Source]


class DeadLetter(Struct, kw_only=True):
    id: str
    source: str = ""
    key: str = ""
    reason: str = ""
    at: str = ""
    text: str | None = None
    encoding: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


class DeadLetterPage(Struct):
    items: list[DeadLetter]
    next_cursor: str | None = None


class Taken(Struct):
    outcome: str
    run: str | None = None
    reason: str | None = None


class TakenPage(Struct):
    items: list[Taken]


class DeliveryPage(Struct):
    items: list[Delivery]
    next_cursor: str | None = None


class AgentPage(Struct):
    items: list[Agent]
    next_cursor: str | None = None


class EventPage(Struct):
    items: list[dict[str, Any]]
    next_cursor: str | None = None


class AuditPage(Struct):
    items: list[Raw]
    next_cursor: str | None = None


class Checkpoint(Struct):
    note: str
    size: int
    key: str


class Key(Struct, kw_only=True):
    id: str
    name: str = ""
    kind: str = ""
    scopes: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    state: str = ""
    created_at: str = ""
    created_by: str = ""
    expires_at: str | None = None
    revoked_at: str | None = None


class NewKey(Struct, kw_only=True):
    text: str
    key: Key


class KeyPage(Struct):
    items: list[Key]
    next_cursor: str | None = None


class PolicyFault(Struct):
    path: str
    message: str


class PolicyCheck(Struct):
    version: str
    faults: list[PolicyFault] = field(default_factory=list)


class Ask(Struct):
    role: str = ""
    quorum: int = 1
    within_seconds: float | None = None


class Ruling(Struct):
    verdict: str
    policies: list[str] = field(default_factory=list)
    reason: str = ""
    ask: Ask | None = None


class Compared(Struct, kw_only=True):
    run: str
    step: str
    tool: str
    difference: str
    before: Ruling
    after: Ruling


class Comparison(Struct, kw_only=True):
    version: str
    actions: int = 0
    same: int = 0
    newly_denied: int = 0
    newly_asked: int = 0
    newly_allowed: int = 0
    examples: list[Compared] = field(default_factory=list)


class Policies(Struct, kw_only=True):
    version: str
    text: str = ""
    mode: str = "enforce"
    activated_at: str = ""
    activated_by: str = ""
    signed_by: str | None = None


class PolicyState(Struct):
    active: Policies | None = None


class Activated(Struct):
    active: Policies
    comparison: Comparison


class Hold(Struct, kw_only=True):
    id: str
    status: str = ""
    effect: str = ""
    selector: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    placed_at: str = ""
    placed_by: str = ""
    effective_at: str | None = None
    effective_after_seconds: float | None = None
    lifted_at: str | None = None
    lifts: list[str] = field(default_factory=list)
    takes_two: bool = False


class HoldPage(Struct):
    items: list[Hold]
    next_cursor: str | None = None


class AgentScale(Struct, kw_only=True):
    agent: str
    ready: int
    running: int
    oldest_wait_seconds: float
    busy: float
    run_seconds: float | None


class Scale(Struct, kw_only=True):
    """How many workers are `wanted`, and why."""

    wanted: int
    workers: int
    places: int
    ready: int
    running: int
    oldest_wait_seconds: float
    busy: float
    agents: list[AgentScale]
