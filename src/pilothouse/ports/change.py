"""One Change: what a verb wants to become durable, as a short list of named statements with what each expects.

Each class here is one named statement in `storage/records/*.sql` (the name in snake case); its fields, in order, are
the columns of one row. Statements come in three sorts:

- `Check`: looks, changes nothing. It stands when its row is as expected.
- `Act`: changes a row that must be as expected. It stands when it touched its row.
- `Row`: appends; nothing to expect.

A Change stands whole or not at all: if any of its checks or acts falls, none of it is applied and its caller gets the
`Conflict` with the name of the statement that fell. The Changes beside it in the same transaction are not touched by
that. Changes are applied in the order in which they were handed over; a later one sees what an earlier one did.
All instants are microseconds since 1970 UTC, all payloads JSON bytes. `tenant` and the id come first in every row.
"""

from msgspec import Struct

from pilothouse.domain.journal import StepRow

MORE = "more"
"""The status of an Act that has done a part and wants to be asked again."""


class Statement(Struct, array_like=True, gc=False):
    """A named statement with one row of values."""

    tenant: str
    id: str

    @property
    def key(self) -> tuple[str, str]:
        return self.tenant, self.id


class Check(Statement):
    """Looks, changes nothing."""


class Act(Statement):
    """Changes a row that must be as expected."""


class Row(Statement):
    """Appends."""


# --- runs: `id` is the run ------------------------------------------------------------------------------------------


class InsertRun(Act):
    """A new run; falls when the id is taken. `Receipt.status` tells what it became.

    With a session, a run asked to be `running` (born claimed) or ready that finds another live turn of its session is
    inserted `queued`, not ready, without owner, lease and `started_at`, and with epoch 0. The same happens, with
    `cancel_at` set, when a cancel of this id was remembered (`RememberCancel`)."""

    agent: str
    release: str
    mode: str
    session: str | None
    subject: str | None
    status: str
    priority: int
    input: bytes
    metadata: bytes
    attempt: int
    epoch: int
    owner: str | None
    lease_until: int | None
    ready: bool
    due_at: int | None
    deadline_at: int | None
    parent: str | None
    parent_key: str | None
    origin: str | None
    created_at: int
    started_at: int | None
    webhook: bytes | None = None
    started_by: str = ""


class KeepRun(Act):
    """A run that had no records until it ended (a stateless run that is kept after all); falls when the id is taken."""

    agent: str
    release: str
    subject: str | None
    status: str
    input: bytes
    output: bytes | None
    error: bytes | None
    metadata: bytes
    usage: bytes | None
    attempt: int
    created_at: int
    started_at: int | None
    finished_at: int


class InsertIdempotency(Act):
    """Binds an idempotency key (`id`) to a run for a time; falls when the key is bound and not expired at `at`."""

    digest: bytes
    run: str
    at: int
    expires_at: int


class Fence(Check):
    """The run is running, and the attempt with this epoch holds it."""

    epoch: int


class FinishRun(Act):
    """running -> an end, by the attempt with this epoch. Falls when a cancel was asked for and the end is another one.
    Clears owner, lease, due_at, and ready."""

    epoch: int
    status: str
    output: bytes | None
    error: bytes | None
    usage: bytes | None
    finished_at: int


class EndIdleRun(Act):
    """queued or waiting -> an end, by nobody's attempt. Raises the epoch. Falls when a cancel was asked for and the end
    is another one."""

    status: str
    error: bytes | None
    finished_at: int


class EndLostRun(Act):
    """running -> an end, by somebody else than its attempt (a cancel that the attempt does not obey, a lost host).
    Falls unless the epoch matches, and when a cancel was asked for and the end is another one; raises the epoch, so
    that the attempt can write no more."""

    epoch: int
    status: str
    error: bytes | None
    finished_at: int


class ParkRun(Act):
    """running -> waiting, by the attempt with this epoch, until `due_at` (None: only an answer wakes it). When the run
    has more wakes than the attempt saw, or a cancel was asked for, it goes to queued and ready instead;
    `Receipt.status` tells which. Clears owner and lease."""

    epoch: int
    wakes: int
    due_at: int | None


class RequeueRun(Act):
    """running -> queued, by whoever holds this epoch (a retry, a drain, a lost host). `due_at` None: ready at once.
    Sets attempt and losses. Raises the epoch, clears owner and lease. With `held` it is not ready before that hold is
    lifted (`Records.release_held`); a turn of a session keeps its place."""

    epoch: int
    attempt: int
    losses: int
    due_at: int | None
    held: str | None = None


class WakeRun(Act):
    """An answer from outside: counts it; a waiting run becomes queued and ready (and loses its `due_at`). Falls when
    the run has ended. `Receipt.status` is the status after it."""


class RequestCancel(Act):
    """Notes that a cancel was asked for (the first instant and reason stay). Falls when the run has ended."""

    cancel_at: int
    reason: str
    rollback: bool


class AdvanceSession(Row):
    """`id` is the session key: makes its oldest due queued turn ready, when no other turn is live and ready."""

    agent: str
    at: int


# --- journal and events: `id` is the run ----------------------------------------------------------------------------


class AppendStep(Row):
    """One journal row of an attempt; the Change also holds a `Fence` or an Act with the epoch."""

    row: StepRow


class ResolveStep(Act):
    """The end of a wait. Falls when the step has an end already: of racing ends one wins, the other learns it."""

    row: StepRow


class AppendEvents(Row):
    """Events of one run, kept as one segment: `lines` as `domain.event.line` makes them. The records number them;
    `Receipt.seq` is the first. At most one in a Change for each run."""

    at: int
    count: int
    lines: bytes


# --- sessions: `id` is the session key ------------------------------------------------------------------------------


class TakeTurn(Act):
    """Adds a turn and saves the state: inserts the session, or updates it when its version is the expected one.
    `state` None: the state and its version stay as they are (and the version is not looked at)."""

    agent: str
    run: str
    version: int
    state: bytes | None
    at: int
    expires_at: int | None
    trail: bytes | None = None
    is_whole: bool = False
    """With a trail: those of the turns before are not needed any more."""


class WriteState(Act):
    """Replaces the state when the version is the expected one and no turn is running or waiting; raises the version."""

    agent: str
    version: int
    state: bytes
    at: int


class ForkSession(Act):
    """A new session `id` with the turns of `source` up to the run `after` (None: all of them) and `state`.
    Falls when `id` exists."""

    agent: str
    source: str
    after: str | None
    state: bytes
    at: int
    expires_at: int | None


class TrimSession(Act):
    """Removes the oldest runs and turns of a session, at most `limit` of each, so that a long one is dropped in rounds.
    `Receipt.status` is MORE when there may be more. Falls when it does not exist or a turn is live."""

    agent: str
    limit: int


class DropSession(Act):
    """Removes a session, its turns and its ended runs with their steps and events. Falls when it does not exist or a
    turn is live."""

    agent: str


# --- reviews: `id` is the review ------------------------------------------------------------------------------------


class InsertReview(Row):
    """A new open review; does nothing when the id exists (a repeated attempt asks again)."""

    run: str
    step: str
    agent: str
    kind: str
    question: str
    details: bytes
    created_at: int
    expires_at: int | None


class CloseReview(Act):
    """open -> decided | expired | cancelled. Falls when it is not open."""

    status: str
    answer: bytes | None
    at: int


class ExtendReview(Act):
    """An open review is looked at again at another time. Falls when it is not open."""

    expires_at: int | None


class CancelReviews(Row):
    """`id` is a run that ended: its open reviews become cancelled, but for those about what was done (`audit`). For
    each of them the log gets `entry`, a JSON object on one line to which the records add the `id` of the review: only
    they know in the transaction which those are."""

    at: int
    entry: bytes


class SupersedeRun(Act):
    """Writes what superseded the outcome of a run that has ended; the outcome itself stays. Falls unless it has ended
    and was superseded that often before."""

    superseded: int
    overrides: bytes


class SupersedeReview(Act):
    """The same for the answer of a review. Falls also while its run has not ended: it may be acting on the answer."""

    run: str
    superseded: int
    overrides: bytes


class RememberCancel(Act):
    """`id` is a run id that is not known yet: should it come before `expires_at`, it is cancelled at once. Falls when
    the run is there already."""

    at: int
    expires_at: int


# --- evidence and oversight -----------------------------------------------------------------------------------------


class AppendAudit(Row):
    """An entry of the audit log of the tenant; `id` is what it tells of. `entry` is a JSON object on one line, without
    a number: the records number the entries of a tenant 1..n in the order of the commits."""

    entry: bytes


class AddSpend(Row):
    """Adds to what a scope has used in a period; `id` is the name of what is capped, see `engine.ledger`."""

    scope: str
    period: str
    tokens: int
    cost_nano: int
    """Billionths of a US dollar."""
    model_calls: int
    tool_calls: int
    steps: int
    wall_us: int
    at: int


class AddCost(Row):
    """Adds to what model calls of a day have used and cost; `id` is the agent. `session` '' is for all of them
    together. `unpriced`: calls without a price; `untold`: calls of which nobody knows the tokens."""

    session: str
    day: str
    provider: str
    model: str
    calls: int
    unpriced: int
    untold: int
    input_tokens: int
    output_tokens: int
    cache_tokens: int
    cost_nano: int
    """Billionths of a US dollar."""
    at: int


class WriteDocument(Act):
    """A small JSON document that changes rarely (a key, a hold, a policy). `id` is unique in the tenant whatever the
    kind. Falls unless the document has `version` (0: it does not exist); raises it by one. `body` None removes it."""

    kind: str
    version: int
    state: str
    body: bytes | None
    at: int


# --- deliveries: `id` is the delivery, or the receiver ---------------------------------------------------------------


class InsertDelivery(Row):
    """A notification that is to go out, pending, with attempt 0 and due at once."""

    run: str
    agent: str
    type: str
    receiver: str
    lane: str | None
    body: bytes
    at: int


class SettleDelivery(Act):
    """What came of one try: pending -> pending, delivered or dead. Falls when it is not pending, or when another
    attempt has been made meanwhile."""

    attempt: int
    status: str
    due_at: int | None
    reason: str | None
    finished_at: int | None


class RetryDelivery(Act):
    """Due at once, with all tries before it. Falls when it does not exist."""

    at: int


class StopReceiver(Row):
    """The receiver has said that it wants no more."""

    at: int
    reason: str


class AllowReceiver(Row):
    """The receiver is asked again."""


class Change(Struct, gc=False):
    """Checks are looked at first, then acts in order, then rows in order."""

    statements: tuple[Statement, ...]


class Receipt(Struct, gc=False):
    """What became of a Change. `seq` is the first number of its events, `status` the status after an Act on a run."""

    seq: int = 0
    status: str = ""


class Conflict(Exception):
    """An expectation of a Change fell; nothing of it was applied. `statement` is the name of what fell."""

    def __init__(self, statement: str, key: tuple[str, str]) -> None:
        super().__init__(f"{statement} {key}")
        self.statement = statement
        self.key = key


class Refused(Exception):
    """The records cannot hold this Change for what it is (a step or event that is there already, a value out of its
    range): a fault of the code that made it. Nothing of it was applied, and trying again does not help."""

    def __init__(self, statements: str, reason: str) -> None:
        super().__init__(f"{statements}: {reason}")
