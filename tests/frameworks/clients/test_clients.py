"""The clients of Amazon (boto3 on urllib3), Google and Mistral pass the border as those of OpenAI and Anthropic do.

Each calls a real HTTP server that speaks the provider's protocol, Amazon's binary event stream with its checksums
included, from an environment of its own. What a provider says that no client can read is asked for again where it can
be, told in the run, and never kept. Excluded: other clients (`tests/egress`).
"""

import asyncio
import json
import tempfile

import pytest

from pilothouse.testing.model_http import HttpReply
from tests.egress.provider import EVENTS, Provider, event_frame, invoke_stream, said, whole
from tests.frameworks.stage import PatientCaller, PatientNode, write_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FALLBACKS = """
[egress.fallbacks]
"amazon.nova-pro-v1:0" = ["amazon.nova-lite-v1:0"]
gemini-a = ["gemini-b"]
mistral-a = ["mistral-b"]
[secrets.AWS]
value = "bedrock-key-0123"
hosts = ["127.0.0.1"]
[providers.bedrock]
url = "{url}"
secret = "AWS"
[providers.local]
url = "{url}"
"""
WHOLE = ["converse", "invoke", "generate", "generate_async", "complete", "complete_sync"]
STREAMS = ["converse_stream", "invoke_stream", "generate_stream", "complete_stream"]
USED = {"input": 11, "output": 7}


class Told:
    """What the provider does next, and the nonsense of each shape."""

    def __init__(self):
        self.faults = []

    def answer(self, request):
        path = request.path.partition("?")[0]
        if self.faults:
            return self.faults.pop(0)(path)
        if path.endswith("/invoke"):
            usage = {"input_tokens": 11, "output_tokens": 7}
            return whole({"type": "message", "content": [{"type": "text", "text": "answer"}], "usage": usage})
        if path.endswith("/invoke-with-response-stream"):
            return amazon(invoke_stream(CHUNKS))
        if path.endswith("/chat/completions"):
            return mistral(json.loads(request.body))
        return None


CHUNKS = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 11, "output_tokens": 1}}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "answer"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
]


def amazon(body):
    return HttpReply(200, (("content-type", "application/vnd.amazon.eventstream"),), body)


def mistral(body):
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    head = {"id": "c", "created": 1, "model": body["model"]}
    if not body.get("stream"):
        message = {"role": "assistant", "content": "answer"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return whole({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    choice = {"index": 0, "delta": {"role": "assistant", "content": "answer"}, "finish_reason": "stop"}
    chunk = {**head, "object": "chat.completion.chunk", "choices": [choice], "usage": usage}
    return HttpReply(200, EVENTS, frames=said([f"data: {json.dumps(chunk)}\n\n", "data: [DONE]\n\n"]))


def page(path):
    return HttpReply(200, (("content-type", "text/html"),), b"<html>Sign in to the network</html>")


def other_json(path):
    return whole({"hello": "world"})


def half(path):
    return HttpReply(200, (("content-type", "application/json"),), b'{"choices": [{"mess')


def torn_stream(path):
    """A stream of its kind that ends in the middle, without an error of the connection."""
    if "/model/" in path:
        frame = event_frame("messageStart", b'{"role": "assistant"}')
        return amazon(frame + frame[: len(frame) // 2])
    return HttpReply(200, EVENTS, b'data: {"choices": [{"del')


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    told = Told()
    folder = tmp_path_factory.mktemp("clients") / "project"
    with tempfile.TemporaryDirectory(prefix="ph-") as scratch, Provider(told.answer) as provider:
        settings = FALLBACKS.format(url=provider.url) + "[worker]\npark_after_seconds = 60\n"
        write_project(folder, "clients", {"ask": 'target = "callers:ask"\nmode = "event"\n'}, settings)
        node = PatientNode(folder, {"PROVIDER_URL": provider.url, "TMPDIR": scratch})
        try:
            asyncio.run(node.start())
            yield node, provider, told
        finally:
            asyncio.run(node.end())


@pytest.fixture
async def desk(standing):
    node, provider, told = standing
    node.caller = PatientCaller(lambda: node.url)
    told.faults, before = [], len(provider.calls)
    yield node, lambda: provider.calls[before:], told
    await node.caller.close()


async def ask(node, way):
    run = (await node.caller.start("ask", way)).body["id"]
    return await node.caller.wait_end(run)


async def events(node, run, kind):
    return [one.body for one in await node.caller.events(run["id"]) if one.kind == kind]


@pytest.mark.parametrize("way", WHOLE + STREAMS)
async def test_each_call_is_a_step_with_what_it_used(desk, way):
    node, calls, _ = desk
    run = await ask(node, way)
    assert run["status"] == "succeeded", run
    assert all("answer" in part for part in run["output"].split(" | "))
    steps = [one for one in await node.caller.steps(run["id"]) if one["kind"] == "model"]
    assert (len(steps), len(calls())) == (2, 2)
    used = run["usage"]
    assert (used["model_calls"], used["input_tokens"], used["output_tokens"]) == (2, 22, 14)


@pytest.mark.parametrize(
    "way", ["converse", "converse_stream", "generate", "generate_stream", "complete", "complete_stream"]
)
async def test_a_model_that_is_down_has_another_in_its_place(desk, way):
    node, calls, told = desk
    down = lambda path: HttpReply(503, (("x-should-retry", "true"), ("retry-after", "9999")), b"down")  # noqa: E731
    told.faults = [down]
    run = await ask(node, way)
    assert run["status"] == "succeeded", run
    first, second, _ = calls()
    names = [call.path + call.body.decode() for call in (first, second)]
    assert "-b" in names[1] or "lite" in names[1]
    assert names[0] != names[1]
    if "converse" in way:
        assert first.headers["authorization"].startswith("AWS4-HMAC-SHA256")
        assert second.headers["authorization"] == "Bearer bedrock-key-0123"
        assert not any(name.startswith("x-amz-") for name in second.headers)
    (failed,) = await events(node, run, "model.failed")
    assert (failed["status"], failed["then"]) == (503, "fallback")


@pytest.mark.parametrize(
    ("way", "nonsense"),
    [
        *((way, page) for way in WHOLE + STREAMS),
        *((way, other_json) for way in WHOLE if way != "invoke"),  # what that answers is the model's own
        *((way, half) for way in WHOLE),
    ],
)
async def test_an_answer_that_is_none_is_asked_for_again_and_told(desk, way, nonsense):
    node, calls, told = desk
    told.faults = [nonsense]
    run = await ask(node, way)
    assert run["status"] == "succeeded", run
    assert len(calls()) == 3
    (failed,) = await events(node, run, "model.failed")
    assert (failed["then"], failed["is_billed"], failed["status"]) == ("again", True, 200)
    assert run["usage"]["model_calls"] == 3


@pytest.mark.parametrize("way", STREAMS)
async def test_a_stream_that_ends_in_the_middle_is_told_and_never_kept(desk, way):
    """It has passed already, so the client says what it thinks of it; the next run of the same is asked anew."""
    node, calls, told = desk
    told.faults = [torn_stream]
    run = await ask(node, way)
    kept = [one for one in await node.caller.steps(run["id"]) if one["kind"] == "model" and one["finished_at"]]
    assert len(kept) == len(calls()) - 1
    (failed,) = await events(node, run, "model.failed")
    assert (failed["then"], failed["is_billed"]) == ("none", True)
    assert "broke off" in failed["reason"]
