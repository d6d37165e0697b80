"""Asking for runs and changing them: pages, steps, cancel, retry, fork, signals; reviews, sessions and agents."""

import pytest


def start(served, agent: str, input, **more) -> str:
    return served.post(agent, input, headers={"Prefer": "respond-async"}, **more).json()["id"]


def ended(served, run: str) -> dict:
    return served.http.get(f"/v1/runs/{run}", params={"wait": 60}).json()


def wait_status(served, run: str, status: str) -> dict:
    """Asks until the run has that status."""
    found: dict = {"status": None}
    for _ in range(500):
        found = served.http.get(f"/v1/runs/{run}", params={"wait": 0.01}).json()
        if found["status"] == status:
            break
    assert found["status"] == status
    return found


def test_pages_of_runs_hold_each_run_once_newest_first(served):
    made = [start(served, "digest", f"page {number}") for number in range(7)]
    for run in made:
        ended(served, run)
    seen: list[str] = []
    cursor = None
    while True:
        query = {"agent": "digest", "limit": 3} | ({} if cursor is None else {"cursor": cursor})
        page = served.http.get("/v1/runs", params=query).json()
        seen += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None or set(made) <= set(seen):
            break
    assert [run for run in seen if run in made] == made[::-1]
    assert len(seen) == len(set(seen))


def test_runs_are_found_by_agent_session_status_and_parent(served):
    run = start(served, "vigil", "go", session="find/me")
    query = {"agent": "vigil", "session": "find/me", "status": ["queued,running", "waiting"]}
    assert [one["id"] for one in served.http.get("/v1/runs", params=query).json()["items"]] == [run]
    assert served.http.get("/v1/runs", params=query | {"status": "failed"}).json() == {"items": [], "next_cursor": None}
    assert served.http.get("/v1/runs", params={"parent": run}).json()["items"] == []
    served.http.post(f"/v1/runs/{run}/cancel")


def test_steps_come_in_pages_in_their_order(served):
    run = start(served, "digest", "a\nb b\nc c c")
    assert ended(served, run)["output"] == 6
    whole = served.http.get(f"/v1/runs/{run}/steps").json()["items"]
    assert [(step["kind"], step["name"], step["status"], step["attempt"], step["output"]) for step in whole] == [
        ("step", "count", "succeeded", 1, 1),
        ("step", "count", "succeeded", 1, 2),
        ("step", "count", "succeeded", 1, 3),
    ]
    seen: list[dict] = []
    cursor = None
    for _ in range(10):
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = served.http.get(f"/v1/runs/{run}/steps", params=query).json()
        seen, cursor = seen + page["items"], page["next_cursor"]
        if cursor is None:
            break
    assert {step["key"] for step in seen} == {step["key"] for step in whole}


def test_steps_can_be_asked_for_by_their_kind(served):
    run = start(served, "vigil", "go", session="kinds")
    served.http.post(f"/v1/runs/{run}/signals/go", json={"payload": 1})
    ended(served, run)
    path = f"/v1/runs/{run}/steps"

    def kinds(*wanted: str) -> list[str]:
        page = served.http.get(path, params={"kind": list(wanted)}).json()
        assert page["next_cursor"] is None
        return [step["kind"] for step in page["items"]]

    assert "signal" in kinds()
    assert kinds("signal") == ["signal"]
    assert kinds("checkpoint", "tool") == []
    assert kinds("tool", "signal") == ["signal"]
    refused = served.http.get(path, params={"kind": "thought"})
    assert refused.status_code == 422
    assert "kind" in refused.text


def test_a_wait_ends_with_the_run_and_not_with_its_time(served):
    run = start(served, "vigil", "go", session="wait-1")
    assert served.http.get(f"/v1/runs/{run}", params={"wait": 0.05}).json()["status"] in ("running", "waiting")
    served.http.post(f"/v1/runs/{run}/signals/go", json={"payload": [1]})
    assert ended(served, run)["output"] == [1]


# --- changing -------------------------------------------------------------------------------------------------------


def test_a_run_that_does_not_go_on_says_what_it_waits_for(served):
    first = start(served, "vigil", "go", session="waits/for")
    asked = wait_status(served, first, "waiting")["waits_for"]
    assert asked["kind"] in ("answer", "review")
    second = start(served, "vigil", "go", session="waits/for")
    turn = served.http.get(f"/v1/runs/{second}").json()["waits_for"]
    assert (turn["kind"], turn["on"]) == ("turn", first)
    later = start(served, "digest", "x", delay_seconds=3600)
    assert served.http.get(f"/v1/runs/{later}").json()["waits_for"]["kind"] == "time"
    for run in (second, first, later):
        served.http.post(f"/v1/runs/{run}/cancel")
        assert "waits_for" not in ended(served, run)


def test_a_cancelled_run_stays_cancelled_however_often_it_is_cancelled(served):
    run = start(served, "vigil", "go", session="cancel-1")
    first = served.http.post(f"/v1/runs/{run}/cancel", json={"reason": "not needed"})
    assert first.status_code in (200, 202)
    told = ended(served, run)
    assert (told["status"], told["error"]["code"]) == ("cancelled", "cancelled")
    assert "not needed" in told["error"]["message"]
    again = served.http.post(f"/v1/runs/{run}/cancel")
    assert (again.status_code, again.json()) == (200, told)


def test_a_failed_run_can_be_retried_as_a_new_one_that_keeps_its_steps(served):
    run = start(served, "digest", "one\nbad")
    assert ended(served, run)["status"] == "failed"
    made = served.http.post(f"/v1/runs/{run}/retry")
    assert (made.status_code, made.json()["origin"]) == (202, run)
    again = ended(served, made.json()["id"])
    assert again["status"] == "failed"
    steps = served.http.get(f"/v1/runs/{again['id']}/steps").json()["items"]
    assert [step["status"] for step in steps] == ["succeeded", "failed"]


def test_a_run_that_goes_on_is_not_retried(served):
    run = start(served, "vigil", "go", session="retry-1")
    answer = served.http.post(f"/v1/runs/{run}/retry", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "run_active")
    served.http.post(f"/v1/runs/{run}/cancel")


def test_a_fork_goes_on_from_a_step_with_another_output(served):
    run = start(served, "digest", "one\ntwo two\nthree three three")
    ended(served, run)
    keys = [step["key"] for step in served.http.get(f"/v1/runs/{run}/steps").json()["items"]]
    answer = served.http.post(
        f"/v1/runs/{run}/fork", json={"after": keys[1], "replace": {keys[0]: 100}}, headers={"Prefer": "wait=10"}
    )
    assert (answer.status_code, answer.json()["output"]) == (200, 105)
    unknown = served.http.post(f"/v1/runs/{run}/fork", json={"after": "nothing-1"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "step_not_found")


def test_a_signal_is_kept_and_refused_after_the_end(served):
    run = start(served, "vigil", "go", session="signal-1")
    answer = served.http.post(f"/v1/runs/{run}/signals/go", json={"payload": {"n": 1}})
    assert (answer.status_code, answer.json()["id"]) == (202, run)
    assert ended(served, run)["output"] == {"n": 1}
    late = served.http.post(f"/v1/runs/{run}/signals/go")
    assert (late.status_code, late.json()["code"], late.json()["run"]) == (409, "run_ended", run)


# --- reviews --------------------------------------------------------------------------------------------------------


def open_review(served, question: str) -> tuple[str, dict]:
    run = start(served, "ask", question)
    wait_status(served, run, "waiting")
    (review,) = served.http.get("/v1/reviews", params={"status": "open", "run": run}).json()["items"]
    return run, review


def test_a_review_shows_what_is_asked(served):
    run, review = open_review(served, "Pay?")
    assert {name: review[name] for name in ("run", "agent", "question", "details", "status", "answer", "kind")} == {
        "run": run, "agent": "ask", "question": "Pay?", "details": {"why": "a test"}, "status": "open", "answer": None,
        "kind": "gate",
    }  # fmt: skip
    assert served.http.get(f"/v1/reviews/{review['id']}").json() == review
    served.http.post(f"/v1/runs/{run}/cancel")
    assert served.http.get(f"/v1/reviews/{review['id']}").json()["status"] == "cancelled"


@pytest.mark.parametrize(
    ("decision", "output"),
    [
        ({"verdict": "approve", "reason": "fine"}, "approve None  fine local"),
        ({"verdict": "edit", "edited": {"a": 1}}, "edit {'a': 1}   local"),
        ({"verdict": "reject"}, "reject None   local"),
        ({"verdict": "respond", "response": "later"}, "respond None later  local"),
    ],
)
def test_a_decision_reaches_its_run_and_is_taken_once(served, decision, output):
    run, review = open_review(served, "Go on?")
    answer = served.http.post(f"/v1/reviews/{review['id']}/decision", json=decision)
    assert (answer.status_code, answer.json()["status"]) == (200, "decided")
    assert answer.json()["answer"] | decision == answer.json()["answer"]
    again = served.http.post(f"/v1/reviews/{review['id']}/decision", json=decision)
    assert (again.status_code, again.json()["code"]) == (409, "review_closed")
    assert ended(served, run)["output"] == output


@pytest.mark.parametrize(
    ("decision", "path"),
    [
        ({}, "$.verdict"),
        ({"verdict": "maybe"}, "$.verdict"),
        ({"verdict": "expired"}, "$.verdict"),
        ({"verdict": "edit"}, "$.edited"),
        ({"verdict": "respond"}, "$.response"),
        ({"verdict": "approve", "by": "the boss"}, "$.by"),
        ({"verdict": "approve", "reason": 1}, "$.reason"),
    ],
)
def test_a_decision_that_does_not_fit_changes_nothing(served, decision, path):
    answer = served.http.post("/v1/reviews/rev_any/decision", json=decision)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert [fault["path"] for fault in answer.json()["faults"]] == [path]


# --- sessions and agents ----------------------------------------------------------------------------------------------

KEYS = [
    "plain", "with/slash", "with%percent", "with space", "question?mark#hash", "ключ", "émile+1@x.org", "a" * 256, "..",
    "😀",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_session_is_found_by_its_key_whatever_is_in_it(served, key):
    served.post("diary", "x", session=key)
    path = f"/v1/agents/diary/sessions/{quote(key)}"
    for rest in ("", "/history", "/state"):
        assert served.http.get(path + rest).status_code == 200, rest
    assert served.http.get(path).json()["key"] == key
    assert served.http.delete(path).status_code == 204
    assert served.http.get(path).status_code == 404


def quote(key: str) -> str:
    """Every byte encoded, so that no client takes a dot or a slash for its own."""
    return "".join(f"%{byte:02X}" for byte in key.encode())


def test_a_session_that_is_busy_is_not_deleted(served):
    run = start(served, "vigil", "go", session="busy-3")
    wait_status(served, run, "waiting")
    path = "/v1/agents/vigil/sessions/busy-3"
    answer = served.http.delete(path)
    assert answer.json()["code"] in ("session_busy", "session_not_found")
    served.http.post(f"/v1/runs/{run}/signals/go")
    ended(served, run)
    assert served.http.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("condition", "status"), [('"1"', 200), ('"7", "1"', 200), ("*", 200), ('"2"', 412), ('W/"1"', 412), ('""', 412)]
)
def test_a_state_is_written_only_if_its_version_is_the_one_that_was_read(served, condition, status):
    key = f"version {condition}"
    served.post("diary", "x", session=key)
    path = f"/v1/agents/diary/sessions/{quote(key)}/state"
    assert served.http.get(path).headers["etag"] == '"1"'
    answer = served.http.patch(path, json={"a": 1}, headers={"If-Match": condition})
    assert answer.status_code == status
    if status == 200:
        assert (answer.json()["a"], answer.headers["etag"]) == (1, '"2"')
    else:
        assert answer.json()["code"] == "state_conflict"
        assert "a" not in served.http.get(path).json()


@pytest.mark.parametrize("media", ["application/json", "application/merge-patch+json"])
def test_a_patch_removes_what_is_null_and_goes_into_objects(served, media):
    key = f"merge-{len(media)}"
    served.post("diary", "x", session=key)
    path = f"/v1/agents/diary/sessions/{key}/state"
    for patch in ('{"a": {"b": 1, "c": 2}, "notes": null}', '{"a": {"b": null, "d": [1]}}'):
        served.http.patch(path, content=patch, headers={"Content-Type": media})
    assert served.http.get(path).json() == {"a": {"c": 2, "d": [1]}}


def test_a_forked_session_has_the_turns_up_to_a_run(served):
    runs = [served.post("diary", f"note {number}", session="fork-1").json()["id"] for number in range(3)]
    path = "/v1/agents/diary/sessions/fork-1/fork"
    made = served.http.post(path, json={"key": "fork-2", "after": runs[1]})
    assert (made.status_code, made.json()["turns"]) == (201, 2)
    history = served.http.get("/v1/agents/diary/sessions/fork-2/history").json()["items"]
    assert [turn["run"] for turn in history] == runs[:2]
    again = served.http.post(path, json={"key": "fork-2"})
    assert (again.status_code, again.json()["code"]) == (409, "session_exists")
    foreign = served.http.post(path, json={"key": "fork-3", "after": "run_nobody"})
    assert (foreign.status_code, foreign.json()["faults"][0]["path"]) == (422, "$.after")


def test_history_is_read_backwards_page_by_page(served):
    for number in range(5):
        served.post("diary", f"note {number}", session="history-1")
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = served.http.get("/v1/agents/diary/sessions/history-1/history", params=query).json()
        seen = [turn["input"] for turn in page["items"]] + seen
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"note {number}" for number in range(5)]


def test_an_agent_says_what_it_takes_and_gives(served):
    agents = {agent["name"]: agent for agent in served.http.get("/v1/agents").json()["items"]}
    assert list(agents) == sorted(agents)
    assert agents["echo"]["description"] == "Says what it hears."
    assert (agents["diary"]["mode"], agents["digest"]["mode"]) == ("session", "event")
    assert agents["shape"]["input_schema"]["type"] == "object"
    assert len(agents["echo"]["releases"]) == 1
    assert served.http.get("/v1/agents/shape").json() == agents["shape"]


def test_a_list_that_is_looked_at_leaves_out_what_is_long(served):
    long, short = "x" * 5000, "y" * 100
    runs = [start(served, "digest", text, metadata={"text": text}) for text in (short, long)]
    for run in runs:
        ended(served, run)
    page = served.http.get("/v1/runs", params={"agent": "digest", "limit": 2, "payloads": "short"}).json()["items"]
    assert [(one["id"], one["input"], one["metadata"]) for one in page] == [
        (runs[1], None, {}),
        (runs[0], short, {"text": short}),
    ]
    whole = served.http.get("/v1/runs", params={"agent": "digest", "limit": 1}).json()["items"]
    assert whole[0]["input"] == long
