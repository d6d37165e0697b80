"""Which answer a request gets, what goes wrong on demand, and what the test can read afterwards."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from pilothouse.testing import Answer, Fault, Gate, ModelRequest, ScriptedModel


def ask(model: ScriptedModel, text: str = "hello", **more: object) -> httpx2.Response:
    body = {"model": "scripted", "messages": [{"role": "user", "content": text}]} | more
    return httpx2.post(f"{model.base_url}/chat/completions", json=body, trust_env=False, timeout=60)


def text_of(response: httpx2.Response) -> str:
    return response.json()["choices"][0]["message"]["content"]


# --- order ----------------------------------------------------------------------------------------------------------


def test_answers_come_in_the_order_of_the_script_and_then_500():
    with ScriptedModel(["one", Answer("two")]) as model:
        assert model.left == 2
        assert [text_of(ask(model)), text_of(ask(model))] == ["one", "two"]
        assert model.left == 0
        over = ask(model)
    assert over.status_code == 500
    assert over.json()["error"]["code"] == "script_used_up"


def test_one_text_is_the_answer_to_everything_and_queued_ones_go_first():
    with ScriptedModel("always") as model:
        model.add("first")
        assert [text_of(ask(model)) for _ in range(3)] == ["first", "always", "always"]


def test_a_function_answers_from_what_was_asked():
    def shout(request: ModelRequest) -> str:
        return request.text.upper()

    async def whisper(request: ModelRequest) -> Answer:
        return Answer(request.text.lower())

    with ScriptedModel(shout) as model:
        assert text_of(ask(model, "Hello")) == "HELLO"
    with ScriptedModel(whisper) as model:
        assert text_of(ask(model, "Hello")) == "hello"


def test_what_a_function_raises_is_a_500_and_is_raised_again_in_the_test():
    def fail(request: ModelRequest) -> str:
        raise LookupError("not in the script")

    with pytest.raises(LookupError, match="not in the script"):
        with ScriptedModel(fail) as model:
            assert ask(model).status_code == 500


# --- faults ---------------------------------------------------------------------------------------------------------


def test_a_rate_limit_has_retry_after_and_the_next_request_gets_the_answer():
    with ScriptedModel([Fault.rate_limited(2), "at last"]) as model:
        limited = ask(model)
        assert text_of(ask(model)) == "at last"
        assert [request.outcome for request in model.requests] == ["faulted", "answered"]
    assert limited.status_code == 429
    assert limited.headers["retry-after"] == "2"
    assert limited.json()["error"]["code"] == "rate_limit_exceeded"


def test_retry_after_may_be_a_date_or_missing():
    date = "Sun, 22 Nov 2026 10:00:00 GMT"
    with ScriptedModel([Fault.rate_limited(date), Fault.rate_limited(None)]) as model:
        assert ask(model).headers["retry-after"] == date
        assert "retry-after" not in ask(model).headers


def test_an_overloaded_provider_answers_529_and_a_broken_one_what_it_likes():
    with ScriptedModel([Fault.overloaded(), Fault.server_error(), Fault.server_error(502, "Bad gateway.")]) as model:
        answers = [ask(model) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [529, 500, 502]
    assert answers[0].json()["error"]["code"] == "overloaded_error"
    assert answers[2].json()["error"]["message"] == "Bad gateway."


def test_a_cut_stream_has_some_chunks_and_no_end_and_the_retry_gets_all_of_it():
    with ScriptedModel(["one two three"]) as model:
        model.fault(Fault.cut_stream(after=2))
        seen = []
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
        with pytest.raises(httpx2.RemoteProtocolError):
            with httpx2.stream("POST", f"{model.base_url}/chat/completions", json=body, trust_env=False) as response:
                for line in response.iter_lines():
                    if line:
                        seen.append(json.loads(line.removeprefix("data: ")))
        assert [chunk["choices"][0]["delta"]["content"] for chunk in seen] == ["", "one "]
        assert ask(model, stream=True).text.endswith("data: [DONE]\n\n")
        assert [request.outcome for request in model.requests] == ["faulted", "answered"]


def test_a_whole_answer_is_cut_in_its_middle():
    with ScriptedModel(["one two three"]) as model:
        model.fault(Fault.cut_stream())
        with pytest.raises(httpx2.RemoteProtocolError):
            ask(model)


def test_bad_json_is_200_and_cannot_be_read():
    with ScriptedModel(["one", "two"]) as model:
        model.fault(Fault.bad_json())
        whole = ask(model)
        model.fault(Fault.bad_json(after=1))
        streamed = ask(model, stream=True)
    assert whole.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        whole.json()
    good, bad = [line for line in streamed.text.split("\n\n") if line]
    json.loads(good.removeprefix("data: "))
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad.removeprefix("data: "))


@pytest.mark.parametrize("stream", [False, True])
def test_a_hanging_answer_comes_once_it_is_released(stream):
    hang = Fault.hang()
    with ScriptedModel(["released"]) as model, ThreadPoolExecutor(1) as pool:
        model.fault(hang)
        asked = pool.submit(ask, model, stream=stream)
        hang.gate.wait_held()
        assert not asked.done()
        assert model.requests[0].outcome == "open"
        hang.release()
        assert "released" in asked.result(5).text
        model.wait_idle()


def test_stopping_ends_what_hangs():
    with ThreadPoolExecutor(1) as pool:
        with ScriptedModel(["never"]) as model:
            hang = model.fault(Fault.hang())
            asked = pool.submit(ask, model)
            hang.gate.wait_held()
        with pytest.raises(httpx2.TransportError):
            asked.result(5)
    assert model.requests[0].outcome == "abandoned"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scripted-model")]


def test_a_slow_stream_gives_a_chunk_for_each_permit():
    gate = Gate()
    with ScriptedModel(["one two"]) as model, ThreadPoolExecutor(1) as pool:
        model.fault(Fault.slow(gate))
        asked = pool.submit(ask, model, stream=True)
        gate.allow(2)
        gate.wait_held()
        assert not asked.done()
        gate.open()
        assert asked.result(5).text.endswith("[DONE]\n\n")


def test_a_caller_that_leaves_abandons_its_call():
    with ScriptedModel(["never"]) as model:
        hang = model.fault(Fault.hang())
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{model.base_url}/chat/completions", json=body, trust_env=False, timeout=0.1)
        model.wait_idle()
        assert model.requests[0].outcome == "abandoned"
        hang.release()


@pytest.mark.slow
def test_a_fault_strikes_the_request_it_is_placed_at():
    with ScriptedModel("fine") as model:
        model.fault(Fault.overloaded(), at=2)
        model.fault(Fault.server_error(), when=lambda request: "bad" in request.text, times=2)
        asked = ["good", "good", "bad", "good", "bad", "bad"]
        assert [ask(model, text).status_code for text in asked] == [200, 529, 500, 200, 500, 200]
        assert model.left == 0


# --- what was asked -------------------------------------------------------------------------------------------------


def test_what_was_asked_is_kept_as_it_was_sent():
    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
    with ScriptedModel("x") as model:
        ask(model, "hello", tools=tools, response_format=wanted, temperature=0.5)
        (request,) = model.requests
    assert (request.n, request.api, request.path) == (1, "chat", "/v1/chat/completions")
    assert request.body["temperature"] == 0.5
    assert request.headers["content-type"] == "application/json"
    assert (request.model, request.text, request.stream) == ("scripted", "hello", False)
    assert request.tool_names == ["find"]
    assert request.schema == {"type": "object"}


def test_only_the_last_requests_are_kept_and_all_are_counted():
    with ScriptedModel("x", keep=2) as model:
        for text in ("a", "b", "c"):
            ask(model, text)
        assert model.calls == 3
        assert [request.text for request in model.requests] == ["b", "c"]


def test_waiting_for_calls_that_do_not_come_is_told():
    with ScriptedModel("x") as model:
        ask(model)
        model.wait_calls(1)
        with pytest.raises(TimeoutError, match="2 calls: 1 came, 0 are open"):
            model.wait_calls(2, within=0.01)


@pytest.mark.slow
def test_many_callers_at_once_each_get_one_answer():
    with ScriptedModel([str(number) for number in range(40)]) as model, ThreadPoolExecutor(8) as pool:
        said = {text_of(answer) for answer in pool.map(lambda _: ask(model), range(40))}
    assert said == {str(number) for number in range(40)}


def test_an_address_is_asked_for_only_once_it_listens():
    model = ScriptedModel("x")
    with pytest.raises(RuntimeError, match="not started"):
        _ = model.base_url
    model.stop()
    with model.start():
        assert model.base_url.startswith("http://127.0.0.1:")
