"""The scripted model as a chat completions client sees it: whole, streamed, with tool calls and usage."""

import json

import httpx2
import pytest

from pilothouse.testing import Answer, ScriptedModel, ToolCall, Usage

QUESTION = {"model": "scripted", "messages": [{"role": "user", "content": "What is MIT?"}]}


def ask(model: ScriptedModel, **more: object) -> httpx2.Response:
    return httpx2.post(f"{model.base_url}/chat/completions", json=QUESTION | more, trust_env=False)


def chunks(response: httpx2.Response) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_text_is_one_completion_with_its_reason_and_usage():
    with ScriptedModel([Answer("It is a licence.", usage=Usage(7, 4))]) as model:
        response = ask(model)
    said = response.json()
    assert response.headers["content-type"] == "application/json"
    assert said["object"] == "chat.completion"
    assert said["model"] == "scripted"
    assert said["choices"][0]["message"]["content"] == "It is a licence."
    assert said["choices"][0]["finish_reason"] == "stop"
    assert said["usage"] == {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}


def test_usage_is_counted_alike_each_time_when_it_is_not_given():
    with ScriptedModel("It is a licence.") as model:
        counted = [ask(model).json()["usage"] for _ in range(2)]
    assert counted == [{"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}] * 2


def test_a_stream_has_the_role_the_words_the_reason_and_an_end():
    with ScriptedModel(["It is a licence."]) as model:
        response = ask(model, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    said = chunks(response)
    deltas = [chunk["choices"][0]["delta"] for chunk in said]
    assert deltas[0]["role"] == "assistant"
    assert [delta["content"] for delta in deltas[1:-1]] == ["It ", "is ", "a ", "licence."]
    assert [chunk["choices"][0]["finish_reason"] for chunk in said] == [None] * 5 + ["stop"]
    assert all("usage" not in chunk for chunk in said)
    assert len({chunk["id"] for chunk in said}) == 1


def test_pieces_are_streamed_as_they_are_given():
    with ScriptedModel([Answer(pieces=["lic", "ence"])] * 2) as model:
        said = chunks(ask(model, stream=True))
        whole = ask(model).json()
    assert [chunk["choices"][0]["delta"].get("content") for chunk in said[1:-1]] == ["lic", "ence"]
    assert whole["choices"][0]["message"]["content"] == "licence"


def test_usage_of_a_stream_comes_last_and_only_when_it_is_asked_for():
    with ScriptedModel([Answer("yes", usage=Usage(3, 1))]) as model:
        said = chunks(ask(model, stream=True, stream_options={"include_usage": True}))
    assert said[-1]["choices"] == []
    assert said[-1]["usage"]["total_tokens"] == 4
    assert all(chunk["usage"] is None for chunk in said[:-1])


def test_tool_calls_are_answered_whole_with_ids_of_their_own():
    calls = [ToolCall("find", {"q": "MIT"}), ToolCall("count", id="call_mine")]
    with ScriptedModel([Answer(tool_calls=calls)]) as model:
        choice = ask(model).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["call_1_0", "call_mine"]
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"q": "MIT"}'}


def test_the_arguments_of_a_streamed_tool_call_come_in_portions():
    calls = [ToolCall("find", {"q": "a question of some length"}), ToolCall("count", {"n": 1})]
    with ScriptedModel([Answer(tool_calls=calls)]) as model:
        said = chunks(ask(model, stream=True))
    arguments: dict[int, str] = {}
    names = {}
    portions = 0
    for chunk in said:
        for call in chunk["choices"][0]["delta"].get("tool_calls", []):
            if "name" in call["function"]:
                names[call["index"]] = call["function"]["name"]
            arguments[call["index"]] = arguments.get(call["index"], "") + call["function"]["arguments"]
            portions += 1
    assert names == {0: "find", 1: "count"}
    assert [json.loads(arguments[index]) for index in (0, 1)] == [{"q": "a question of some length"}, {"n": 1}]
    assert portions > 4
    assert said[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_arguments_that_are_no_json_are_sent_as_they_are():
    with ScriptedModel([Answer(tool_calls=[ToolCall("find", '{"q": ')])]) as model:
        call = ask(model).json()["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == '{"q": '


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"model": "", "messages": [{"role": "user", "content": "x"}]}, "'model'"),
        ({"model": "m", "messages": []}, "'messages'"),
        ({"model": "m", "messages": [{}], "stream": "yes"}, "'stream'"),
        ({"model": "m", "messages": [{}], "n": 2}, "'n'"),
    ],
)
def test_a_request_that_no_model_server_takes_is_refused(body, sentence):
    with ScriptedModel("never") as model:
        response = httpx2.post(f"{model.base_url}/chat/completions", json=body, trust_env=False)
        assert model.requests[0].outcome == "refused"
    assert response.status_code == 400
    assert sentence in response.json()["error"]["message"]


def test_models_are_listed_and_other_paths_methods_and_keys_are_refused():
    with ScriptedModel("x", models=("small", "large"), api_key="k") as model, httpx2.Client(trust_env=False) as client:
        client.base_url = model.base_url
        assert client.get("/models").status_code == 401
        client.headers["authorization"] = "Bearer k"
        assert [one["id"] for one in client.get("/models").json()["data"]] == ["small", "large"]
        assert client.get("/embeddings").status_code == 404
        assert client.get("/chat/completions").status_code == 405
        assert client.post("/chat/completions", content=b"{").status_code == 400
        assert model.calls == 0
        assert model.environment["OPENAI_API_KEY"] == "k"
