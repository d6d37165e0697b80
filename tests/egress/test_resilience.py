"""A provider that fails in every way it knows: tried again as it asks, given up in time, left alone when it is down.

The border in a real host runtime and, for what hosts share, real `serve` processes; the model is a real HTTP server.
Excluded: the machine of the breaker and the arithmetic of limits (`tests/domain`).
"""

import asyncio
import email.utils
import json
import time

import httpx
import msgspec
import openai
import pytest

from pilothouse import Context
from pilothouse.domain.fallback import Fallback
from pilothouse.sdk.egress.patience import Patience
from pilothouse.testing import Answer, Fault, ScriptedModel, Usage
from pilothouse.wire.host import EgressConfig
from tests.sdk.node import Node, now

QUESTION = {"model": "scripted", "messages": [{"role": "user", "content": "Which licence?"}]}
SETTINGS = """
[egress]
mode = "open"
{egress}
[providers.local]
url = "{url}"
{provider}
[agents.ask]
target = "agents:ask"
{agent}
"""
AGENTS = """
    import asyncio, os
    import httpx
    from pilothouse import Context, agent

    CLIENT = httpx.AsyncClient(timeout=60, verify=False, limits=httpx.Limits(max_connections=None))
    URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"

    async def one(text, model):
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        answer = await CLIENT.post(URL, json=body)
        return answer.status_code, answer.headers.get("retry-after", ""), answer.json().get("model", "")

    @agent(mode="event")
    async def ask(ctx: Context, count: int = 1, model: str = "scripted", at_once: bool = False) -> list:
        if at_once:
            return list(await asyncio.gather(*(one(str(number), model) for number in range(count))))
        return [await one(str(number), model) for number in range(count)]
"""


@pytest.fixture
def model():
    with ScriptedModel(Answer("MIT", usage=Usage(10, 20))) as model:
        yield model


def with_border(agent, **border) -> Node:
    node = Node(agent)
    node.config = msgspec.structs.replace(node.config, egress=EgressConfig(**border))
    return node


def asking(model: ScriptedModel, **more):
    async def agent(ctx: Context) -> list:
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{model.base_url}/chat/completions", json={**QUESTION, **more})
            return [answer.status_code, answer.text]

    return agent


FAULTS = {
    "429 in seconds": lambda: Fault.rate_limited(0),
    "429 as a date": lambda: Fault.rate_limited(email.utils.formatdate(time.time() - 5, usegmt=True)),
    "429 without a word": lambda: Fault.rate_limited(None),
    "500": lambda: Fault.server_error(500),
    "529": Fault.overloaded,
    "a body cut short": Fault.cut_stream,
    "bad JSON": Fault.bad_json,
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_what_may_pass_is_tried_again_and_only_the_answer_is_kept(model, fault):
    model.fault(fault())
    node = with_border(asking(model))
    status, text = await node.output()
    assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (200, "MIT")
    assert model.calls == 2
    (row,) = node.ended("model")
    assert (row.tries, row.key[-2:]) == (2, "-1")


async def test_what_will_not_pass_goes_to_the_client_at_once(model):
    model.fault(Fault.server_error(400))
    status, _ = await with_border(asking(model)).output()
    assert (status, model.calls) == (400, 1)


async def test_no_wait_is_longer_than_the_settings_allow_or_the_run_may_take(model):
    model.fault(Fault.rate_limited(30), times=2)
    assert (await with_border(asking(model), retry_wait_seconds=20.0).output())[0] == 429
    node = with_border(asking(model), retry_wait_seconds=60.0)
    node.start["deadline_at"] = now() + 10_000_000
    assert (await node.output())[0] == 429
    assert model.calls == 2


def test_waits_are_read_as_providers_write_them():
    patience = Patience()
    assert patience.wait_in([("Retry-After", "7")]) == 7.0
    assert patience.wait_in([("retry-after-ms", "250"), ("retry-after", "9")]) == 0.25
    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < patience.wait_in([("retry-after", later)]) <= 101
    assert patience.wait_in([("retry-after", "soon")]) is None
    assert patience.delay(1, 5.0, left=4.0) is None
    assert patience.delay(3, None, None) is None


@pytest.mark.slow
async def test_a_stream_that_hangs_is_ended_by_the_clients_own_time_limit(model):
    model.fault(Fault.hang(2))

    async def agent(ctx: Context) -> str:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any", timeout=0.3, max_retries=0) as client:
            try:
                async for _ in await client.chat.completions.create(**QUESTION, stream=True):
                    pass
            except openai.APITimeoutError:
                return "gave up"
            return "ended"

    node = with_border(agent)
    assert await node.output() == "gave up"
    assert node.ended("model") == []


@pytest.mark.slow
async def test_a_model_that_does_not_answer_has_others_in_its_place(model):
    model.fault(Fault.overloaded(), when=lambda request: request.body["model"] == "scripted", times=99)
    node = with_border(asking(model), retries=0, fallbacks={"scripted": (Fallback("second"), Fallback("third"))})
    model.fault(Fault.server_error(503), when=lambda request: request.body["model"] == "second", times=99)
    status, text = await node.output(crash_at=4)  # begun, two failures told, ended
    assert (status, json.loads(text)["model"]) == (200, "third")
    assert [request.body["model"] for request in model.requests] == ["scripted", "second", "third"]
    assert node.ended("model")[0].name == "scripted"


def settings(model, egress="", provider="", agent=""):
    return SETTINGS.format(url=model.base_url, egress=egress, provider=provider, agent=agent)


async def ended(node, **given):
    run = (await node.caller.start("ask", given, headers={"Prefer": "respond-async"})).body["id"]
    return await node.caller.wait_end(run)


async def provider(node) -> dict:
    return (await node.caller.ask("GET", "/v1/providers")).body["items"][0]


@pytest.mark.slow
async def test_the_breaker_is_one_for_all_hosts_and_can_be_seen(serving, model):
    model.fault(Fault.server_error(500), times=3)
    rules = "breaker = { failures = 3, pause_seconds = 3600 }\nprices = { scripted = { input = 1, output = 2 } }"
    tables = settings(model, "retries = 0", rules)
    node = serving(AGENTS, tables + "[worker]\nhosts = 2\n", **model.environment)
    await node.start()
    said = []
    for _ in range(6):
        said += (await ended(node))["output"]
    assert [status for status, *_ in said] == [500, 500, 500, 503, 503, 503]
    assert 3500 < int(said[-1][1]) <= 3600
    assert model.calls == 3
    found = await provider(node)
    assert (found["provider"], found["model"], found["breaker"]) == ("local", "scripted", "open")
    assert found["calls"] == {"failed": 3}
    assert found["price"] == {"input": 1.0, "output": 2.0, "source": "pilothouse.toml"}
    page = await node.caller.text("/metrics")
    assert 'pilothouse_provider_breaker{model="scripted",provider="local"} 2.0' in page
    assert 'pilothouse_provider_calls_total{model="scripted",outcome="failed",provider="local"} 3.0' in page
    assert 'pilothouse_calls_denied_total{code="provider_unavailable"} 3.0' in page


@pytest.mark.slow
async def test_the_bulkhead_lets_so_many_through_and_the_others_wait(serving):
    hold = Fault.hang()
    with ScriptedModel(Answer("MIT", usage=Usage(10, 20))) as model:
        model.fault(hold, times=3)
        node = serving(AGENTS, settings(model, provider="concurrency = 3"), **model.environment)
        await node.start()
        given = {"count": 9, "at_once": True}
        run = (await node.caller.start("ask", given, headers={"Prefer": "respond-async"})).body["id"]
        await asyncio.to_thread(model.wait_calls, 3)
        found = await provider(node)
        assert (found["in_flight"], found["waiting"]) == (3, 6)
        assert model.calls == 3
        hold.release()
        assert (await node.caller.wait_end(run))["status"] == "succeeded"
        assert model.calls == 9


@pytest.mark.slow
async def test_over_a_limit_a_call_stands_in_line_or_is_answered_429(serving, model):
    limits = "limits = { requests_per_minute = 60, burst_seconds = 2 }"
    node = serving(AGENTS, settings(model, "line_seconds = 0.2", agent=limits), **model.environment)
    await node.start()
    said = (await ended(node, count=6, at_once=True))["output"]
    assert sorted(status for status, *_ in said) == [200, 200, 429, 429, 429, 429]
    assert {wait for status, wait, _ in said if status == 429} == {"1"}
    patient = serving(AGENTS, settings(model, agent="limits = { requests_per_minute = 600, burst_seconds = 0.1 }"),
                      **model.environment)  # fmt: skip
    await patient.start()
    said = (await ended(patient, count=6, at_once=True))["output"]
    assert [status for status, *_ in said] == [200] * 6


@pytest.mark.slow
async def test_what_a_run_cost_is_in_its_usage(serving, model):
    node = serving(AGENTS, settings(model, provider="prices = { scripted = { input = 100, output = 1000 } }"),
                   **model.environment)  # fmt: skip
    await node.start()
    run = await ended(node, count=2)
    assert run["usage"]["cost_usd"] == pytest.approx(2 * (10 * 100 + 20 * 1000) / 1e6)
    unknown = await ended(node, count=1, model="nobody-knows-me")
    assert (unknown["usage"]["cost_usd"], unknown["usage"]["model_calls"]) == (0.0, 1)
