"""A model call that an agent makes by itself becomes a step: it is not made again when the run goes on elsewhere.

Each client library calls a real HTTP server. The host is lost at a message of the test's choice (`tests.sdk.node`), and
what counts is how many calls came to the server in the end. Excluded: real processes (`test_kill`).
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import anthropic
import httpx
import httpx2
import msgspec
import openai
import pytest
import requests
import urllib3

from pilothouse import Context
from pilothouse.domain.journal import ENDED
from pilothouse.domain.price import Tokens
from pilothouse.domain.provider import read_below
from pilothouse.sdk.egress.tokens import read_tokens
from pilothouse.testing import Answer, Fault, Gate, ScriptedModel
from pilothouse.wire import frames
from pilothouse.wire.host import AgentTarget, EgressConfig
from tests.egress.provider import Provider, invoke_stream
from tests.sdk.node import Node

QUESTION = {"model": "scripted", "messages": [{"role": "user", "content": "Which licence?"}]}


@pytest.fixture
def model():
    with ScriptedModel(lambda request: f"answer {request.n} to {request.messages[-1]['content']}") as model:
        yield model


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **more}


def clients(model: ScriptedModel) -> dict[str, Callable[[str], Any]]:
    """Each asks one question; the sync ones block."""
    url = f"{model.base_url}/chat/completions"

    async def with_httpx(text: str) -> str:
        async with httpx.AsyncClient() as client:
            answer = await client.post(url, json=asking(text))
            return answer.json()["choices"][0]["message"]["content"]

    async def with_httpx2(text: str) -> str:
        async with httpx2.AsyncClient() as client:
            answer = await client.post(url, json=asking(text))
            return answer.json()["choices"][0]["message"]["content"]

    async def with_openai(text: str) -> str:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any") as client:
            answer = await client.chat.completions.create(**asking(text))
            return answer.choices[0].message.content

    async def with_openai_stream(text: str) -> str:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any") as client:
            pieces = await client.chat.completions.create(**asking(text), stream=True)
            return "".join([piece.choices[0].delta.content or "" async for piece in pieces if piece.choices])

    async def with_openai_responses(text: str) -> str:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any") as client:
            said = ""
            async for event in await client.responses.create(model="scripted", input=text, stream=True):
                if event.type == "response.output_text.delta":
                    said += event.delta
            return said

    def with_httpx_sync(text: str) -> str:
        with httpx.Client() as client:
            return client.post(url, json=asking(text)).json()["choices"][0]["message"]["content"]

    def with_openai_sync(text: str) -> str:
        with openai.OpenAI(base_url=model.base_url, api_key="any") as client:
            return client.chat.completions.create(**asking(text)).choices[0].message.content

    def with_openai_sync_stream(text: str) -> str:
        with openai.OpenAI(base_url=model.base_url, api_key="any") as client:
            pieces = client.chat.completions.create(**asking(text), stream=True)
            return "".join([piece.choices[0].delta.content or "" for piece in pieces if piece.choices])

    return {one.__name__: one for one in locals().copy().values() if callable(one)}


ASYNC = ["with_httpx", "with_httpx2", "with_openai", "with_openai_stream", "with_openai_responses"]
SYNC = ["with_httpx_sync", "with_openai_sync", "with_openai_sync_stream"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ASYNC)
async def test_an_async_client_pays_once_wherever_its_host_is_lost(model, name):
    ask = clients(model)[name]

    async def agent(ctx: Context) -> list[str]:
        return [await ask("one"), await ask("one"), await ask("two")]

    whole = Node(agent)
    expected = await whole.output()
    assert expected == ["answer 1 to one", "answer 2 to one", "answer 3 to two"]
    assert len(whole.ended("model")) == 3
    for at in range(1, len(whole.heard) + 1):
        before = model.calls
        node = Node(agent)
        got = await node.output(crash_at=at)
        was_under_way = isinstance(whole.heard[at - 1], frames.StepStarted)
        assert model.calls - before in ({3, 4} if was_under_way else {3})
        assert [one.partition(" to ")[2] for one in got] == ["one", "one", "two"]
        assert len(node.ended("model")) == 3


@pytest.mark.parametrize("name", SYNC)
async def test_a_sync_client_in_a_sync_agent_pays_once(model, name):
    ask = clients(model)[name]

    def agent(ctx) -> list[str]:
        return [ask("one"), ask("two")]

    node = Node(agent)
    got = await node.output(crash_at=4)  # both are kept, and the host is gone before it can end
    assert got == ["answer 1 to one", "answer 2 to two"]
    assert (model.calls, node.attempts) == (2, 2)


@pytest.mark.parametrize("name", SYNC)
async def test_a_sync_client_that_blocks_the_loop_of_an_async_agent_is_recorded_as_well(model, name):
    ask = clients(model)[name]

    async def agent(ctx: Context) -> list[str]:
        first = ask("one")
        await ctx.step(str, "a step is not run before the answer is durable")
        return [first, ask("two")]

    node = Node(agent)
    got = await node.output(crash_at=4)
    assert [one.partition(" to ")[2] for one in got] == ["one", "two"]
    assert model.calls == 2


async def test_calls_at_once_with_the_same_content_find_their_own_answers_again(model):
    ask = clients(model)["with_httpx"]

    async def agent(ctx: Context) -> list[str]:
        return list(await asyncio.gather(*(ask("same") for _ in range(5))))

    node = Node(agent)
    first = await node.output(crash_at=11, keeps=False)  # ten frames of steps, then the end is lost
    assert len(set(first)) == 5
    assert (model.calls, node.attempts) == (5, 2)


async def test_inside_a_step_a_call_belongs_to_the_step_with_what_it_used(model):
    ask = clients(model)["with_openai"]

    async def consult(text: str) -> str:
        return await ask(text)

    async def agent(ctx: Context) -> str:
        return await ctx.step(consult, "one")

    node = Node(agent)
    word = await node.run()
    assert [row.kind for row in node.rows] == ["step"]
    used = json.loads(word.usage)
    assert used["model_calls"] == 1
    assert used["input_tokens"] > 0
    assert used["output_tokens"] > 0


async def test_in_the_model_step_of_a_bridge_nothing_is_recorded_or_counted_a_second_time(model):
    ask = clients(model)["with_openai"]

    async def agent(ctx: Context) -> str:
        async def body(arguments: dict[str, Any]) -> str:
            text = await ask(arguments["text"])
            ctx.record_usage(input_tokens=3, output_tokens=4)
            return text

        return await ctx._attempt.effect("model", "gpt", {"text": "one"}, body)

    node = Node(agent)
    word = await node.run(crash_at=2)
    assert [(row.kind, row.name) for row in node.rows if row.phase == ENDED] == [("model", "gpt")]
    used = json.loads(word.usage)
    assert (used["model_calls"], used["input_tokens"], used["output_tokens"], model.calls) == (1, 3, 4, 1)


async def test_who_counts_by_hand_in_a_step_is_believed(model):
    ask = clients(model)["with_openai"]

    async def agent(ctx: Context) -> str:
        async def consult() -> str:
            text = await ask("one")
            ctx.record_usage(input_tokens=1000, output_tokens=2000)
            return text

        return await ctx.step(consult)

    used = json.loads((await Node(agent).run()).usage)
    assert (used["model_calls"], used["input_tokens"], used["output_tokens"]) == (1, 1000, 2000)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_usage_of_a_recorded_call_counts_once_however_often_it_is_replayed(model, is_stream):
    async def agent(ctx: Context) -> None:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any") as client:
            more = {"stream": True, "stream_options": {"include_usage": True}} if is_stream else {}
            answer = await client.chat.completions.create(**QUESTION, **more)
            if is_stream:
                async for _ in answer:
                    pass

    once, twice = Node(agent), Node(agent)
    first, second = await once.run(), await twice.run(crash_at=3)
    assert json.loads(first.usage) == json.loads(second.usage)
    assert json.loads(first.usage)["output_tokens"] > 0


async def test_a_run_that_is_not_kept_counts_and_records_nothing(model):
    ask = clients(model)["with_httpx"]

    async def agent(ctx: Context) -> str:
        return await ask("one")

    node = Node(agent, kept=False)
    word = await node.run()
    assert node.rows == []
    assert json.loads(word.usage)["model_calls"] == 1


async def test_a_stream_passes_as_it_comes_and_its_end_waits_for_the_journal():
    gate = Gate()
    with ScriptedModel([Answer("a b c d e f")]) as model:
        model.fault(Fault.slow(gate))
        pieces: list[str] = []
        node: Node

        async def agent(ctx: Context) -> bool:
            async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any") as client:
                async for piece in await client.chat.completions.create(**QUESTION, stream=True):
                    pieces.append(piece.choices[0].delta.content or "" if piece.choices else "")
            return bool(node.ended("model"))

        node = Node(agent)
        with node.begin():
            for count in range(1, 5):
                gate.allow()
                async with asyncio.timeout(60):
                    while len(pieces) < count:
                        await asyncio.sleep(0.001)
                assert node.ended("model") == []
            gate.open()
            word = await node.word()
        assert word.output == b"true"
        assert "".join(pieces) == "a b c d e f"


async def test_a_stream_that_the_client_leaves_is_counted_and_not_kept(model):
    async def agent(ctx: Context) -> None:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any") as client:
            async with await client.chat.completions.create(**QUESTION, stream=True) as pieces:
                async for _ in pieces:
                    break

    node = Node(agent)
    word = await node.run()
    assert node.ended("model") == []
    assert json.loads(word.usage)["model_calls"] == 1


async def test_a_stream_that_is_cut_is_not_kept_and_is_asked_for_again(model):
    model.fault(Fault.cut_stream(2))
    ask = clients(model)["with_openai_stream"]

    async def agent(ctx: Context) -> str:
        try:
            return await ask("one")
        except openai.APIConnectionError:
            return "cut, then " + await ask("one")

    node = Node(agent)
    assert await node.output() == "cut, then answer 2 to one"
    (row,) = node.ended("model")
    assert row.key.endswith("-1")


async def test_what_the_border_refuses_is_told_as_such_through_a_client_that_wraps_it(model):
    async def agent(ctx: Context) -> None:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any", max_retries=0) as client:
            await client.chat.completions.create(**QUESTION)

    node = Node(agent)
    node.config = msgspec.structs.replace(node.config, egress=EgressConfig(mode="listed"))
    error = await node.failure()
    assert (error["code"], model.calls) == ("egress_denied", 0)
    assert "127.0.0.1" in error["message"]


async def test_a_call_that_must_be_asked_for_is_refused_where_nothing_can_be_asked(model):
    """The answer of the node would come over the loop that the call blocks."""
    ask = clients(model)["with_httpx_sync"]

    async def agent(ctx: Context) -> str:
        return ask("one")

    node = Node(agent)
    target = AgentTarget(target="agents:agent", asks=("model",), is_limited=True)
    node.config = msgspec.structs.replace(node.config, agents={"agent": target})
    assert ((await node.failure())["code"], model.calls) == ("blocked_loop", 0)


async def test_what_fails_is_not_kept_and_its_next_try_is_the_step(model):
    model.fault(Fault.rate_limited(0), times=3)  # the border's own tries end with the third

    async def agent(ctx: Context) -> list[str]:
        async with httpx.AsyncClient() as client:
            url = f"{model.base_url}/chat/completions"
            first = await client.post(url, json=asking("one"))
            again = await client.post(url, json=asking("one"))
            return [str(first.status_code), str(again.status_code)]

    node = Node(agent)
    assert await node.output() == ["429", "200"]
    (row,) = node.ended("model")
    assert row.key.endswith("-1")


async def test_a_call_to_something_else_is_no_step(model):
    async def agent(ctx: Context) -> int:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{model.base_url}/models")).status_code

    node = Node(agent)
    assert await node.output() == 200
    assert [row for row in node.rows if row.phase == ENDED] == []


async def test_a_chat_of_people_at_a_path_of_a_provider_is_no_model_call(model):
    async def agent(ctx: Context) -> int:
        async with httpx.AsyncClient() as client:
            return (await client.post(f"{model.base_url}/messages", json={"text": "Hello"})).status_code

    node = Node(agent)
    assert await node.output() == 404
    assert node.rows == []


PATHS = ["/v1/messages", "/v1beta/models/g-1:generateContent", "/model/m%3A1/converse"]
STREAMS = ["/v1/messages", "/v1beta/models/g-1:streamGenerateContent?alt=sse", "/model/m/converse-stream"]


@pytest.mark.parametrize("library", ["aiohttp", "requests", "httpx"])
@pytest.mark.parametrize(("path", "is_stream"), [(p, False) for p in PATHS] + [(p, True) for p in STREAMS])
async def test_every_shape_is_recorded_by_every_library(library, path, is_stream):
    """The second attempt reads the very bytes that the first one got."""
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "one"}], "stream": is_stream}
    with Provider() as provider:
        settings = EgressConfig(providers=(read_below("bedrock", provider.url),))

        def with_requests() -> str:
            answer = requests.post(provider.url + path, json=body, stream=is_stream, timeout=60)
            return b"".join(answer.iter_content(None)).decode("latin-1")

        async def with_aiohttp() -> str:
            async with aiohttp.ClientSession() as session, session.post(provider.url + path, json=body) as answer:
                return (await answer.read()).decode("latin-1")

        async def with_httpx() -> str:
            async with httpx.AsyncClient() as client, client.stream("POST", provider.url + path, json=body) as answer:
                return b"".join([piece async for piece in answer.aiter_raw()]).decode("latin-1")

        async def agent(ctx: Context) -> str:
            return await (with_aiohttp() if library == "aiohttp" else with_httpx())

        def sync_agent() -> str:
            return with_requests()

        node = Node(sync_agent if library == "requests" else agent)
        node.config = msgspec.structs.replace(node.config, egress=settings)
        got = await node.output(crash_at=2)
        assert "answer 1" in got
        assert (len(provider.calls), node.attempts) == (1, 2)
        (row,) = node.ended("model")
        used = json.loads(row.usage)
        cached = 120 if "messages" in path else 0
        assert (used["input_tokens"], used["output_tokens"], used["model_calls"]) == (11 + cached, 7, 1)


async def test_headers_of_bytes_pass_as_botocore_sends_them():
    """Every Bedrock call failed on its way through the border: botocore signs headers as bytes."""
    with Provider() as provider:

        def agent() -> str:
            with urllib3.HTTPConnectionPool("127.0.0.1", provider.port) as pool:
                given = {"Content-Type": b"application/json", "Authorization": b"AWS4-HMAC-SHA256 x"}
                options = {"preload_content": False, "decode_content": False, "assert_same_host": False}
                pool.urlopen("GET", "/plain", headers=given, **options).read()
                body = b'{"messages":[{"role":"user","content":[{"text":"one"}]}]}'
                answer = pool.urlopen("POST", "/model/m/converse", body=bytearray(body), headers=given, **options)
                return b"".join(answer.stream()).decode()

        node = Node(agent)
        node.config = msgspec.structs.replace(
            node.config, egress=EgressConfig(providers=(read_below("bedrock", provider.url),))
        )
        assert "answer 2" in await node.output()
        assert [call.headers["authorization"] for call in provider.calls] == ["AWS4-HMAC-SHA256 x"] * 2
        assert [row.name for row in node.ended("model")] == ["m"]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_anthropic_client_pays_once(is_stream):
    with Provider() as provider:

        async def agent(ctx: Context) -> str:
            async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="any") as client:
                question = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "one"}]}
                if not is_stream:
                    return (await client.messages.create(**question)).content[0].text
                async with client.messages.stream(**question) as stream:
                    return await stream.get_final_text()

        node = Node(agent)
        assert await node.output(crash_at=2) == "answer 1"
        assert (len(provider.calls), node.attempts) == (1, 2)


async def test_a_stream_of_invoke_says_what_it_used_in_its_last_chunk():
    said = invoke_stream(
        [{"type": "x"}, {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4}}]
    )
    assert read_tokens(said, "application/vnd.amazon.eventstream") == Tokens(3, 4)
