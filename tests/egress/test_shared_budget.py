"""Two nodes on one PostgreSQL share the cap of an agent: no run on either gets a call that the other has used.

Real `serve` processes and a real database. Excluded: which read is made when (`tests/engine/test_outgoing.py`).
"""

import asyncio

import pytest

from pilothouse.testing import Answer, ScriptedModel, Usage
from tests.databases import database, postgres_server

__all__ = ["database", "postgres_server"]
pytestmark = pytest.mark.slow

CAP = 10
AGENTS = """
    import os
    import httpx
    from pilothouse import Context, agent

    URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"

    @agent(mode="event")
    async def ask(ctx: Context, count: int = 1) -> int:
        async with httpx.AsyncClient(timeout=60, verify=False) as client:
            for number in range(count):
                body = {"model": "scripted", "messages": [{"role": "user", "content": str(number)}]}
                (await client.post(URL, json=body)).raise_for_status()
        return count
"""
SETTINGS = f"""
[egress]
mode = "open"
[agents.ask]
target = "agents:ask"
budget = {{ model_calls = {CAP} }}
"""


async def ended(node, count=1):
    run = (await node.caller.start("ask", count, headers={"Prefer": "respond-async"})).body["id"]
    return await node.caller.wait_end(run)


async def test_a_cap_that_two_nodes_share_is_the_cap_of_both(serving, postgres_server, database):
    with ScriptedModel(Answer("MIT", usage=Usage(1, 2))) as model:
        records = {"PILOTHOUSE_RECORDS_URL": postgres_server.url(database, None)}
        nodes = [serving(AGENTS, SETTINGS, **model.environment, **records) for _ in range(2)]
        for node in nodes:
            await node.start()
        one_by_one = [await ended(nodes[number % 2]) for number in range(6)]
        assert [run["status"] for run in one_by_one] == ["succeeded"] * 6
        both = await asyncio.gather(*(ended(node, CAP) for node in nodes))
        assert {run["error"]["code"] for run in both} == {"budget_exceeded"}
        # Each may have had one call under way that the other could not see.
        assert CAP <= model.calls <= CAP + 1
        assert (await ended(nodes[0]))["error"]["code"] == "budget_exceeded"
        assert (await ended(nodes[1]))["error"]["code"] == "budget_exceeded"
        costs = (await nodes[0].caller.ask("GET", "/v1/costs")).body
        assert (costs["total"]["calls"], costs["items"][0]["name"]) == (model.calls, "ask")
