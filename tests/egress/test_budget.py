"""Hard caps, counted at the model's own server: a loop and a hundred calls at once stop at the cap, not one call later.

Real `serve` processes, real HTTP. Excluded: the arithmetic (`tests/domain/test_budget`), and single decisions of the
node (`tests/engine/test_outgoing`).
"""

import asyncio

import pytest

from pilothouse.testing import Answer, Fault, ScriptedModel, Usage

pytestmark = pytest.mark.slow

AGENTS = """
    import asyncio, os
    import httpx
    from pilothouse import Context, agent, tool

    URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"

    CLIENT = httpx.AsyncClient(timeout=60, verify=False)

    async def ask(text, **more):
        body = {"model": "scripted", "messages": [{"role": "user", "content": text}], **more}
        answer = await CLIENT.post(URL, json=body)
        answer.raise_for_status()
        return answer.json()["choices"][0]["message"]["content"]

    @agent(mode="event")
    async def loop(count: int) -> int:
        for number in range(count):
            await ask(f"question {number}")
        return count

    @agent(mode="event")
    async def fan(count: int) -> int:
        return len(await asyncio.gather(*(ask(f"question {number}", max_tokens=50) for number in range(count))))

    @agent(mode="session")
    async def chat(ctx: Context, text: str) -> str:
        return await ask(text)

    @agent
    async def quick(count: int) -> int:
        for number in range(count):
            await ask(f"question {number}")
        return count

    @tool
    async def look(number: int) -> int:
        return number

    @agent(mode="event")
    async def handy(ctx: Context, count: int) -> int:
        for number in range(count):
            await ctx.call_tool(look, number=number)
        return count

    @agent(mode="event")
    async def walker(ctx: Context, count: int) -> int:
        for number in range(count):
            await ctx.step(str, number)
        return count

    @agent(mode="event")
    async def idler(ctx: Context) -> None:
        await asyncio.sleep(3600)
"""


def settings(model: ScriptedModel, **agents: str) -> str:
    names = ("loop", "fan", "chat", "quick", "handy", "walker", "idler")
    tables = [f'[agents.{name}]\ntarget = "agents:{name}"\n{agents.get(name, "")}\n' for name in names]
    return f'[providers.local]\nurl = "{model.base_url}"\n' + "\n".join(tables)


@pytest.fixture
def model():
    with ScriptedModel(Answer("yes", usage=Usage(10, 20))) as model:
        yield model


async def ended(node, agent: str, input, **more):
    run = (await node.caller.start(agent, input, headers={"Prefer": "respond-async"}, **more)).body["id"]
    return await node.caller.wait_end(run)


def is_over(run, budget: str) -> bool:
    return run["status"] == "failed" and run["error"]["code"] == "budget_exceeded" and budget in run["error"]["message"]


async def test_a_loop_and_a_hundred_calls_at_once_stop_at_the_cap(serving, model):
    caps = "run_budget = { model_calls = 10 }"
    node = serving(AGENTS, settings(model, loop=caps, fan=caps, quick=caps), **model.environment)
    await node.start()
    assert is_over(await ended(node, "loop", 100), "10 model calls")
    assert model.calls == 10
    assert is_over(await ended(node, "fan", 100), "10 model calls")
    assert model.calls <= 20  # the run ends with the question of the eleventh, whatever the ten are doing
    before = model.calls
    answer = await node.caller.ask("POST", "/v1/agents/quick/runs", {"input": 100})
    assert is_over(answer.body, "10 model calls")
    assert model.calls - before == 10
    assert (await ended(node, "loop", 10))["status"] == "succeeded"


async def test_caps_of_tokens_hold_though_a_hundred_calls_are_made_at_once(serving, model):
    """A call uses 30 tokens. Estimates are higher, and calls wait for each other instead of ending the run."""
    node = serving(
        AGENTS,
        settings(model, loop="run_budget = { tokens = 1000 }", fan="run_budget = { tokens = 1000 }"),
        **model.environment,
    )
    await node.start()
    for agent in ("loop", "fan"):
        before = model.calls
        run = await ended(node, agent, 100)
        assert is_over(run, "1000 tokens")
        assert 20 <= model.calls - before <= 33
        assert run["usage"] is None or run["usage"]["input_tokens"] + run["usage"]["output_tokens"] <= 1000
    assert (await ended(node, "fan", 25))["status"] == "succeeded"


async def test_caps_of_sessions_agents_and_tenants_outlive_a_node_that_is_killed(serving, model):
    tables = settings(model, chat="session_budget = { model_calls = 3 }", loop="budget = { model_calls = 6 }")
    node = serving(AGENTS, tables + "\n[tenants]\nbudget = { model_calls = 15 }\n", **model.environment)
    await node.start()
    for _ in range(2):
        assert (await ended(node, "chat", "hello", session="ada"))["status"] == "succeeded"
    assert (await ended(node, "loop", 4))["status"] == "succeeded"
    await node.kill()
    await node.start()
    assert (await ended(node, "chat", "hello", session="ada"))["status"] == "succeeded"
    assert is_over(await ended(node, "chat", "hello", session="ada"), "This session may use 3 model calls")
    assert (await ended(node, "chat", "hello", session="bob"))["status"] == "succeeded"
    assert is_over(await ended(node, "loop", 4), "The agent 'loop' may use 6 model calls")
    assert model.calls == 10
    assert is_over(await ended(node, "fan", 6), "The tenant may use 15 model calls")
    assert model.calls <= 15


async def test_caps_of_tools_steps_and_time(serving, model):
    tables = settings(
        model,
        handy="run_budget = { tool_calls = 5 }",
        walker="run_budget = { steps = 7 }",
        idler="run_budget = { wall_seconds = 0.5 }",
    )
    node = serving(AGENTS, tables, **model.environment)
    await node.start()
    handy, walker = await ended(node, "handy", 100), await ended(node, "walker", 100)
    assert is_over(handy, "5 tool calls")
    assert is_over(walker, "7 steps")
    assert len(await node.caller.steps(handy["id"])) == 5
    assert len(await node.caller.steps(walker["id"])) == 7
    assert is_over(await ended(node, "idler", None), "0.5 seconds")


async def test_a_budget_that_asks_goes_on_when_a_person_grants_it_once_more(serving, model):
    """The run parks meanwhile, the node is killed, and nothing is paid twice."""
    caps = 'run_budget = { model_calls = 4, on_hit = "review" }'
    node = serving(AGENTS, settings(model, loop=caps), **model.environment)
    await node.start()
    run = (await node.caller.start("loop", 9, headers={"Prefer": "respond-async"})).body["id"]
    await node.caller.wait_run(run, lambda run: run["status"] == "waiting")
    await node.kill()
    await node.start()
    await node.caller.decide(run, "approve")
    await node.caller.decide(run, "approve")
    ended = await node.caller.wait_end(run)
    assert (ended["status"], ended["output"], model.calls) == ("succeeded", 9, 9)
    run = (await node.caller.start("loop", 9, headers={"Prefer": "respond-async"})).body["id"]
    await node.caller.decide(run, "reject")
    assert is_over(await node.caller.wait_end(run), "4 model calls")
    assert model.calls == 13


async def test_a_host_that_is_killed_in_the_middle_of_a_call_has_used_it(serving):
    """Nobody knows what became of the call, so it counts: who kills its host over and over stays under its cap."""
    hold = Fault.hang()
    with ScriptedModel(Answer("yes", usage=Usage(10, 20))) as model:
        model.fault(hold)
        tables = settings(model, loop="budget = { model_calls = 3 }")
        node = serving(AGENTS, tables, **model.environment)
        await node.start()
        run = (await node.caller.start("loop", 9, headers={"Prefer": "respond-async"})).body["id"]
        await asyncio.to_thread(model.wait_calls, 1)
        await node.kill_hosts()
        assert is_over(await node.caller.wait_end(run), "3 model calls")
        assert model.calls == 3
        hold.release()
