"""The routes of agents: what this deployment runs, and what each takes and gives.

The worker is asked, since it alone knows which agents were loaded; an agent that is not loaded does not exist here.
The list is short and has no pages.
"""

from pilothouse.communication.http.call import Call
from pilothouse.errors import AgentNotFound
from pilothouse.wire.agent import AgentPage, agent_view


async def list_agents(call: Call) -> None:
    agents = sorted(call.front.world.worker.agents(), key=lambda agent: agent.name)
    await call.show(AgentPage([agent_view(agent) for agent in agents], None))


async def get_agent(call: Call, agent: str) -> None:
    found = call.front.world.worker.find(agent)
    if found is None:
        raise AgentNotFound(agent=agent[:80])
    await call.show(agent_view(found))
