"""The run: one execution of one release of one agent on one input, and the table of its states.

Theory: a run that was acknowledged is `queued` or born `running`; an attempt holds it under a lease with an epoch; a
long wait parks it (`waiting`) and a row with a time, or an answer from outside, queues it again. `succeeded`,
`failed` and `cancelled` are absorbing (I1). Every claim raises `epoch`, which every write of the attempt must match
(I6); `attempt` rises only when the one before was lost or failed, so that a run that slept often is not a run that
failed often.
"""

from typing import Literal

from msgspec import Struct

Status = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled"]
Mode = Literal["stateless", "session", "event"]
OnBusy = Literal["enqueue", "reject", "interrupt", "rollback"]

TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})
LIVE: frozenset[str] = frozenset({"queued", "running", "waiting"})

TRANSITIONS: dict[str, frozenset[str]] = {
    "queued": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"waiting", "queued", "succeeded", "failed", "cancelled"}),
    "waiting": frozenset({"queued", "cancelled", "failed"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
"""From each state, where a run may go. `running -> queued`: a retry, a lost lease, an answer that overtook a park."""

EMPTY_OBJECT = b"{}"
NULL = b"null"


class Run(Struct, kw_only=True):
    """A run as the records keep it. Instants are microseconds since 1970 UTC; payloads are JSON bytes."""

    tenant: str
    id: str
    agent: str
    release: str
    mode: Mode
    session: str | None = None
    subject: str | None = None
    status: Status
    priority: int = 0
    input: bytes = NULL
    output: bytes | None = None
    error: bytes | None = None
    metadata: bytes = EMPTY_OBJECT
    usage: bytes | None = None
    attempt: int = 1
    epoch: int = 0
    losses: int = 0
    """How many attempts lost their host or worker; the limit turns the run into `failed` with `host_lost`."""
    wakes: int = 0
    """How many answers (signals, reviews, called runs) came from outside; a park that saw fewer is queued at once."""
    owner: str | None = None
    lease_until: int | None = None
    ready: bool = True
    """Queued and claimable now. False: delayed until `due_at`, or behind another turn of its session."""
    due_at: int | None = None
    """When a delayed, retried or waiting run is to be queued."""
    deadline_at: int | None = None
    cancel_at: int | None = None
    """When a cancel was asked for. From then on the only end the run may have is `cancelled`."""
    cancel_reason: str | None = None
    rollback: bool = False
    """The cancel that was asked for also takes the turn out of its session, as if it never was."""
    parent: str | None = None
    parent_key: str | None = None
    origin: str | None = None
    """The run that this one retries or was forked from."""
    created_at: int
    started_at: int | None = None
    finished_at: int | None = None
    webhook: bytes | None = None
    """Where the request wanted to be told of this run: a `delivery.Webhook`."""
    started_by: str = ""
    """The principal that started it; of a called run, who started the first one."""
    overrides: bytes | None = None
    """What superseded its outcome, as a JSON list of `override.Override`; the outcome itself stays."""
    superseded: int = 0
    """How many overrides there are."""

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


def may_become(before: str, after: str) -> bool:
    """Whether the table allows the transition."""
    return after in TRANSITIONS[before]
