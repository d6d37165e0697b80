"""A model that does not answer has another provider in its place: its own address, its own key, the same step.

Each client library calls real HTTP servers; the host is lost once, and the answer is there again. Excluded: what goes
where (`tests/domain/test_fallback.py`), and the clients of the providers themselves (`tests/frameworks/clients`).
"""

import json

import aiohttp
import httpx
import msgspec
import pytest
import requests

from pilothouse import Context
from pilothouse.domain.egress import read_rule
from pilothouse.domain.fallback import Fallback, Place
from pilothouse.domain.provider import read_below
from pilothouse.domain.secret import Secret
from pilothouse.testing import Answer, Fault, ScriptedModel, Usage
from pilothouse.testing.model_http import HttpReply
from pilothouse.wire import frames
from pilothouse.wire.host import EgressConfig
from tests.egress.provider import Provider
from tests.sdk.node import Node

QUESTION = {"model": "scripted", "messages": [{"role": "user", "content": "Which licence?"}]}
HEADERS = {"authorization": "Bearer first-key", "x-own": "first-own"}


@pytest.fixture
def model():
    with ScriptedModel(Answer("MIT", usage=Usage(10, 20))) as model:
        model.fault(Fault.server_error(503, "down for the day"), times=99)
        yield model


@pytest.fixture
def second():
    with ScriptedModel(Answer("Apache", usage=Usage(1, 2))) as second:
        yield second


async def with_httpx(url, body):
    async with httpx.AsyncClient(headers=HEADERS) as client:
        return (await client.post(url, json=body)).text


async def with_aiohttp(url, body):
    async with aiohttp.ClientSession(headers=HEADERS) as client, client.post(url, json=body) as answer:
        return await answer.text()


def with_httpx_sync(url, body):
    with httpx.Client(headers=HEADERS) as client:
        return client.post(url, json=body).text


def with_requests(url, body):
    return requests.post(url, json=body, headers=HEADERS).text


def asking(ask, url, body):
    if ask in (with_httpx, with_aiohttp):

        async def agent(ctx: Context) -> str:
            return await ask(url, body)

        return agent
    return lambda ctx: ask(url, body)


class Knowing(Node):
    """Its hosts know a secret from the start."""

    def begin(self, input=None):
        attempting = super().begin(input)
        self.send(frames.KnowSecrets([Secret("KEY", "second-key-0123", (read_rule("127.0.0.1"),))]))
        return attempting


def bordered(agent, first, **border):
    node = Knowing(agent)
    places = (read_below("first", first),)
    node.config = msgspec.structs.replace(node.config, egress=EgressConfig(providers=places, retries=0, **border))
    return node


@pytest.mark.parametrize("ask", [with_httpx, with_aiohttp, with_httpx_sync, with_requests])
async def test_another_provider_answers_with_its_own_key_and_it_is_one_step(model, second, ask):
    fallbacks = {"first": {"scripted": (Fallback("no", "messages"), Fallback("apache-2", "second"))}}
    places = {"second": Place(second.base_url, ("chat",), "KEY"), "messages": Place(second.base_url, ("messages",))}
    agent = asking(ask, f"{model.base_url}/chat/completions", QUESTION)
    node = bordered(agent, model.base_url, provider_fallbacks=fallbacks, places=places)
    said = json.loads(await node.output(crash_at=3))
    assert (said["model"], said["choices"][0]["message"]["content"]) == ("apache-2", "Apache")
    assert (model.calls, second.calls) == (1, 1)
    assert not any("first" in value for value in second.requests[0].headers.values())
    assert second.requests[0].headers["authorization"] == "Bearer second-key-0123"
    (row,) = node.ended("model")
    assert (row.name, row.tries, json.loads(row.output)["by"]) == ("scripted", 2, "second: apache-2")
    assert json.loads(row.usage)["input_tokens"] == 1
    (told,) = node.deltas
    assert (told["provider"], told["status"], told["then"], told["reason"]) == (
        "first", 503, "fallback", "down for the day",
    )  # fmt: skip
    assert told["key"] == row.key
    assert told["passed_over"] == ["messages: no: the call is of the shape chat, and messages speaks messages"]


SHAPES = {
    "generate": ("/v1beta/models/a:generateContent", {"contents": []}, "/v1beta/models/b:generateContent"),
    "converse": ("/model/a/converse", {"messages": []}, "/model/b/converse"),
    "messages": ("/v1/messages", {"model": "a", "messages": [], "max_tokens": 9}, "/v1/messages"),
}


@pytest.mark.parametrize("is_other", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_model_in_the_path_is_another_one_there(shape, is_other):
    path, body, goes = SHAPES[shape]

    def down(request):
        is_first = json.loads(request.body).get("model", "a" if "/a" in request.path else "b") == "a"
        return HttpReply(529, (), b"overloaded") if is_first else None

    with Provider(down) as provider:
        fallback = Fallback("b", "second" if is_other else "")
        base = provider.url + {"generate": "/v1beta", "messages": "/v1"}.get(shape, "")
        place = Place(base, (shape,), "KEY")
        agent = asking(with_httpx, provider.url + path, body)
        border = {"fallbacks": {"a": (fallback,)}, "places": {"second": place}}
        node = bordered(agent, provider.url, **border)
        said = await node.output()
    assert "answer 2" in said
    assert [call.path for call in provider.calls] == [path, goes]
    assert [one["status"] for one in node.deltas] == [529]
    asked = str(provider.calls[1].headers)
    assert ("second-key-0123" in asked, "first-key" in asked) == (is_other, not is_other)


async def test_what_failed_for_good_is_told_and_what_was_billed_is_counted():
    """A stream that breaks off has been paid for as far as it came; its provider said so in its first event."""
    head = {"id": "m", "type": "message", "role": "assistant", "model": "a", "content": [], "stop_reason": None}
    start = {"type": "message_start", "message": {**head, "usage": {"input_tokens": 11, "output_tokens": 1}}}

    async def broken():
        yield f"event: message_start\ndata: {json.dumps(start)}\n\n"
        raise ConnectionResetError("gone")

    def answer(request):
        return HttpReply(200, (("content-type", "text/event-stream"),), frames=broken())

    async def agent(ctx: Context) -> str:
        body = {"model": "a", "messages": [], "max_tokens": 9, "stream": True}
        async with httpx.AsyncClient() as client:
            try:
                return (await client.post(f"{url}/v1/messages", json=body)).text
            except httpx.HTTPError:
                return "broke off"

    with Provider(answer) as provider:
        url = provider.url
        node = bordered(agent, url)
        word = await node.run()
    assert json.loads(word.output) == "broke off"
    used = json.loads(word.usage)
    assert (used["model_calls"], used["input_tokens"]) == (1, 11)
    (told,) = node.deltas
    assert (told["then"], told["is_billed"], told["status"]) == ("none", True, 200)
    assert "broke off" in told["reason"]
