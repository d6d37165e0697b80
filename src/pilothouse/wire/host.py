"""What a host process is told when it is started: one JSON argument, `python -m pilothouse.sdk.host JSON`.

There is nothing secret in it: arguments can be read by other programs of the machine.
"""

from typing import Any

from msgspec import Struct

from pilothouse.domain.egress import HostRule, Mode
from pilothouse.domain.fallback import Fallback, Place
from pilothouse.domain.hedge import HedgeRule
from pilothouse.domain.policy import Risk
from pilothouse.domain.provider import Below


class ToolWords(Struct, frozen=True, kw_only=True):
    """What the settings say of a tool; None leaves the word to the tool itself."""

    risk: Risk | None = None
    labels: tuple[str, ...] | None = None
    once: bool | None = None
    needs: tuple[str, ...] | None = None


class AgentTarget(Struct, frozen=True, kw_only=True):
    """Where an agent is and what the settings say of it; None leaves the word to the decorator or the default."""

    target: str
    mode: str | None = None
    keep: float | str | bool | None = None
    timeout: float | None = None
    egress: tuple[HostRule, ...] = ()
    """Hosts that it may connect to."""
    asks: tuple[str, ...] = ()
    """What the node is asked before: `model`, `tool`, `step`."""
    is_limited: bool = False
    """A budget or a limit looks at its model calls, so that none may be made without asking."""
    tools: dict[str, ToolWords] = {}
    """By the name of the tool."""
    options: dict[str, Any] = {}
    """For its framework: what the framework takes for a run."""


class EgressConfig(Struct, frozen=True, kw_only=True):
    """The border of a host. `networks`: private ones that names may lead to. `fallbacks`: by model, what to ask
    instead when it does not answer; those of a provider go before. `places`: where providers are reached by who was
    not meant for them. `hedges`: by provider, when a second request goes beside the first."""

    mode: Mode = "open"
    networks: tuple[str, ...] = ()
    providers: tuple[Below, ...] = ()
    retries: int = 2
    retry_wait_seconds: float = 60.0
    fallbacks: dict[str, tuple[Fallback, ...]] = {}
    provider_fallbacks: dict[str, dict[str, tuple[Fallback, ...]]] = {}
    places: dict[str, Place] = {}
    hedges: dict[str, HedgeRule] = {}


class PoolConfig(Struct, frozen=True, kw_only=True):
    """A pool of heavy steps. `kind`: `local` for processes of the host's machine, `ray` for a cluster at `address`.
    `processes` steps at once, with `cpus` and `gpus` together; `memory` bytes of each, 0 for no limit; `queue` steps
    that may wait; `wait` seconds for which a pool that is gone is asked again."""

    kind: str
    processes: int
    cpus: float
    gpus: float
    memory: int
    queue: int
    wait: float
    address: str


class MemberConfig(Struct, frozen=True, kw_only=True):
    """One process of a local pool. `socket`: the number of the inherited file; `parent`: the host."""

    socket: int
    project: str
    parent: int
    memory: int


class HostConfig(Struct, frozen=True, kw_only=True):
    """`project` is the folder that goes first on the import path; `park_after` the seconds an attempt may wait before
    it is parked; `threads` how many sync functions run at once; `memory` bytes of private memory (RLIMIT_DATA), 0 for
    no limit; `cores` how many processors the host may use, 0 for all. `socket` is `fd:N`, a connected socket that the
    process inherits, or the path of one that the node listens on."""

    socket: str
    project: str
    agents: dict[str, AgentTarget]
    park_after: float = 1.0
    threads: int = 32
    memory: int = 0
    cores: int = 0
    log_limit: int = 8192
    """Characters of one captured line; the rest is cut with a mark."""
    connect_within: float = 10.0
    """Seconds to keep trying to reach the node."""
    egress: EgressConfig = EgressConfig()
    pools: dict[str, PoolConfig] = {}
    """By name; each host has its own processes of a local one."""
    node: int = 0
    """The process that starts the host and is to end with it; 0: nobody is waited for."""
