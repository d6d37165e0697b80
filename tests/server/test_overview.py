"""How things stand, and the feed that says what changes."""

import json

import pytest

from tests.server.test_ask import ended, start


def test_the_overview_counts_what_was_done(served):
    run = start(served, "digest", "counted")
    ended(served, run)
    found = served.http.get("/v1/overview", params={"agent": "digest", "seconds": 600, "slices": 10}).json()
    assert len(found["slices"]) == 10
    assert found["slice_seconds"] == 60
    assert found["total"]["succeeded"] >= 1
    assert [one["agent"] for one in found["agents"]] == ["digest"]
    assert found["covers_from"] == found["begin"]
    assert sum(one["created"] for one in found["slices"]) == found["total"]["created"]
    assert set(found["queue"]) == {"ready", "held", "running", "waiting"}
    assert found["reviews"]["count"] >= 0


@pytest.mark.parametrize("query", [{"seconds": 1}, {"seconds": 1e9}, {"slices": 0}, {"slices": 5000}, {"since": "x"}])
def test_a_span_that_cannot_be_shown_is_refused(served, query):
    assert served.http.get("/v1/overview", params=query).status_code == 422


def test_sessions_are_listed_by_their_keys(served):
    for key in ("list/b", "list/a", "else"):
        served.post("diary", "note", session=key)
    found = served.http.get("/v1/agents/diary/sessions", params={"prefix": "list/"}).json()
    assert [(one["key"], one["turns"]) for one in found["items"]] == [("list/a", 1), ("list/b", 1)]
    first = served.http.get("/v1/agents/diary/sessions", params={"prefix": "list/", "limit": 1}).json()
    rest = served.http.get("/v1/agents/diary/sessions", params={"prefix": "list/", "cursor": first["next_cursor"]})
    assert [one["key"] for one in rest.json()["items"]] == ["list/b"]
    assert served.http.get("/v1/agents/nobody/sessions").json() == {"items": [], "next_cursor": None}
    assert served.http.get("/v1/agents/diary/sessions", params={"cursor": "AAAA"}).status_code == 400


def test_the_feed_names_a_run_that_changes_and_carries_none_of_its_words(served):
    with served.http.stream("GET", "/v1/feed", headers={"Accept": "text/event-stream"}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: listening"
        run = start(served, "digest", "a secret word")
        told = []
        for line in lines:
            assert "secret" not in line
            assert not line.startswith("id:")
            if line.startswith('data: {"runs'):
                told += json.loads(line[6:])["runs"]
                if run in told:
                    break
    ended(served, run)


def test_the_feed_ends_with_reconnect_when_the_node_drains(served):
    with served.http.stream("GET", "/v1/feed") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: listening"
        served.set_draining(True)
        try:

            async def drain() -> None:
                served.node.http.drain()

            served.do(drain())
            assert "event: reconnect" in list(lines)
        finally:
            served.set_draining(False)
