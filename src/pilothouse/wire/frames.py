"""What travels between node and host: length-prefixed msgpack, many messages in one frame and one write a tick.

The host has the user's code; it asks, reports and emits. The node decides, makes durable and answers. User payloads
stay JSON *bytes* on the whole way: only the host decodes them, against the agent's own types. A run on a link is a
**slot**, a small number that the node gives and takes back after the end of the attempt. A step is named by a `ref`
that the host counts up for each attempt, so that an acknowledgement is two numbers.

The conversation of one attempt:
  node -> host  Start, then Acks (steps that are durable), Resolved (a wait ended), Cancel
  host -> node  StepStarted, StepEnded, Waiting, Emit, Log, then exactly one of Finished, Failed, Parked, Rejected
A host that was started says Hello first; frames of a version it does not know end the link.
"""

import struct
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from pilothouse.domain.journal import StepRow
from pilothouse.domain.price import Price, Tokens
from pilothouse.domain.scratch import ScratchAnswer, ScratchWish
from pilothouse.domain.secret import Secret
from pilothouse.domain.session import Trail, Turn

VERSION = 1
LENGTH = struct.Struct("<I")
FRAME_LIMIT = 64 * 1024 * 1024
"""Bytes of one frame. A larger one ends the link."""
SLOTS = 4096
"""Attempts at once on one link."""


class Message(Struct, array_like=True):
    """The base of everything that travels here."""


_pack = msgspec.msgpack.Encoder().encode
_read_history = msgspec.msgpack.Decoder(list[Turn]).decode
NO_HISTORY = Raw(_pack([]))


def pack_history(turns: Sequence[Turn]) -> Raw:
    return Raw(_pack(turns)) if turns else NO_HISTORY


def read_history(packed: Raw) -> list[Turn]:
    return _read_history(packed)


# --- host -> node ---------------------------------------------------------------------------------------------------


class AgentDescription(Struct, array_like=True):
    """What the host found behind a target. `problem` is set instead when it could not be loaded."""

    name: str
    mode: str = "stateless"
    release: str = ""
    description: str = ""
    keep: float | str = 0.0
    retry: bytes = b"null"
    """JSON of `domain.retry.Retry`, or null."""
    timeout: float | None = None
    input_schema: bytes = b"{}"
    output_schema: bytes = b"{}"
    free_input: bool = False
    wants_history: bool = False
    problem: str | None = None
    text_input: bool = False
    keeps_trail: bool = False
    tools: bytes = b"[]"
    """JSON list of `domain.policy.Tool`: all that the host knows of, whoever calls them."""
    decision: bytes = b"null"
    """JSON of `domain.decision.Decision`, or null."""
    exact_schema: bool = False
    """What does not fit the schema of the input is refused by the host too."""


class Hello(Message, tag=0):
    version: int
    pid: int
    agents: list[AgentDescription]


class StepStarted(Message, tag=1):
    """A step began. With `durable`, the host waits for the Ack before it goes on (`once` steps and waits); without, it
    is only told to those who watch."""

    slot: int
    ref: int
    durable: bool
    row: StepRow


class StepEnded(Message, tag=2):
    """A step ended; the host gives the result to the agent only after the Ack. `started` tells whether a StepStarted
    went before."""

    slot: int
    ref: int
    started: bool
    row: StepRow


class AskReview(Message, tag=3):
    """The step `row` (begun, kind `review`) waits for a person. Acked once the review is open."""

    slot: int
    ref: int
    row: StepRow
    question: str
    details: bytes
    kind: str
    expires_at: int | None


class CallAgent(Message, tag=4):
    """The step `row` (begun, kind `call`) waits for a run of another agent. Acked once that run is durable."""

    slot: int
    ref: int
    row: StepRow
    agent: str
    input: bytes


class Emit(Message, tag=5):
    """An `output.delta`: any JSON value. With `event`, an event of that type whose object is `delta`."""

    slot: int
    delta: bytes
    event: str = ""


class Log(Message, tag=6):
    """A line that user code printed. `slot` -1: outside of any run."""

    slot: int
    stream: str
    text: str


class Finished(Message, tag=7):
    """The attempt returned. `state` None: the session's state did not change. `usage`: JSON over the whole journal.
    `trail`: what the framework added to its own history."""

    slot: int
    output: bytes
    state: bytes | None = None
    usage: bytes | None = None
    trail: Trail | None = None


class Failed(Message, tag=8):
    """The attempt raised. `error` is JSON {code, message, hint}; `kinds` the names of the error's type and of those it
    derives from; `traceback` is the user's own, for the log and for `dev`."""

    slot: int
    error: bytes
    kinds: list[str]
    traceback: str = ""
    usage: bytes | None = None
    retryable: bool = True


class Parked(Message, tag=9):
    """The attempt ended in a wait; it starts again when one ends. `due_at`: the earliest that ends by itself."""

    slot: int
    due_at: int | None
    usage: bytes | None = None


class Rejected(Message, tag=10):
    """The input does not fit: JSON list of {path, message}. No user code ran."""

    slot: int
    faults: bytes


class Checked(Message, tag=11):
    """The answer to Check; `faults` None: the input fits."""

    ref: int
    faults: bytes | None


class Stopped(Message, tag=12):
    """The attempt ended because of Cancel. No end of its own: the node decides what the run becomes."""

    slot: int
    usage: bytes | None = None


class Pong(Message, tag=13):
    ref: int


class AskCall(Message, tag=20):
    """May this call be made? Answered by CallGranted or CallDenied, maybe later: then it waited in line. Tokens are
    estimates. `is_step`: it becomes a step of its own. `raised`: budgets that a person has granted once more to this
    run, by name (`run.tokens`). `is_spare`: it is sent beside one that is under way, or not at all: no waiting."""

    slot: int
    ref: int
    kind: Literal["model", "tool", "step"]
    provider: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    is_step: bool = False
    raised: dict[str, int] = {}
    is_spare: bool = False


class SettleCall(Message, tag=21):
    """What came of a call that was granted (or was asked for and is wanted no more). `wait`: seconds the provider wants
    to be left alone. `tokens` None: unknown. `is_billed`: it failed after the provider had begun to answer."""

    slot: int
    ref: int
    outcome: Literal["ok", "failed", "refused", "throttled", "dropped", "lost"]
    tokens: Tokens | None = None
    cost: float = 0.0
    wait: float = 0.0
    is_billed: bool = False


class UseScratch(Message, tag=28):
    """Reads or changes the scratch of the session, or with `is_agents` that of the agent. Answered by ScratchUsed; see
    `domain/scratch.ScratchWish`."""

    slot: int
    ref: int
    wish: ScratchWish


class ProposeAction(Message, tag=14):
    """The step `key` wants to call a tool with these arguments (a JSON object). Answered by Decided."""

    slot: int
    ref: int
    key: str
    tool: str
    risk: str
    arguments: bytes


# --- node -> host ---------------------------------------------------------------------------------------------------


class Start(Message, tag=32):
    slot: int
    tenant: str
    run: str
    agent: str
    release: str
    mode: str
    attempt: int
    input: bytes
    kept: bool
    """False: nothing of this run is durable; steps are acked at once by the host itself and no rows are sent."""
    stream: bool
    """Somebody may watch: Emit is wanted. False only for runs that are not kept and that nobody streams."""
    metadata: bytes
    subject: str | None
    session: str | None
    state: bytes
    history: Raw
    """The turns before this one, see `pack_history`: read only by an agent that looks at them."""
    journal: list[StepRow]
    now: int
    """The node's clock: the host derives its own from this and its monotonic clock."""
    strict: bool
    """The journal was written by another release: a new step before all recorded ones were asked for diverges."""
    retry_of: str | None = None
    trails: list[Trail] = []
    """What the framework of the agent added in the turns before, from the last whole one on."""
    deadline_at: int | None = None
    """When the run or this attempt is over whatever happens: nothing is tried again beyond it."""
    traceparent: str | None = None
    """What the run's outgoing calls say of the trace they belong to."""


class Acks(Message, tag=33):
    """These refs are durable."""

    slot: int
    refs: list[int]


class Resolved(Message, tag=34):
    """A wait of this attempt has ended (the row is durable already)."""

    slot: int
    row: StepRow


class Cancel(Message, tag=35):
    """Ends the attempt: the agent's task is cancelled. The host answers with Stopped (or what came before it)."""

    slot: int
    reason: str


class Abandon(Message, tag=36):
    """The node has given up the slot: what the attempt says from now on is dropped. The host cancels what it can."""

    slot: int


class Check(Message, tag=37):
    """Does this input fit the agent? Answered by Checked."""

    ref: int
    agent: str
    input: bytes


class Ping(Message, tag=38):
    ref: int


class Drain(Message, tag=39):
    """No Start will come any more; the host ends by itself when its last attempt has ended and the link is closed."""


class CallGranted(Message, tag=50):
    slot: int
    ref: int
    price: Price | None = None


class ScratchUsed(Message, tag=58):
    slot: int
    ref: int
    answer: ScratchAnswer


class KnowSecrets(Message, tag=52):
    """All there are; the host puts them in at its border and tells them to nobody."""

    secrets: list[Secret]


class CallDenied(Message, tag=51):
    """`status`: what a provider would answer in this case; 0: a budget is used up, and the run ends. `budget`: its
    name; `asks`: a person may grant it once more. `hit`: JSON of what stands in the way."""

    slot: int
    ref: int
    status: int
    code: str
    message: str
    retry_after: float = 0.0
    budget: str = ""
    asks: bool = False
    hit: bytes = b"{}"


class Decided(Message, tag=40):
    """The answer to ProposeAction: a row of the kind `gate`, whose output is what the host is to do."""

    slot: int
    ref: int
    row: StepRow


class Rules(Message, tag=41):
    """Whether calls of tools are to be proposed before they run. Comes first when they are, and whenever that
    changes."""

    is_gated: bool


ToNode = (
    Hello
    | StepStarted
    | StepEnded
    | AskReview
    | CallAgent
    | Emit
    | Log
    | Finished
    | Failed
    | Parked
    | Rejected
    | Checked
    | Stopped
    | Pong
    | AskCall
    | SettleCall
    | ProposeAction
    | UseScratch
)
ToHost = (
    Start
    | Acks
    | Resolved
    | Cancel
    | Abandon
    | Check
    | Ping
    | Drain
    | CallGranted
    | CallDenied
    | KnowSecrets
    | Decided
    | Rules
    | ScratchUsed
)
