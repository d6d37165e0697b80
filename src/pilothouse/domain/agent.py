"""The agent as the node knows it: its name, its execution model, its release and its limits.

A host describes what it loaded; the settings overrule it. The node never has the user's types: it has their JSON
schemas and asks a host whether an input fits.
"""

from msgspec import Struct

from pilothouse.domain.decision import Decision
from pilothouse.domain.evaluation import Requirement
from pilothouse.domain.policy import Tool
from pilothouse.domain.retry import Retry
from pilothouse.domain.run import Mode
from pilothouse.domain.vote import Handling

KEEP_ALL = 1.0


class Agent(Struct, kw_only=True, frozen=True):
    name: str
    mode: Mode
    release: str
    description: str = ""
    keep: float | str = 0.0
    """Of stateless runs only: the share that is kept (0.0 to 1.0), or "errors"."""
    concurrency: int = 0
    """How many runs of this agent may run at once in this deployment; 0: as many as there are slots."""
    retry: Retry = Retry(attempts=1)
    timeout: float | None = None
    """Seconds one attempt may run without waiting; then it is failed with `deadline_exceeded`."""
    session_ttl: float | None = None
    """Seconds after its last turn when a session is swept."""
    history_limit: int = 100
    """How many past turns an attempt is given."""
    keeps_trail: bool = False
    """Its framework adds to a history of its own, which an attempt is given."""
    input_schema: bytes = b"{}"
    output_schema: bytes = b"{}"
    tools: tuple[Tool, ...] = ()
    """All that its host knows of."""
    on_release_change: str = "stop"
    """What a run does whose release is not served any more: "stop" (fail loudly) or "continue" (on the new code, as
    long as that asks for the recorded steps)."""
    decision: Decision | None = None
    """What it decides about people, if it does."""
    appeals: Handling | None = None
    """Who answers appeals against it; None: anybody who may decide, within thirty days."""
    incidents: Handling | None = None
    """Who answers its incidents. When it is there, an alert about the agent or a hold that stops it opens one."""
    evaluation: Requirement | None = None
    """What a release must have scored before runs of it are taken in; None: nothing."""
    text_input: bool = False
    """Any JSON string is a good input."""
    free_input: bool = False
    """Any JSON is a good input: the node need not ask a host."""
    exact_schema: bool = False
    """No input that does not fit `input_schema` is a good one: a node without a host may say so."""
