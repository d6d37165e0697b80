"""A second request beside one that takes long: the first good answer counts, in one step, and both are counted.

The provider holds its first answer at a gate, so what is slow is slow for as long as the test wants. Excluded: when it
is time (`tests/domain/test_hedge.py`), and whether there is room (`tests/engine/test_outgoing.py`).
"""

import asyncio
import json

import aiohttp
import httpx
import msgspec
import openai
import pytest
import requests

from pilothouse import Context
from pilothouse.domain.hedge import HedgeRule
from pilothouse.domain.provider import read_below
from pilothouse.testing import Answer, Fault, Gate, ScriptedModel, Usage
from pilothouse.wire.host import EgressConfig
from tests.sdk.node import Node

QUESTION = {"model": "scripted", "messages": [{"role": "user", "content": "Which licence?"}]}
SOON = 0.02


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def model(gate):
    with ScriptedModel(Answer("MIT", usage=Usage(10, 20))) as model:
        yield model
        gate.open()


def bordered(agent, model, after=SOON, retries=0):
    node = Node(agent)
    below = (read_below("local", model.base_url),)
    border = EgressConfig(providers=below, retries=retries, hedges={"local": HedgeRule(after)})
    node.config = msgspec.structs.replace(node.config, egress=border)
    return node


def url_of(model):
    return f"{model.base_url}/chat/completions"


def with_httpx(model):
    async def agent(ctx: Context) -> str:
        async with httpx.AsyncClient() as client:
            return (await client.post(url_of(model), json=QUESTION)).json()["choices"][0]["message"]["content"]

    return agent


def with_aiohttp(model):
    async def agent(ctx: Context) -> str:
        async with aiohttp.ClientSession() as client, client.post(url_of(model), json=QUESTION) as answer:
            return (await answer.json())["choices"][0]["message"]["content"]

    return agent


def with_a_stream(model):
    async def agent(ctx: Context) -> str:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any", max_retries=0) as client:
            pieces = await client.chat.completions.create(**QUESTION, stream=True)
            return "".join([piece.choices[0].delta.content or "" async for piece in pieces if piece.choices])

    return agent


def with_openai_sync(model):
    def agent(ctx) -> str:
        with openai.OpenAI(base_url=model.base_url, api_key="any", max_retries=0) as client:
            return client.chat.completions.create(**QUESTION).choices[0].message.content

    return agent


def with_requests(model):
    return lambda ctx: requests.post(url_of(model), json=QUESTION).json()["choices"][0]["message"]["content"]


CLIENTS = [with_httpx, with_aiohttp, with_a_stream, with_openai_sync, with_requests]


@pytest.mark.parametrize("client", CLIENTS)
async def test_the_second_request_answers_for_the_first_in_one_step(model, gate, client):
    model.fault(Fault.slow(gate))
    node = bordered(client(model), model)
    word = await node.run(crash_at=4)
    assert json.loads(word.output) == "MIT"
    assert model.calls == 2
    (row,) = node.ended("model")
    assert json.loads(row.usage)["model_calls"] == json.loads(word.usage)["model_calls"] == 2
    told = [one for one in node.deltas if "won" in one]
    assert [(one["key"], one["won"], one["after"]) for one in told] == [(row.key, "second", SOON)]


@pytest.mark.parametrize("client", CLIENTS)
async def test_one_that_is_in_time_stays_alone(model, client):
    node = bordered(client(model), model, 60.0)
    word = await node.run()
    assert (model.calls, json.loads(word.usage)["model_calls"], node.deltas) == (1, 1, [])


@pytest.mark.parametrize("client", [with_httpx, with_openai_sync])
async def test_a_second_request_that_fails_leaves_the_first_one_to_answer(gate, client):
    def answer(request):
        return Answer("late", usage=Usage(10, 20)) if request.n == 1 else Fault.server_error(500)

    with ScriptedModel(answer) as model:
        model.fault(Fault.slow(gate))
        node = bordered(client(model), model)
        running = asyncio.ensure_future(node.run())
        while not node.deltas and not running.done():
            await asyncio.sleep(0.001)
        gate.open()
        word = await running
        assert (json.loads(word.output), model.calls) == ("late", 2)
        failed = [one for one in node.deltas if "then" in one]
        assert [(one["then"], one["status"], one["number"]) for one in failed] == [("other", 500, 2)]
        assert json.loads(word.usage)["model_calls"] == 1


@pytest.mark.parametrize("client", [with_httpx, with_openai_sync])
async def test_when_both_fail_the_call_is_tried_again_and_not_hedged_once_more(model, client):
    model.fault(Fault.server_error(500), times=3)
    node = bordered(client(model), model, 60.0, retries=3)
    word = await node.run()
    assert (json.loads(word.output), model.calls) == ("MIT", 4)
    assert [one["then"] for one in node.deltas] == ["again"] * 3


async def test_a_stream_that_has_begun_is_never_hedged(model):
    model.fault(Fault.cut_stream(1))
    node = bordered(with_a_stream(model), model, 60.0)
    await node.run()
    assert model.calls == 1
