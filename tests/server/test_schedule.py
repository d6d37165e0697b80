"""Schedules over HTTP: made, read, paused, resumed, fired by hand, deleted; and by the loop of a node that serves."""

import time

import pytest


@pytest.fixture
def name(served, request):
    name = f"s-{abs(hash(request.node.name)) % 10**8}"
    yield name
    served.http.delete(f"/v1/schedules/{name}")


def make(served, called: str, **more):
    return served.http.post("/v1/schedules", json={"name": called, "agent": "digest", "input": "a b"} | more)


def test_a_schedule_is_made_and_read_with_its_next_firings(served, name):
    made = make(served, name, cron="0 7 * * MON-FRI", zone="Europe/Berlin", metadata={"a": 1})
    assert made.status_code == 201
    shown = served.http.get(f"/v1/schedules/{name}").json()
    assert shown == made.json()
    assert (shown["status"], shown["zone"], shown["input"], shown["overlap"]) == (
        "active",
        "Europe/Berlin",
        "a b",
        "skip",
    )
    firings = served.http.get(f"/v1/schedules/{name}/firings").json()["items"]
    assert len(firings) == 10
    assert firings[0] == shown["next_at"]
    assert firings == sorted(firings)
    listed = served.http.get("/v1/schedules").json()["items"]
    assert shown in listed


def test_one_fires_by_itself_pauses_and_is_gone(served, name):
    assert make(served, name, every_seconds=1).status_code == 201
    until = time.monotonic() + 10
    while (shown := served.http.get(f"/v1/schedules/{name}").json())["last_run"] is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    run = served.http.get(f"/v1/runs/{shown['last_run']}", params={"wait": 60}).json()
    assert (run["status"], run["output"], run["metadata"]["schedule"]) == ("succeeded", 2, name)
    assert served.http.post(f"/v1/schedules/{name}/pause").json()["status"] == "paused"
    assert served.http.post(f"/v1/schedules/{name}/resume").json()["status"] == "active"
    assert served.http.delete(f"/v1/schedules/{name}").status_code == 204
    assert served.http.get(f"/v1/schedules/{name}").json()["code"] == "schedule_not_found"


def test_one_is_fired_by_hand(served, name):
    make(served, name, at="2199-01-01T00:00:00Z")
    fired = served.http.post(f"/v1/schedules/{name}/run")
    assert fired.status_code == 202
    assert served.http.get(fired.headers["location"], params={"wait": 60}).json()["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "schedule_refused"),
        ({"cron": "0 7 * *"}, 422, "schedule_refused"),
        ({"cron": "0 7 * * *", "zone": "Mars/Olympus"}, 422, "schedule_refused"),
        ({"every_seconds": 0.1}, 422, "invalid_input"),
        ({"cron": "0 7 * * *", "agent": "nobody"}, 404, "agent_not_found"),
        ({"cron": "0 7 * * *", "name": "a b"}, 422, "invalid_input"),
        ({"cron": "0 7 * * *", "overlap": "merge"}, 422, "invalid_input"),
        ({"cron": "0 7 * * *", "session": "a\nb"}, 422, "invalid_input"),
    ],
)
def test_what_cannot_be_is_refused(served, name, body, status, code):
    answer = make(served, name, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_name_is_given_once(served, name):
    make(served, name, every_seconds=3600)
    assert make(served, name, every_seconds=3600).json()["code"] == "schedule_exists"
