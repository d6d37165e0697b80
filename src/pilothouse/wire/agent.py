"""The agent as JSON: what a caller must know to use it.

It has no word of how the agent is loaded or where it runs: that is the affair of the operator, and changes without
callers having to know.
"""

from msgspec import Raw, Struct

from pilothouse.domain.agent import Agent
from pilothouse.domain.run import Mode
from pilothouse.wire.payload import JsonObject


class AgentView(Struct, kw_only=True):
    """An agent. `concurrency` 0: as many runs at once as there is room. `timeout` is seconds of one attempt."""

    name: str
    mode: Mode
    releases: list[str]
    description: str
    input_schema: JsonObject
    output_schema: JsonObject
    keep: float | str
    concurrency: int
    timeout: float | None
    session_ttl: float | None


class AgentPage(Struct):
    """By name."""

    items: list[AgentView]
    next_cursor: str | None


def agent_view(agent: Agent) -> AgentView:
    return AgentView(
        name=agent.name,
        mode=agent.mode,
        releases=[agent.release],
        description=agent.description,
        input_schema=Raw(agent.input_schema),
        output_schema=Raw(agent.output_schema),
        keep=agent.keep,
        concurrency=agent.concurrency,
        timeout=agent.timeout,
        session_ttl=agent.session_ttl,
    )
