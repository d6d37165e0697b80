"""What the composition root tells this room: how many hosts, how large, and what the settings say of each agent.

The room never reads the environment or a file: what is not in these options has its default here. What a person may
write, and whether it makes sense, is checked in `settings` before anything is built.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pilothouse.compute.environment.build import EnvironmentOptions
from pilothouse.compute.outgoing import OutgoingOptions
from pilothouse.domain.decision import Decision
from pilothouse.domain.evaluation import Requirement
from pilothouse.domain.retry import Retry
from pilothouse.domain.secret import Secret
from pilothouse.domain.vote import Handling
from pilothouse.wire.host import PoolConfig, ToolWords


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What the settings say of one agent; None leaves the word to its decorator or the default. Spans in seconds."""

    target: str
    environment: str | tuple[str, ...] | None = None
    """What it needs installed: a folder, a file, or requirements. None: what the node itself has."""
    python: str | None = None
    mode: str | None = None
    keep: float | str | None = None
    concurrency: int = 0
    timeout: float | None = None
    retry: Retry | None = None
    decision: Decision | None = None
    appeals: Handling | None = None
    incidents: Handling | None = None
    evaluation: Requirement | None = None
    is_inline: bool = False
    on_release_change: str = "stop"
    history_limit: int = 100
    session_ttl: float | None = None
    loads_within: float | None = None
    """How long a host may take to load it; None: as long as any."""
    tools: dict[str, ToolWords] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    """What its framework is to be told for a run."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """`project` is the folder that goes first on the import path of hosts. Spans in seconds, memory in bytes."""

    project: str
    agents: dict[str, AgentOptions]
    hosts: int = 1
    spares: int = 0
    """Hosts in reserve in each environment."""
    slots: int = 256
    """Attempts at once in one host."""
    tenant_share: float = 0.8
    """Of the places, so many may be taken by whoever comes first, once more than one tenant was seen."""
    park_after: float = 1.0
    cancel_grace: float = 5.0
    threads: int = 32
    memory: int = 0
    cores: int = 0
    answers_within: float = 10.0
    """A host that says nothing for so long, although it was asked, is ended: its runs get another attempt."""
    loads_within: float = 60.0
    restart_after: float = 0.1
    restart_at_most: float = 5.0
    variables: dict[str, str] = field(default_factory=dict)
    """Variables that hosts get beside those of the node."""
    environments: EnvironmentOptions | None = None
    """None: in the folder `.pilothouse/environments` of the project."""
    is_alone: bool = True
    """No other node can have the records: what others hold there is orphaned."""
    pools: dict[str, PoolConfig] = field(default_factory=dict)
    """Of heavy steps, by name."""
    outgoing: OutgoingOptions = field(default_factory=OutgoingOptions)
    secrets: tuple[Secret, ...] = ()
    scrub: Callable[[str], str] = str
    """Applied to whatever user code prints, before it is kept or logged."""
    retention_days: float = 0.0
    """Ended runs outside of sessions are removed after so many days; 0: never."""
    agent_retention_days: dict[str, float] = field(default_factory=dict)
    """Of agents that say it themselves, whether this node hosts them or not."""
    tenant_retention_days: dict[str, float] = field(default_factory=dict)
    checkpoint_every: float = 60.0

    def time_to_load(self, names: Iterable[str]) -> float:
        """Seconds that a host of these agents may take to come up."""
        said = [self.agents[name].loads_within for name in names]
        return max((self.loads_within if one is None else one for one in said), default=self.loads_within)
