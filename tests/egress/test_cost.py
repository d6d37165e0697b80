"""What calls have cost is there by agent, session, model and day, and stays when the node is killed.

A real `serve` process with a price of its own. Excluded: the sums in the records (`testing/records/cost.py`), and the
forecast (`tests/domain/test_cost.py`).
"""

import asyncio

import pytest
from click.testing import CliRunner

from pilothouse.cli.program import program
from pilothouse.testing import Answer, ScriptedModel, Usage
from tests.faults.client import wait_until

pytestmark = pytest.mark.slow

AGENTS = """
    import os
    import httpx
    from pilothouse import Context, agent

    URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"

    async def call(model):
        async with httpx.AsyncClient(timeout=60, verify=False) as client:
            body = {"model": model, "messages": [{"role": "user", "content": "Which licence?"}]}
            return (await client.post(URL, json=body)).status_code

    @agent(mode="session")
    async def talk(ctx: Context, model: str = "scripted") -> int:
        return await call(model)

    @agent
    async def quick(model: str = "scripted") -> int:
        return await call(model)
"""
SETTINGS = """
[egress]
mode = "open"
[providers.local]
url = "{url}"
prices = {{ scripted = {{ input = 100, output = 1000 }} }}
[agents.talk]
target = "agents:talk"
[agents.quick]
target = "agents:quick"
"""
EACH = 10 * 100 / 1e6 + 20 * 1000 / 1e6


@pytest.fixture
def model():
    with ScriptedModel(Answer("MIT", usage=Usage(10, 20))) as model:
        yield model


async def costs(node, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return (await node.caller.ask("GET", f"/v1/costs?{text}")).body


async def named(node, **query):
    return {one["name"]: one["calls"] for one in (await costs(node, **query))["items"]}


async def test_costs_are_kept_by_day_and_outlive_the_node(serving, model):
    node = serving(AGENTS, SETTINGS.format(url=model.base_url), **model.environment)
    await node.start()
    for session in ("ada", "ada", "bob"):
        run = (await node.caller.start("talk", "scripted", session=session)).body["id"]
        await node.caller.wait_end(run)
    await node.caller.start("quick", "other", headers={})

    async def is_written() -> bool:
        return (await costs(node))["total"]["calls"] == 4

    await wait_until(is_written, 30.0, node.read_log)  # those of runs that are not kept come a little later
    await node.kill()
    await node.start()
    assert await named(node) == {"talk": 3, "quick": 1}
    assert await named(node, group="model") == {"local: scripted": 3, "local: other": 1}
    assert await named(node, group="session") == {"talk/ada": 2, "talk/bob": 1}
    assert await named(node, group="provider", agent="quick") == {"local": 1}
    assert list((await named(node, group="day")).values()) == [4]
    found = await costs(node)
    total = found["total"]
    assert (total["unpriced_calls"], total["untold_calls"], total["input_tokens"]) == (1, 0, 40)
    assert total["cost_usd"] == pytest.approx(3 * EACH)
    assert found["forecast"] is None
    assert (await node.caller.ask("GET", "/v1/costs?group=colour")).status == 422
    said = await asyncio.to_thread(CliRunner().invoke, program, ["costs", "--url", node.url])
    assert [line.split() for line in said.stdout.splitlines()[3:5]] == [
        ["talk", "3", "30", "0", "60", f"{3 * EACH:.4f}"], ["quick", "1", "10", "0", "20", "0.0000"],
    ]  # fmt: skip
    assert "1 calls have no price" in said.stdout
