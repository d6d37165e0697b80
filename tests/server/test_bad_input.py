"""Every kind of bad input gets its clear error, and the node is none the worse for it.

The test at the end goes over them all once more on one connection: a refusal must leave the connection usable, or say
that it is closed.
"""

import json
import socket

import pytest

from pilothouse.communication.http.body import nests_deeper
from pilothouse.communication.http.options import HttpOptions

RUNS = "/v1/agents/echo/runs"
DEPTH = 64
MEGABYTE = 1024 * 1024


def post(served, content, path: str = RUNS, **headers: str):
    return served.http.post(path, content=content, headers={"Content-Type": "application/json"} | headers)


def refused(answer, status: int, code: str) -> dict:
    told = answer.json()
    assert (answer.status_code, told.get("code")) == (status, code), told
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "hint"} <= set(told)
    assert told["status"] == status
    assert answer.headers["x-request-id"]
    return told


# --- what is no JSON ------------------------------------------------------------------------------------------------

MALFORMED = {
    "nothing": b"",
    "blanks": b"  \n",
    "half a body": b'{"input": 1',
    "two bodies": b'{"input": 1} {"input": 2}',
    "no quotes": b"{input: 1}",
    "a comma too many": b'{"input": 1,}',
    "NaN": b'{"input": NaN}',
    "NaN inside": b'{"input": {"a": [1, NaN]}}',
    "Infinity": b'{"input": Infinity}',
    "minus Infinity": b'{"input": [-Infinity]}',
    "NaN in metadata": b'{"metadata": {"a": NaN}}',
    "broken UTF-8 in a payload": b'{"input": "\xff\xfe"}',
    "broken UTF-8 in metadata": b'{"metadata": {"a": "\xc3("}}',
    "broken UTF-8 in a name": b'{"in\xffput": 1}',
    "overlong UTF-8": b'{"input": "\xc0\xaf"}',
    "a surrogate as UTF-8": b'{"input": "\xed\xa0\x80"}',
    "half a surrogate pair": b'{"input": "\\ud800"}',
    "the wrong half": b'{"input": "\\udc00x"}',
    "UTF-16": '{"input": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"input": 1}',
    "a control character": b'{"input": "a\x01b"}',
    "a NUL": b'{"input": "a\x00b"}',
    "a bad escape": b'{"input": "\\x41"}',
    "a number with a leading zero": b'{"input": 01}',
    "a number without digits": b'{"input": 1.}',
    "a field twice": b'{"input": 1, "input": 2}',
    "a field twice, once escaped": b'{"input": 1, "\\u0069nput": 2}',
    "a field twice around a large payload": b'{"priority": 1, "input": "%b", "priority": 2}' % (b"x" * 600),
    "single quotes": b"{'input': 1}",
    "XML": b"<input>1</input>",
    "10,000 deep": b'{"input": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "10,000 deep and open": b'{"input": ' + b"[" * 10_000,
    "10,000 objects deep": b'{"input": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    "one level too deep": b'{"input": ' + b"[" * DEPTH + b"]" * DEPTH + b"}",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_honest_json_is_malformed(served, body):
    told = refused(post(served, body), 400, "malformed_request")
    assert "Traceback" not in told["detail"]


@pytest.mark.parametrize("body", [*list(MALFORMED.values())[:10], b'{"a": 1, "a": 2}', b'{"a": 1e999}'])
def test_a_state_is_no_place_for_it_either(served, body):
    served.post("diary", "x", session="bad-state")
    answer = served.http.patch(
        "/v1/agents/diary/sessions/bad-state/state", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)


def test_what_is_just_deep_enough_is_taken(served):
    nested = json.loads("[" * (DEPTH - 1) + "]" * (DEPTH - 1))
    assert served.post("echo", nested).json()["output"] == nested


@pytest.mark.parametrize(
    ("text", "is_deeper"),
    [
        ('["[[[[[[[[[[["]', False),
        (r'["\"[[[[[[[[[[["]', False),
        ('{"a[[[[":"]]]]{{{{"}', False),
        ("[[[[[]]]]]", True),
        ("[[],[],[],[],[],[],[]]", False),
        ('{"a":{"a":{"a":{"a":{}}}}}', True),
        ('[{"a":[{"a":1}]}]', False),
    ],
)
def test_only_real_brackets_count_as_depth(text, is_deeper):
    assert nests_deeper(text.encode(), 4) is is_deeper


# --- what does not fit ----------------------------------------------------------------------------------------------

UNFIT = {
    "a list": (b"[]", "$"),
    "a string": (b'"input"', "$"),
    "null": (b"null", "$"),
    "an unknown field": (b'{"inputs": 1}', "$.inputs"),
    "a number for a text": (b'{"session": 7}', "$.session"),
    "a text for a number": (b'{"priority": "1"}', "$.priority"),
    "a fraction for an integer": (b'{"priority": 1.5}', "$.priority"),
    "too large a number": (b'{"priority": 1001}', "$.priority"),
    "a number beyond all": (b'{"delay_seconds": 1e999}', "$.delay_seconds"),
    "an integer beyond all": (b'{"priority": 99999999999999999999999999}', "$.priority"),
    "a negative delay": (b'{"delay_seconds": -1}', "$.delay_seconds"),
    "a deadline of nothing": (b'{"deadline_seconds": 0}', "$.deadline_seconds"),
    "a word nobody knows": (b'{"on_busy": "wait"}', "$.on_busy"),
    "an empty session": (b'{"session": ""}', "$.session"),
    "a session of blanks and breaks": (b'{"session": "a\\nb"}', "$.session"),
    "a session key too long": (b'{"session": "%b"}' % (b"x" * 257), "$.session"),
    "a subject too long": (b'{"subject": "%b"}' % (b"x" * 257), "$.subject"),
    "metadata as a list": (b'{"metadata": []}', "$.metadata"),
    "metadata as null": (b'{"metadata": null}', "$.metadata"),
    "a run id without its prefix": (b'{"run_id": "mine"}', "$.run_id"),
    "a run id with a break at its end": (b'{"run_id": "run_a\\n"}', "$.run_id"),
    "a run id too long": (b'{"run_id": "run_%b"}' % (b"x" * 65), "$.run_id"),
    "a session for a stateless agent": (b'{"session": "a"}', "$.session"),
}


@pytest.mark.parametrize(("body", "path"), UNFIT.values(), ids=UNFIT.keys())
def test_what_does_not_fit_is_told_with_its_path(served, body, path):
    told = refused(post(served, body), 422, "invalid_input")
    assert [fault["path"] for fault in told["faults"]] == [path]
    assert all(fault["message"] for fault in told["faults"])


def test_all_faults_are_told_at_once_and_the_nearest_name_is_offered(served):
    told = refused(post(served, b'{"imput": 1, "priority": "a", "sesion": "b", "zzz": 0}'), 422, "invalid_input")
    assert {fault["path"]: fault["message"] for fault in told["faults"]} == {
        "$.imput": "there is no field `imput`; is `input` meant?",
        "$.priority": "expected `int`, got `str`",
        "$.sesion": "there is no field `sesion`; is `session` meant?",
        "$.zzz": "there is no field `zzz`, only `input`, `session`, `metadata`, `subject`, `priority`, "
        "`delay_seconds`, `deadline_seconds`, `on_busy`, `webhook`, `run_id`",
    }


@pytest.mark.parametrize("mode", ["end", "later", "stream"])
def test_an_input_that_does_not_fit_its_agent_is_told_with_its_path(served, mode):
    headers = {"later": {"Prefer": "respond-async"}, "stream": {"Accept": "text/event-stream"}}.get(mode, {})
    answer = served.post("shape", {"x": "one"}, headers=headers)
    if mode == "stream":
        assert "run.failed" in answer.text
        assert "invalid_input" in answer.text
    else:
        told = refused(answer, 422, "invalid_input")
        assert told["faults"][0]["path"].startswith("$")


def test_an_input_that_only_json_can_hold_is_told_too(served):
    """1e999 is JSON, and no number of any host."""
    refused(post(served, b'{"input": 1e999}'), 422, "invalid_input")
    refused(post(served, b'{"input": 1e999}', Prefer="respond-async"), 422, "invalid_input")
    refused(post(served, b'{"input": 1e999}', **{"Idempotency-Key": "huge"}), 422, "invalid_input")


def test_a_webhook_is_refused_and_not_ignored(served):
    told = refused(post(served, b'{"webhook": {"url": "https://example.org"}}'), 422, "unsupported")
    assert "webhook" in told["detail"]
    assert post(served, b'{"webhook": null}').status_code == 200


# --- what is too much -----------------------------------------------------------------------------------------------


def test_100_megabytes_are_refused_before_they_are_sent(served):
    told = refused(
        served.http.post(RUNS, content=iter([b"x" * MEGABYTE] * 100), headers={"Content-Length": str(100 * MEGABYTE)}),
        413, "too_large",
    )  # fmt: skip
    assert str(4 * MEGABYTE) in told["detail"]


def test_100_megabytes_of_unknown_length_are_refused_while_they_come(served):
    """Chunked: the client sends all of it before it listens, and still hears why."""
    answer = served.http.post(RUNS, content=iter([b"x" * MEGABYTE] * 100))
    refused(answer, 413, "too_large")
    assert answer.headers["connection"] == "close"


def test_a_client_that_asks_before_it_sends_is_spared_the_sending(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
        raw.sendall(
            b"POST /v1/agents/echo/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        answer = b""
        while part := raw.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


@pytest.mark.parametrize("length", ["4194305", "9" * 30])
def test_a_length_over_the_limit_is_enough(served, length):
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
        raw.sendall(f"POST {RUNS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        assert raw.recv(65536).split(b" ")[1] in (b"413", b"400")


def test_a_body_of_just_the_limit_is_taken(served):
    text = "x" * (4 * MEGABYTE - len('{"input":""}'))
    answer = post(served, b'{"input":"%b"}' % text.encode())
    assert (answer.status_code, len(answer.json()["output"])) == (200, len(text))
    refused(post(served, b'{"input":"%bx"}' % text.encode()), 413, "too_large")


@pytest.mark.slow
def test_all_bodies_together_have_a_limit_too(served):
    with served.front(HttpOptions(bodies_bytes=MEGABYTE)) as front:
        answer = front.http.post(RUNS, json={"input": "x" * (2 * MEGABYTE)})
        assert refused(answer, 503, "overloaded")
        assert answer.headers["retry-after"] == "1"
        assert front.http.post(RUNS, json={"input": "x" * 1000}).status_code == 200
        assert front.app.front.held_bytes == 0


@pytest.mark.slow
def test_a_body_that_does_not_come_is_waited_for_no_longer_than_the_limit(served):
    with served.front(HttpOptions(body_within=0.05)) as front:
        with socket.create_connection(("127.0.0.1", front.port), timeout=60) as raw:
            raw.sendall(f"POST {RUNS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{{".encode())
            assert raw.recv(65536).startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
def test_a_client_that_goes_away_in_the_middle_is_forgotten(served):
    with served.front(HttpOptions()) as front:
        with socket.create_connection(("127.0.0.1", front.port), timeout=60) as raw:
            raw.sendall(f"POST {RUNS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{{".encode())
        page = ""
        while 'status="400"' not in page:
            page = front.http.get("/metrics").text
        assert len(front.app.front.patiences.all) <= 1


# --- what is said about the body --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "Application/JSON"}, 200),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 200),
        ({"Content-Encoding": "identity"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
def test_a_body_that_says_it_is_something_else_is_refused(served, headers, status):
    answer = post(served, b'{"input": 1}', **headers)
    assert answer.status_code == status
    if status == 415:
        refused(answer, 415, "media_type_refused")


def test_a_body_that_says_nothing_is_read_as_json(served):
    assert served.http.post(RUNS, content=b'{"input": 1}').status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ключ".encode()])
def test_an_idempotency_key_is_short_and_visible(served, key):
    refused(served.http.post(RUNS, json={}, headers={"Idempotency-Key": key}), 400, "malformed_request")


@pytest.mark.parametrize("value", ["", "yes", "1", "{}"])
def test_a_wish_to_cancel_that_cannot_be_understood_is_not_guessed_at(served, value):
    headers = {"X-Cancel-On-Disconnect": value}
    refused(served.http.post(RUNS, json={}, headers=headers), 400, "malformed_request")
    refused(served.http.get("/v1/runs/run_a/events?after=0", headers=headers), 400, "malformed_request")


@pytest.mark.parametrize(
    ("given", "is_taken"), [("a.b-c_d:1", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("", False)]
)
def test_a_request_id_is_taken_when_it_is_sane(served, given, is_taken):
    answer = served.http.get("/healthz", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) is is_taken
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", False),
        ("nonsense", False),
    ],
)
def test_a_trace_that_cannot_be_understood_is_ignored(served, given, is_taken):
    answer = served.http.post(RUNS, json={}, headers={"traceparent": given})
    assert (answer.status_code, answer.headers.get("traceparent")) == (200, given if is_taken else None)


# --- what is asked for ----------------------------------------------------------------------------------------------

NOT_THERE = {
    "an agent": ("POST", "/v1/agents/nobody/runs", "agent_not_found"),
    "an agent with a strange name": ("POST", "/v1/agents/%F0%9F%98%80/runs", "agent_not_found"),
    "an agent that is a path": ("POST", "/v1/agents/..%2F..%2Fetc/runs", "agent_not_found"),
    "the description of an agent": ("GET", "/v1/agents/nobody", "agent_not_found"),
    "a run": ("GET", "/v1/runs/run_nobody", "run_not_found"),
    "a run with an id of somebody else": ("GET", "/v1/runs/42", "run_not_found"),
    "a run with quotes": ("GET", "/v1/runs/'%20OR%201=1", "run_not_found"),
    "a run with a NUL": ("GET", "/v1/runs/run_a%00", "run_not_found"),
    "the events of a run": ("GET", "/v1/runs/run_nobody/events", "run_not_found"),
    "a page of events of a run": ("GET", "/v1/runs/run_nobody/events?after=1", "run_not_found"),
    "the steps of a run": ("GET", "/v1/runs/run_nobody/steps", "run_not_found"),
    "a run to retry": ("POST", "/v1/runs/run_nobody/retry", "run_not_found"),
    "a run to fork": ("POST", "/v1/runs/run_nobody/fork", "run_not_found"),
    "a run to signal": ("POST", "/v1/runs/run_nobody/signals/go", "run_not_found"),
    "a run to cancel that can never be": ("POST", "/v1/runs/nobody/cancel", "run_not_found"),
    "a session": ("GET", "/v1/agents/diary/sessions/nobody", "session_not_found"),
    "a session of an agent that is not": ("GET", "/v1/agents/nobody/sessions/a", "session_not_found"),
    "a session with a break in its key": ("GET", "/v1/agents/diary/sessions/a%0Ab", "session_not_found"),
    "a state": ("GET", "/v1/agents/diary/sessions/nobody/state", "session_not_found"),
    "a history": ("GET", "/v1/agents/diary/sessions/nobody/history", "session_not_found"),
    "a session to delete": ("DELETE", "/v1/agents/diary/sessions/nobody", "session_not_found"),
    "a review": ("GET", "/v1/reviews/rev_nobody", "review_not_found"),
    "a route": ("GET", "/v1/nothing", "route_not_found"),
    "a route below one": ("GET", "/v1/runs/run_a/nothing", "route_not_found"),
    "a route with a slash at its end": ("GET", "/v1/runs/", "route_not_found"),
    "a part of the docs": ("GET", "/docs/..%2Fapp.py", "route_not_found"),
}


@pytest.mark.parametrize(("method", "path", "code"), NOT_THERE.values(), ids=NOT_THERE.keys())
def test_what_is_not_there_is_not_found(served, method, path, code):
    content = b"{}" if method == "POST" else None
    answer = served.http.request(method, path, content=content, headers={"Accept": "application/json"})
    refused(answer, 404, code)


def test_a_path_that_is_not_utf8_is_malformed(served):
    refused(served.http.get("/v1/agents/diary/sessions/%FF%FE/state"), 400, "malformed_request")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/agents/echo/runs", "OPTIONS, POST"),
        ("PUT", "/v1/runs/run_a", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/runs/run_a/events", "GET, HEAD, OPTIONS"),
        ("POST", "/v1/agents/diary/sessions/a/state", "GET, HEAD, OPTIONS, PATCH"),
        ("TRACE", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_told_with_those_it_takes(served, method, path, allowed):
    answer = served.http.request(method, path)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
    asked = served.http.options(path)
    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, allowed, b"")


QUERIES = {
    "a limit of nothing": ("/v1/runs?limit=0", "query.limit"),
    "a limit over the limit": ("/v1/runs?limit=201", "query.limit"),
    "a limit that is a word": ("/v1/runs?limit=all", "query.limit"),
    "a limit twice": ("/v1/runs?limit=1&limit=2", "query.limit"),
    "a status nobody knows": ("/v1/runs?status=running,done", "query.status[1]"),
    "a parameter nobody knows": ("/v1/runs?agents=echo", "query.agents"),
    "a parameter where there are none": ("/v1/agents?limit=1", "query.limit"),
    "a wait for ever": ("/v1/runs/run_a?wait=inf", "query.wait"),
    "a wait of no number": ("/v1/runs/run_a?wait=nan", "query.wait"),
    "a wait that is too long": ("/v1/runs/run_a?wait=301", "query.wait"),
    "a position before the first": ("/v1/runs/run_a/events?after=-1", "query.after"),
    "a position beyond all": ("/v1/runs/run_a/events?after=1e30", "query.after"),
    "a position of null": ("/v1/runs/run_a/events?after=null", "query.after"),
    "a review status nobody knows": ("/v1/reviews?status=escalated", "query.status"),
    "a review status of null": ("/v1/reviews?status=null", "query.status"),
}


@pytest.mark.parametrize(("path", "place"), QUERIES.values(), ids=QUERIES.keys())
def test_a_query_that_does_not_fit_is_told_with_the_parameter(served, path, place):
    told = refused(served.http.get(path), 422, "invalid_input")
    assert [fault["path"] for fault in told["faults"]] == [place]


@pytest.mark.parametrize(
    "query", ["agent=%FF", "&".join(["agent=a"] * 51)], ids=["not UTF-8", "more parameters than anybody needs"]
)
def test_a_query_that_cannot_be_read_is_malformed(served, query):
    refused(served.http.get(f"/v1/runs?{query}"), 400, "malformed_request")


@pytest.mark.parametrize("cursor", ["", "%20", "x" * 512, "-", "999999999999999999999", "%00", "²", "bm90IG1pbmU="])
@pytest.mark.parametrize(
    "path",
    ["/v1/runs", "/v1/runs/{run}/steps", "/v1/agents/diary/sessions/cursor/history", "/v1/reviews"],
)
def test_a_cursor_that_no_list_gave_out_is_refused(served, path, cursor):
    run = served.post("diary", "x", session="cursor").json()["id"]
    refused(served.http.get(f"{path.format(run=run)}?cursor={cursor}"), 400, "bad_cursor")


@pytest.mark.parametrize("name", ["a b", "-x", "x" * 129, "a%2Fb", "%E2%82%AC"])
def test_the_name_of_a_signal_is_plain(served, name):
    run = served.post("digest", "a", headers={"Prefer": "wait=10"}).json()["id"]
    refused(served.http.post(f"/v1/runs/{run}/signals/{name}"), 422, "invalid_input")


@pytest.mark.parametrize("tag", ["1", "'1'", '"1', '"1" "2"', '"1",'])
def test_a_condition_that_cannot_be_read_changes_nothing(served, tag):
    served.post("diary", "x", session="tags")
    answer = served.http.patch("/v1/agents/diary/sessions/tags/state", json={"a": 1}, headers={"If-Match": tag})
    refused(answer, 400, "malformed_request")


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"1", b"null"])
def test_a_patch_of_a_state_is_an_object(served, body):
    served.post("diary", "x", session="patch")
    answer = served.http.patch(
        "/v1/agents/diary/sessions/patch/state", content=body, headers={"Content-Type": "application/json"}
    )
    refused(answer, 422, "invalid_input")


def test_one_connection_survives_every_refusal_that_does_not_close_it(served):
    """One after another on one connection: whatever is wrong with one request, the next one is answered."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
        stream = raw.makefile("rb")
        for body in [*MALFORMED.values(), *(body for body, _ in UNFIT.values())]:
            head = f"POST {RUNS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            raw.sendall(head.encode() + body)
            assert read_answer(stream)[0] in (400, 422)
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(stream) == (200, b'{"status":"ok"}')


def read_answer(stream) -> tuple[int, bytes]:
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline()) != b"\r\n":
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status, stream.read(length)
