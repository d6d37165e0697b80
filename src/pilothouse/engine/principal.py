"""Who a run is: its agent, on behalf of whoever started it, by way of the agents that called it.

What it may do is what all of them may (`acting_for`), as their keys say at this moment: a role that the starter lost is
lost to the run as well. An agent is bounded by the keys of kind `agent` that bear its name; one that never had any adds
no bound of its own. What the settings themselves start (a source, a schedule of the file) acts for the installation.
"""

from collections.abc import Iterable

from pilothouse.domain.principal import ALL, Key, Principal, PrincipalKind, acting_for, read_chain
from pilothouse.domain.run import Run
from pilothouse.engine.audit_entry import NODE
from pilothouse.engine.world import World

EVERYTHING = frozenset({ALL})
INSTALLATION = ("schedule:", "source:")
"""How the names begin of what starts runs without a principal."""

CALL_SCOPE = "runs:write"
"""What it takes to start a run, and so to hand over to another agent."""


def acting_principal(world: World, run: Run) -> Principal:
    """What this run may do, and for whom, now."""
    chain = read_chain(run.started_by)
    found = starter(world, run.tenant, chain.principal)
    for name in (*chain.agents, run.agent):
        found = acting_for(_agent(world, run.tenant, name), found)
    return found


def counts(world: World, key: Key, at: int) -> bool:
    """Whether a key opens anything now. The one of a browser does only while the one that it was made with does."""
    if key.state_at(at) != "active":
        return False
    above = key if key.parent is None else world.keys.get(key.parent)
    return above is not None and above.state_at(at) == "active"


def is_bounded(world: World) -> bool:
    """Whether any run may do less than everything: only then hosts need to ask for that reason."""
    if not world.keys:
        return False
    if any(key.kind == "agent" for key in world.keys.values()):
        return True
    return any(tool.needs for agent in world.worker.agents() for tool in agent.tools)


def starter(world: World, tenant: str, name: str) -> Principal:
    """Who started the first run of a chain, by name, with what all their keys give now."""
    if not world.keys or name in ("", NODE) or name.startswith(INSTALLATION):
        return Principal(name or NODE, "service", tenant, EVERYTHING, EVERYTHING)
    return _known(world, tenant, name, "human", _keys(world, tenant, name))


def _agent(world: World, tenant: str, name: str) -> Principal:
    keys = [key for key in _keys(world, tenant, name) if key.kind == "agent"]
    if not keys:
        return Principal(name, "agent", tenant, EVERYTHING, EVERYTHING)
    return _known(world, tenant, name, "agent", keys)


def _keys(world: World, tenant: str, name: str) -> list[Key]:
    return [key for key in world.names.get((tenant, name), {}).values() if key.tenant == tenant]


def _known(world: World, tenant: str, name: str, kind: PrincipalKind, keys: Iterable[Key]) -> Principal:
    """All that the keys give that count now; nothing, when none does."""
    at = world.clock.now()
    counting = [key for key in keys if counts(world, key, at)]
    scopes = frozenset(scope for key in counting for scope in key.scopes)
    roles = frozenset(role for key in counting for role in key.roles)
    return Principal(name, kind, tenant, scopes, roles)
