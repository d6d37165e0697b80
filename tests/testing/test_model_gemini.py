"""The scripted model as Google's generateContent: what a client sends and gets, whole, streamed, and refused."""

import json

import httpx2
import pytest

from pilothouse.testing import Answer, Fault, ScriptedModel, ToolCall, Usage

PATH = "/v1beta/models/gemini-9:{verb}"
ASKED = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "where is it?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"what": "lamp"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"found": "here"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "look"}, {"name": "count"}]}],
}


def ask(model, verb, body=ASKED, **headers):
    url = model.base_url.removesuffix("/v1") + PATH.format(verb=verb)
    return httpx2.post(url, json=body, headers=headers, trust_env=False)


def test_a_request_is_read_as_messages_and_answered_whole():
    answer = Answer("it is here", tool_calls=[ToolCall("count", {"what": "lamp"})], usage=Usage(7, 3))
    with ScriptedModel([answer]) as model:
        body = ask(model, "generateContent").json()
        [request] = model.requests
    assert [one["role"] for one in request.messages] == ["system", "user", "assistant", "tool"]
    assert json.loads(request.messages[-1]["content"]) == {"found": "here"}
    assert (request.model, request.stream, request.tool_names) == ("gemini-9", False, ["look", "count"])
    parts = body["candidates"][0]["content"]["parts"]
    assert parts == [{"text": "it is here"}, {"functionCall": {"name": "count", "args": {"what": "lamp"}}}]
    assert body["usageMetadata"] == {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}


def test_an_answer_is_streamed_in_its_pieces_and_the_last_one_ends_it():
    with ScriptedModel([Answer(pieces=["it ", "is ", "here"])]) as model:
        frames = ask(model, "streamGenerateContent?alt=sse").text.split("\r\n\r\n")[:-1]
        assert model.requests[0].stream
    chunks = [json.loads(frame.removeprefix("data: "))["candidates"][0] for frame in frames]
    assert [one["content"]["parts"][0]["text"] for one in chunks] == ["it ", "is ", "here"]
    assert [one.get("finishReason") for one in chunks] == [None, None, "STOP"]


@pytest.mark.parametrize(
    ("body", "status", "word"), [({"contents": []}, 400, "INVALID_ARGUMENT"), (ASKED, 429, "RESOURCE_EXHAUSTED")]
)
def test_refusals_and_faults_have_google_s_shape(body, status, word):
    with ScriptedModel([Fault.rate_limited(), "later"]) as model:
        answer = ask(model, "generateContent", body)
    assert answer.status_code == status
    assert (answer.json()["error"]["code"], answer.json()["error"]["status"]) == (status, word)


def test_a_key_is_asked_for_in_google_s_header():
    with ScriptedModel(["yes"], api_key="k1") as model:
        assert ask(model, "generateContent").status_code == 401
        assert ask(model, "generateContent", **{"x-goog-api-key": "k1"}).status_code == 200
