"""The scripted model as a client of the responses API sees it: whole, streamed, with tool calls, and continued."""

import json

import httpx2

from pilothouse.testing import Answer, ScriptedModel, ToolCall, Usage


def ask(model: ScriptedModel, said: object = "What is MIT?", **more: object) -> httpx2.Response:
    body = {"model": "scripted", "input": said} | more
    return httpx2.post(f"{model.base_url}/responses", json=body, trust_env=False)


def events(response: httpx2.Response) -> list[dict]:
    found = []
    for frame in response.text.split("\n\n"):
        if frame:
            name, line = frame.split("\n")
            event = json.loads(line.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            found.append(event)
    return found


def test_a_text_is_one_response_with_its_output_and_usage():
    with ScriptedModel([Answer("It is a licence.", usage=Usage(7, 4))]) as model:
        said = ask(model).json()
    assert said["object"] == "response"
    assert said["status"] == "completed"
    (item,) = said["output"]
    assert item["type"] == "message"
    assert item["role"] == "assistant"
    assert [(part["type"], part["text"]) for part in item["content"]] == [("output_text", "It is a licence.")]
    assert (said["usage"]["input_tokens"], said["usage"]["output_tokens"], said["usage"]["total_tokens"]) == (7, 4, 11)


def test_a_stream_numbers_its_events_and_ends_with_the_whole_response():
    with ScriptedModel(["It is a licence."]) as model:
        response = ask(model, stream=True)
    said = events(response)
    assert [event["sequence_number"] for event in said] == list(range(len(said)))
    assert said[0]["type"] == "response.created"
    assert said[-1]["type"] == "response.completed"
    deltas = [event["delta"] for event in said if event["type"] == "response.output_text.delta"]
    assert deltas == ["It ", "is ", "a ", "licence."]
    assert said[-1]["response"]["output"][0]["content"][0]["text"] == "It is a licence."
    kinds = [event["type"] for event in said]
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == 1


def test_tool_calls_are_items_whole_and_streamed():
    answer = Answer(tool_calls=[ToolCall("find", {"q": "a question of some length"}, id="call_mine")])
    with ScriptedModel([answer, answer]) as model:
        (item,) = ask(model).json()["output"]
        said = events(ask(model, stream=True))
    assert (item["type"], item["name"], item["call_id"]) == ("function_call", "find", "call_mine")
    assert json.loads(item["arguments"]) == {"q": "a question of some length"}
    deltas = [event["delta"] for event in said if event["type"] == "response.function_call_arguments.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == item["arguments"]


def test_an_answer_that_was_cut_for_length_is_incomplete():
    with ScriptedModel([Answer("It is", finish_reason="length")]) as model:
        said = ask(model).json()
    assert said["status"] == "incomplete"
    assert said["incomplete_details"] == {"reason": "max_output_tokens"}


def test_items_are_read_as_chat_messages():
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Find MIT."}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "found"},
    ]
    with ScriptedModel("done") as model:
        ask(model, items, instructions="Be brief.")
        request = model.requests[0]
    assert [message["role"] for message in request.messages] == ["system", "user", "assistant", "tool"]
    assert request.text == "Find MIT."
    assert request.api == "responses"


def test_a_response_is_continued_by_its_id_and_an_unknown_id_is_refused():
    with ScriptedModel(["One.", "Two."]) as model:
        first = ask(model, "first").json()["id"]
        ask(model, "second", previous_response_id=first)
        said = [(message["role"], message["content"]) for message in model.requests[1].messages]
        assert said == [("user", "first"), ("assistant", "One."), ("user", "second")]
        refused = ask(model, "third", previous_response_id="resp_nobody")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "previous_response_not_found"


def test_a_response_that_was_not_stored_cannot_be_continued():
    with ScriptedModel(["One.", "Two."]) as model:
        first = ask(model, "first", store=False).json()["id"]
        assert ask(model, "second", previous_response_id=first).status_code == 400
