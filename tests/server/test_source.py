"""Sources over HTTP: signed posts need no key and unsigned ones do; CloudEvents in, dead letters out, replay."""

import hashlib
import hmac
import json

import pytest

from pilothouse.communication.triggers.loop import Counts
from pilothouse.communication.triggers.push import Desk
from pilothouse.communication.triggers.registry import Sources
from pilothouse.domain.source import SourceRule
from pilothouse.engine.source import Intake

KEY = b"a secret for tests"
CE = {"ce-specversion": "1.0", "ce-source": "/tests", "ce-type": "order.paid", "content-type": "application/json"}


def intake(name: str, **rule) -> Intake:
    return Intake(SourceRule(name=name, agent="digest", **rule), "default")


@pytest.fixture(scope="module")
def sourced(served):
    front = served.node.http.front
    before, front.sources = (
        front.sources,
        Sources(
            {
                "events": Desk(intake("events", input="body.text")),
                "github": Desk(intake("github", input="body.text"), "github", (KEY,)),
            }
        ),
    )
    yield served
    front.sources = before


def post(served, source: str, body: bytes, **headers: str):
    return served.http.post(f"/v1/sources/{source}/messages", content=body, headers=headers)


def test_a_cloudevent_becomes_a_run_once(sourced):
    answers = [post(sourced, "events", b'{"text": "a b c"}', **CE, **{"ce-id": "1"}) for _ in range(3)]
    assert [one.status_code for one in answers] == [202] * 3
    taken = [one.json()["items"][0] for one in answers]
    assert [one["outcome"] for one in taken] == ["run", "repeat", "repeat"]
    assert len({one["run"] for one in taken}) == 1
    assert sourced.http.get(f"/v1/runs/{taken[0]['run']}", params={"wait": 60}).json()["output"] == 3


def test_a_batch_of_cloudevents_becomes_as_many_runs(sourced):
    events = [
        {"specversion": "1.0", "id": f"b{number}", "source": "/t", "type": "x", "data": {"text": "a"}}
        for number in range(3)
    ]
    answer = post(
        sourced, "events", json.dumps(events).encode(), **{"content-type": "application/cloudevents-batch+json"}
    )
    assert [one["outcome"] for one in answer.json()["items"]] == ["run"] * 3


def test_a_signed_post_is_let_in_and_another_is_not(sourced):
    body = b'{"text": "a b"}'
    signature = "sha256=" + hmac.new(KEY, body, hashlib.sha256).hexdigest()
    headers = {"X-GitHub-Delivery": "d1", "X-Hub-Signature-256": signature}
    assert post(sourced, "github", body, **headers).json()["items"][0]["outcome"] == "run"
    refused = post(sourced, "github", body + b" ", **headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "signature_refused")


def test_what_cannot_become_a_run_is_a_dead_letter_that_can_be_replayed(sourced):
    answer = post(sourced, "events", b'{"text": 5}', **CE, **{"ce-id": "dead-1"})
    assert (answer.status_code, answer.json()["items"][0]["outcome"]) == (202, "dead")
    [letter] = sourced.http.get("/v1/sources/events/dead").json()["items"]
    assert (letter["key"], letter["text"], letter["attributes"]["type"]) == (
        "/tests dead-1",
        '{"text": 5}',
        "order.paid",
    )
    again = sourced.http.post("/v1/sources/events/replay", json={"ids": [letter["id"]]}).json()["items"]
    assert [one["outcome"] for one in again] == ["dead"]
    sourced.node.http.front.sources.desks["events"].intake = intake("events", input="'mended text'")
    again = sourced.http.post("/v1/sources/events/replay").json()["items"]
    assert [one["outcome"] for one in again] == ["run"]
    assert sourced.http.get("/v1/sources/events/dead").json()["items"] == []
    sourced.node.http.front.sources.desks["events"].intake = intake("events", input="body.text")


def test_sources_are_listed_with_what_they_brought(sourced):
    post(sourced, "events", b'{"text": "a"}', **CE, **{"ce-id": "listed"})
    listed = {one["name"]: one for one in sourced.http.get("/v1/sources").json()["items"]}
    assert listed["events"]["kind"] == "http"
    assert listed["events"]["taken"] + listed["events"]["dead"] > 0


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        (lambda http: http.post("/v1/sources/none/messages", content=b"1"), 404, "source_not_found"),
        (lambda http: http.post("/v1/sources/events/messages", content=b"1"), 400, "malformed_request"),
        (lambda http: http.get("/v1/sources/none/dead"), 404, "source_not_found"),
        (lambda http: http.post("/v1/sources/none/replay"), 404, "source_not_found"),
        (lambda http: http.post("/v1/sources/events/replay", json={"ids": ["x"]}), 404, "dead_letter_not_found"),
    ],
)
def test_what_is_not_there_is_told(sourced, call, status, code):
    answer = call(sourced.http)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_node_that_drains_asks_the_sender_to_come_again(sourced):
    sourced.set_draining(True)
    try:
        answer = post(sourced, "events", b'{"text": "a"}', **CE, **{"ce-id": "later"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
    finally:
        sourced.set_draining(False)
    assert post(sourced, "events", b'{"text": "a"}', **CE, **{"ce-id": "later"}).json()["items"][0]["outcome"] == "run"


@pytest.fixture
def foreign(sourced):
    """A source of another tenant than the caller's."""
    sources = sourced.node.http.front.sources
    theirs = Intake(SourceRule(name="theirs", agent="digest", input="body.text"), "blue")
    sources.desks["theirs"] = Desk(theirs)
    sources.desks["signed"] = Desk(Intake(SourceRule(name="signed", agent="digest"), "blue"), "github", (KEY,))
    sources._counts |= {name: Counts() for name in ("theirs", "signed")}
    yield sourced
    for name in ("theirs", "signed"):
        del sources.desks[name], sources._counts[name]


def test_a_source_of_another_tenant_is_none_to_the_caller(foreign):
    names = {one["name"] for one in foreign.http.get("/v1/sources").json()["items"]}
    assert "events" in names
    assert not names & {"theirs", "signed"}
    assert post(foreign, "theirs", b'{"text": "a"}', **CE, **{"ce-id": "t1"}).status_code == 404
    for path, verb in (("dead", "GET"), ("replay", "POST")):
        answer = foreign.http.request(verb, f"/v1/sources/theirs/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "source_not_found")


def test_a_signed_message_becomes_a_run_of_the_tenant_of_its_source(foreign):
    body = b'"one two"'
    signature = "sha256=" + hmac.new(KEY, body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": signature, "X-GitHub-Delivery": "d-blue", "content-type": "application/json"}
    answer = post(foreign, "signed", body, **headers)
    assert answer.status_code == 202, answer.text
    run = answer.json()["items"][0]["run"]
    assert foreign.http.get(f"/v1/runs/{run}").status_code == 404
    kept = foreign.do(foreign.node.world.records.get_run("blue", run))
    assert (kept.tenant, kept.agent) == ("blue", "digest")
