"""Streams: from any point, in order, without a gap (I4), and never at the cost of the node (I18).

Excluded: the bytes of a frame, see tests/wire/test_event.py.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from pilothouse.communication.http.options import HttpOptions

STREAM = {"Accept": "text/event-stream"}


def parse(text: str) -> list[dict[str, str]]:
    """The events of a stream; a comment is `{"": text}`."""
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n") if block]


def start_kept(served, agent: str, input, **more) -> str:
    return served.post(agent, input, headers={"Prefer": "respond-async"}, **more).json()["id"]


def events(served, run: str, **headers: str) -> httpx2.Response:
    return served.http.get(f"/v1/runs/{run}/events", headers=STREAM | headers)


@contextmanager
def open_stream(http: httpx2.Client, path: str, method: str = "GET", **more) -> Iterator[Iterator[str]]:
    with http.stream(method, path, headers=STREAM | more.pop("headers", {}), **more) as answer:
        assert answer.status_code == 200, answer.read()
        yield answer.iter_text()


@pytest.mark.parametrize("kept", [True, False])
def test_a_post_streams_the_run_from_the_first_event_to_the_terminal_one(served, kept):
    headers = STREAM | ({"Idempotency-Key": "stream-kept"} if kept else {})
    answer = served.post("spell", "hi", headers=headers)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    told = parse(answer.text)
    assert [one["event"] for one in told] == [
        "run.queued", "run.started", "output.delta", "output.delta", "run.succeeded",
    ]  # fmt: skip
    assert [json.loads(one["data"])["seq"] for one in told] == [1, 2, 3, 4, 5] == [int(one["id"]) for one in told]
    assert answer.headers["location"] == f"/v1/runs/{json.loads(told[0]['data'])['run']}"


def test_a_stream_resumed_anywhere_is_the_rest_of_the_same_bytes(served):
    run = start_kept(served, "spell", "abcdefgh")
    whole = events(served, run).text
    frames = [f"{one}\n\n" for one in whole.split("\n\n")[:-1]]
    assert len(frames) == 11
    for seen in range(1, len(frames)):
        assert events(served, run, **{"Last-Event-ID": str(seen)}).text == "".join(frames[seen:])
    assert served.http.get(f"/v1/runs/{run}/events?after=4", headers=STREAM).text == "".join(frames[4:])


def test_a_stream_that_was_seen_to_its_end_says_that_there_is_no_more(served):
    run = start_kept(served, "spell", "a")
    last = parse(events(served, run).text)[-1]["id"]
    answer = events(served, run, **{"Last-Event-ID": last})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("position", ["99", "1000000000000000"])
def test_a_position_that_no_event_has_gets_an_answer_and_not_silence(served, position):
    run = start_kept(served, "vigil", "go", session=f"position-{position}")
    answer = events(served, run, **{"Last-Event-ID": position})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")
    served.http.post(f"/v1/runs/{run}/cancel")


@pytest.mark.parametrize("seen", ["-1", "1.0", "x", "9" * 19, "٣"])
def test_a_last_event_id_that_is_no_number_is_refused(served, seen):
    run = start_kept(served, "spell", "a")
    answer = served.http.get(f"/v1/runs/{run}/events", headers={**STREAM, "Last-Event-ID": seen.encode()})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_a_request_that_is_sent_again_goes_on_where_its_stream_broke_off(served):
    headers = STREAM | {"Idempotency-Key": "again-1"}
    first = served.post("spell", "abc", headers=headers).text
    again = served.post("spell", "abc", headers=headers | {"Last-Event-ID": "3"}).text
    assert first.endswith(again)
    assert parse(again)[0]["id"] == "4"


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        ("*/*", "", "text/event-stream; charset=utf-8"),
        ("*/*", "?after=0", "application/json"),
        ("application/json", "", "application/json"),
        ("application/json", "?after=2&limit=1", "application/json"),
        ("text/event-stream", "?after=2", "text/event-stream; charset=utf-8"),
        ("text/event-stream;q=0, application/json", "", "application/json"),
    ],
)
def test_accept_and_after_say_whether_it_is_a_stream_or_a_page(served, accept, query, kind):
    run = start_kept(served, "spell", "a")
    events(served, run)
    answer = served.http.get(f"/v1/runs/{run}/events{query}", headers={"Accept": accept})
    assert answer.headers["content-type"] == kind


def test_pages_hold_what_the_stream_holds(served):
    run = start_kept(served, "spell", "abcde")
    streamed = [json.loads(one["data"]) | {"type": one["event"]} for one in parse(events(served, run).text)]
    paged: list[dict] = []
    after: str | None = "0"
    while after is not None:
        page = served.http.get(f"/v1/runs/{run}/events", params={"after": after, "limit": 3}).json()
        paged, after = paged + page["items"], page["next_cursor"]
    assert paged == streamed


def test_events_come_as_they_happen_and_many_read_them_at_once(served):
    run = start_kept(served, "vigil", "go", session="live-1")
    told: list[str] = []
    readers = [threading.Thread(target=lambda: told.append(events(served, run).text)) for _ in range(5)]
    for reader in readers:
        reader.start()
    with open_stream(served.http, f"/v1/runs/{run}/events") as chunks:
        assert next(chunks).startswith("id: 1\nevent: run.queued")
        served.http.post(f"/v1/runs/{run}/signals/go", json={"payload": 1})
        assert "run.succeeded" in "".join(chunks)
    for reader in readers:
        reader.join(60)
    assert (len(told), len(set(told))) == (5, 1)
    assert [int(one["id"]) for one in parse(told[0])] == list(range(1, len(parse(told[0])) + 1))


@pytest.mark.slow
def test_silence_is_filled_with_comments(served):
    run = start_kept(served, "vigil", "go", session="silence-1")
    with served.front(HttpOptions(heartbeat_every=0.02)) as front:
        with open_stream(front.http, f"/v1/runs/{run}/events") as chunks:
            seen = ""
            while seen.count(": heartbeat\n\n") < 3:
                seen += next(chunks)
    served.http.post(f"/v1/runs/{run}/cancel")
    assert [one for one in parse(seen) if "" in one] == [{"": "heartbeat"}] * seen.count(": heartbeat")


@pytest.mark.slow
def test_a_drain_tells_readers_to_come_again_and_loses_nothing(served):
    run = start_kept(served, "vigil", "go", session="drain-1")
    with served.front(HttpOptions(reconnect_after=0.25)) as front:
        with open_stream(front.http, f"/v1/runs/{run}/events") as chunks:
            seen = next(chunks)
            served.set_draining(True)
            served.loop.call_soon_threadsafe(front.app.drain)
            seen += "".join(chunks)
            refused = front.http.get(f"/v1/runs/{run}/events", headers=STREAM)
            polled = front.http.get(f"/v1/runs/{run}", params={"wait": 60})
        served.set_draining(False)
    told = parse(seen)
    assert told[-1]["event"] == "reconnect"
    assert told[-1]["retry"] == "250"
    assert "id" not in told[-1]
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert polled.json()["status"] in ("running", "waiting", "queued")
    served.http.post(f"/v1/runs/{run}/signals/go", json={"payload": 1})
    rest = parse(events(served, run, **{"Last-Event-ID": told[-2]["id"]}).text)
    assert int(rest[0]["id"]) == int(told[-2]["id"]) + 1


@pytest.mark.slow
def test_a_wait_for_the_end_is_left_alone_by_a_drain_and_answered_at_the_end_of_its_grace(served):
    with served.front(HttpOptions()) as front:
        answers: list[httpx2.Response] = []

        def wait() -> None:
            answers.append(front.http.post("/v1/agents/vigil/runs", json={"input": "go", "session": "grace-1"}))

        waiter = threading.Thread(target=wait)
        waiter.start()
        while not (found := served.http.get("/v1/runs", params={"session": "grace-1"}).json()["items"]):
            time.sleep(0.005)
        served.loop.call_soon_threadsafe(front.app.drain)
        waiter.join(0.1)
        assert waiter.is_alive()
        served.loop.call_soon_threadsafe(front.app.release)
        waiter.join(60)
    assert (answers[0].status_code, answers[0].headers["location"]) == (202, f"/v1/runs/{found[0]['id']}")
    served.http.post(f"/v1/runs/{found[0]['id']}/cancel")


@pytest.mark.parametrize(("header", "status"), [({}, "succeeded"), ({"X-Cancel-On-Disconnect": "true"}, "cancelled")])
def test_a_reader_that_goes_away_stops_the_run_only_if_it_said_so(served, header, status):
    body = {"input": "go", "session": f"reader-{status}", "run_id": f"run_reader-{status}"}
    with open_stream(served.http, "/v1/agents/vigil/runs", "POST", json=body, headers=header) as chunks:
        next(chunks)
    if status == "succeeded":
        served.http.post(f"/v1/runs/{body['run_id']}/signals/go", json={"payload": 1})
    assert served.http.get(f"/v1/runs/{body['run_id']}", params={"wait": 60}).json()["status"] == status


@pytest.mark.slow
def test_a_reader_that_takes_nothing_loses_its_stream_and_hurts_nobody(served):
    """The run goes on, another reader gets everything, and of the stuck one nothing stays."""
    run = start_kept(served, "flood", 10_000)
    with served.front(HttpOptions(write_within=0.05), send_buffer=8192) as front:
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", front.port))
        stuck.sendall(f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert served.http.get(f"/v1/runs/{run}", params={"wait": 60}).json()["status"] == "succeeded"
        page = b""
        while b"pilothouse_http_streams 0.0" not in page or b"/events" not in page:
            page = front.http.get("/metrics").content
            time.sleep(0.01)
        stuck.settimeout(60)
        taken = b""
        while part := stuck.recv(1_000_000):
            taken += part
        stuck.close()
    assert b"run.queued" in taken
    assert b"run.succeeded" not in taken
    assert [int(one["id"]) for one in parse(events(served, run).text)] == list(range(1, 104))


@pytest.mark.slow
def test_more_streams_than_the_limit_are_refused_with_when_to_come_again(served):
    run = start_kept(served, "vigil", "go", session="streams-1")
    with served.front(HttpOptions(streams=1)) as front:
        with open_stream(front.http, f"/v1/runs/{run}/events") as chunks:
            next(chunks)
            answer = front.http.get(f"/v1/runs/{run}/events", headers=STREAM)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    served.http.post(f"/v1/runs/{run}/cancel")


def test_the_head_of_a_stream_can_be_asked_for(served):
    run = start_kept(served, "spell", "a")
    answer = served.http.head(f"/v1/runs/{run}/events")
    assert (answer.status_code, answer.content) == (200, b"")
