"""Starting runs: who waits, what is kept, and what a repeated request finds.

Excluded: streams (test_stream.py), and input that is refused (test_bad_input.py).
"""

import concurrent.futures
import socket
import time

import pytest


def ended(served, run: str) -> dict:
    return served.http.get(f"/v1/runs/{run}", params={"wait": 60}).json()


@pytest.mark.parametrize(("agent", "status"), [("echo", 200), ("diary", 200), ("digest", 202)])
def test_the_mode_of_the_agent_says_who_waits(served, agent, status):
    answer = served.post(agent, "one two")
    assert answer.status_code == status
    assert ("location" in answer.headers) == (status == 202)


@pytest.mark.parametrize("agent", ["echo", "diary", "digest"])
def test_any_run_can_be_asked_for_later(served, agent):
    answer = served.post(agent, "one two", headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == f"/v1/runs/{answer.json()['id']}"
    assert ended(served, answer.json()["id"])["status"] == "succeeded"


def test_a_wait_that_is_too_short_is_answered_with_where_to_ask(served, tmp_path):
    gate = tmp_path / "gate"
    answer = served.post("hold", str(gate), headers={"Prefer": "wait=0.05"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0.05"
    gate.touch()
    assert ended(served, answer.json()["id"])["output"] == "released"


def test_waiting_for_no_time_tells_what_is_known_now(served):
    first = served.post("digest", "a", headers={"Prefer": "wait=10", "Idempotency-Key": "no-time"})
    again = served.post("digest", "a", headers={"Prefer": "wait=0", "Idempotency-Key": "no-time"})
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()


@pytest.mark.parametrize(
    ("prefer", "status", "applied"),
    [
        ("respond-async, wait=10", 200, "respond-async, wait=10"),
        ("wait=10; strict", 200, "wait=10"),
        ("RESPOND-ASYNC", 202, "respond-async"),
        ("wait=9, wait=0", 200, "wait=9"),
        ("wait=99999", 200, "wait=300"),
        ("wait=soon", 200, None),
        ("wait=-1", 200, None),
        ("return=minimal", 200, None),
    ],
)
def test_what_is_preferred_is_applied_or_ignored_as_the_standard_says(served, prefer, status, applied):
    answer = served.post("echo", "x", headers={"Prefer": prefer})
    assert (answer.status_code, answer.headers.get("preference-applied")) == (status, applied)


def test_a_stateless_run_is_not_kept_unless_it_is_asked_for_later(served):
    unkept = served.post("echo", 1).json()["id"]
    kept = served.post("echo", 1, headers={"Prefer": "wait=10"}).json()["id"]
    keyed = served.post("echo", 1, headers={"Idempotency-Key": "kept-1"}).json()["id"]
    found = [served.http.get(f"/v1/runs/{run}").status_code for run in (unkept, kept, keyed)]
    assert found == [404, 200, 200]


def test_the_run_carries_what_the_request_said(served):
    body = {"metadata": {"order": [1]}, "subject": "ann", "priority": -3, "session": "carries", "deadline_seconds": 60}
    told = served.post("diary", "x", **body).json()
    assert {name: told[name] for name in ("metadata", "subject", "priority", "session")} == {
        name: body[name] for name in ("metadata", "subject", "priority", "session")
    }
    assert told["deadline_at"] > told["created_at"]


def test_a_delayed_run_starts_when_its_time_has_come(served):
    answer = served.post("digest", "a b", delay_seconds=0.2)
    told = answer.json()
    assert (answer.status_code, told["status"]) == (202, "queued")
    assert told["due_at"] > told["created_at"]
    done = ended(served, told["id"])
    assert done["status"] == "succeeded"
    assert done["started_at"] >= told["due_at"]


def test_a_run_that_fails_tells_what_went_wrong_and_what_to_do(served):
    answer = served.post("boom", 0)
    told = answer.json()
    assert (answer.status_code, told["status"], told["output"]) == (200, "failed", None)
    assert set(told["error"]) == {"code", "message", "hint"}
    assert told["error"]["code"] == "agent_failed"


def test_an_id_that_the_client_chose_is_used_once(served):
    first = served.post("digest", "a", run_id="run_mine-1")
    again = served.post("digest", "a", run_id="run_mine-1")
    assert (first.status_code, first.json()["id"]) == (202, "run_mine-1")
    assert (again.status_code, again.json()["code"]) == (409, "run_exists")
    assert again.json()["run"] == "run_mine-1"


def test_a_cancel_may_come_before_its_run(served):
    noted = served.http.post("/v1/runs/run_early-1/cancel")
    assert (noted.status_code, noted.json()) == (202, {"id": "run_early-1", "remembered": True})
    told = served.post("digest", "a", run_id="run_early-1", headers={"Prefer": "wait=10"}).json()
    assert told["status"] == "cancelled"


@pytest.mark.parametrize("path", ["/v1/agents/ech%6F/runs", "/v1/%61gents/echo/runs", "/v1/agents/echo/runs?"])
def test_a_path_may_be_written_in_other_ways(served, path):
    answer = served.http.post(path, json={"input": [1]})
    assert (answer.status_code, answer.json()["output"]) == (200, [1])


# --- the same request again (I7) ------------------------------------------------------------------------------------


def test_the_same_key_and_body_is_the_same_run_however_it_is_written(served):
    headers = {"Idempotency-Key": "same-1", "Content-Type": "application/json"}
    bodies = ['{"input": {"a": 1, "b": 2}}', '{ "input" : {"b":2,"a":1} }', '{"input":{"a":1,"b":2}}']
    found = [served.http.post("/v1/agents/echo/runs", content=body, headers=headers) for body in bodies]
    assert {answer.status_code for answer in found} == {200}
    assert len({answer.json()["id"] for answer in found}) == 1


@pytest.mark.parametrize(
    ("agent", "body"), [("echo", {"input": 2}), ("echo", {"input": 1, "priority": 1}), ("diary", {"input": 1})]
)
def test_the_same_key_and_another_request_is_a_mismatch(served, agent, body):
    served.post("echo", 1, headers={"Idempotency-Key": "other-1"})
    answer = served.http.post(f"/v1/agents/{agent}/runs", json=body, headers={"Idempotency-Key": "other-1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")


def test_many_at_once_with_one_key_start_one_run(served):
    def post(_: int) -> str:
        return served.post("digest", "a b", headers={"Idempotency-Key": "many-1", "Prefer": "wait=10"}).json()["id"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(post, range(16)))) == 1


# --- one turn at a time ---------------------------------------------------------------------------------------------


def test_a_busy_session_refuses_when_asked_to(served):
    first = served.post("vigil", "go", session="busy-1", headers={"Prefer": "respond-async"}).json()["id"]
    answer = served.post("vigil", "go", session="busy-1", on_busy="reject")
    assert (answer.status_code, answer.json()["code"]) == (409, "session_busy")
    served.http.post(f"/v1/runs/{first}/signals/go", json={"payload": {"done": True}})
    assert ended(served, first)["output"] == {"done": True}


@pytest.mark.slow
def test_a_turn_that_interrupts_ends_the_one_before_as_cancelled(served):
    first = served.post("vigil", "go", session="busy-2", headers={"Prefer": "respond-async"}).json()["id"]
    second = served.post("vigil", "go", session="busy-2", on_busy="interrupt", headers={"Prefer": "respond-async"})
    assert ended(served, first)["status"] == "cancelled"
    served.http.post(f"/v1/runs/{second.json()['id']}/signals/go", json={"payload": 1})
    assert ended(served, second.json()["id"])["output"] == 1


# --- the connection ends --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("header", "status"), [({}, "succeeded"), ({"X-Cancel-On-Disconnect": "true"}, "cancelled")])
def test_a_caller_that_goes_away_stops_its_run_only_if_it_said_so(served, tmp_path, header, status):
    gate, run = tmp_path / "gate", f"run_gone-{status}"
    headers = {"Idempotency-Key": run} | header
    body = {"input": str(gate), "run_id": run}
    request = served.http.build_request("POST", "/v1/agents/hold/runs", json=body, headers=headers)
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as caller:
        caller.sendall("\r\n".join(["POST /v1/agents/hold/runs HTTP/1.1", *lines, "", ""]).encode() + request.content)
        while served.http.get(f"/v1/runs/{run}").json().get("status") != "running":
            time.sleep(0.005)
    if not header:
        gate.touch()
    assert ended(served, run)["status"] == status
    gate.touch()
