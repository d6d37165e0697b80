"""kill -9 of the host and of the node in the middle of an agent without steps: each answer that was kept is paid once.

Real processes, a real model server that counts, an agent that knows nothing of steps: plain calls with the OpenAI
client, streamed and whole, one after the other and at once. Excluded: every single moment (`test_recording`).
"""

import asyncio

import pytest

from pilothouse.testing import Answer, Fault, ScriptedModel, Usage

pytestmark = pytest.mark.slow

AGENTS = """
    import asyncio, os
    from openai import AsyncOpenAI, OpenAI
    from pilothouse import agent

    STREAM = {"stream": True, "stream_options": {"include_usage": True}}

    def question(text):
        return {"model": "scripted", "messages": [{"role": "user", "content": text}]}

    @agent(mode="event")
    async def plain(count: int) -> list[str]:
        async with AsyncOpenAI(api_key="any") as client:
            said = []
            for number in range(count):
                if number % 2:
                    pieces = await client.chat.completions.create(**question(str(number)), **STREAM)
                    text = "".join([p.choices[0].delta.content or "" async for p in pieces if p.choices])
                else:
                    text = (await client.chat.completions.create(**question(str(number)))).choices[0].message.content
                said.append(text)
            return said

    @agent(mode="event")
    def blocking(count: int) -> list[str]:
        client = OpenAI(api_key="any")
        ask = client.chat.completions.create
        return [ask(**question(str(number))).choices[0].message.content for number in range(count)]

    @agent(mode="event")
    async def fan(count: int) -> list[str]:
        async with AsyncOpenAI(api_key="any") as client:
            async def ask(number):
                answer = await client.chat.completions.create(**question(str(number)))
                return answer.choices[0].message.content
            return list(await asyncio.gather(*map(ask, range(count))))
"""
SETTINGS = """
[egress]
mode = "open"
[agents.plain]
target = "agents:plain"
[agents.blocking]
target = "agents:blocking"
[agents.fan]
target = "agents:fan"
"""
COUNT = 6
HELD = 3


def is_held(request) -> bool:
    return request.messages[-1]["content"] == str(HELD)


@pytest.mark.parametrize("victim", ["host", "node"])
@pytest.mark.parametrize("agent", ["plain", "blocking", "fan"])
async def test_a_run_that_lost_its_process_asks_only_what_it_has_no_answer_to(serving, agent, victim):
    """One call hangs while the process is killed: that one is made again, the others are not."""
    hold = Fault.hang()
    answer = Answer("yes", usage=Usage(10, 20))
    with ScriptedModel(lambda request: Answer(f"{request.messages[-1]['content']}!", usage=answer.usage)) as model:
        model.fault(hold, when=is_held)
        node = serving(AGENTS, SETTINGS, **model.environment)
        await node.start()
        run = (await node.caller.start(agent, COUNT, headers={"Prefer": "respond-async"})).body["id"]
        others = COUNT - 1 if agent == "fan" else HELD
        await asyncio.to_thread(model.wait_calls, others + 1, 20.0)
        await node.caller.wait_run(run, lambda _: True)
        async with asyncio.timeout(60):
            while len([one for one in await node.caller.steps(run) if one["status"] == "succeeded"]) < others:
                await asyncio.sleep(0.02)
        if victim == "host":
            await node.kill_hosts()
        else:
            await node.kill()
            await node.start()
        ended = await node.caller.wait_end(run)
        assert ended["output"] == [f"{number}!" for number in range(COUNT)]
        assert model.calls == COUNT + 1
        asked = [request.messages[-1]["content"] for request in model.requests]
        assert sorted(asked) == sorted([*map(str, range(COUNT)), str(HELD)])
        assert {step["kind"] for step in await node.caller.steps(run)} == {"model"}
        assert (ended["usage"]["model_calls"], ended["usage"]["input_tokens"]) == (COUNT, 10 * COUNT)
        hold.release()
