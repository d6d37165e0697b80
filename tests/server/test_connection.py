"""HTTP/1.1 itself: what may come on a connection, in which order it is answered, and how long it is waited for."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from pilothouse.communication.http import connection
from pilothouse.communication.http.exchange import header_line
from pilothouse.communication.http.options import HttpOptions

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
MEGABYTE = 1024 * 1024


def run_of(text: str, *more: str) -> bytes:
    body = b'{"input":"%b"}' % text.encode()
    head = ["POST /v1/agents/echo/runs HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*head, "", ""]).encode() + body


@contextmanager
def opened(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
        yield raw


def talk(port: int, *parts: bytes) -> bytes:
    """All that is said until the other side closes."""
    with opened(port) as raw:
        for part in parts:
            raw.sendall(part)
        answer = b""
        while part := raw.recv(65536):
            answer += part
        return answer


def statuses(answer: bytes) -> list[int]:
    return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def read_until(raw: socket.socket, mark: bytes) -> bytes:
    answer = b""
    while mark not in answer:
        part = raw.recv(65536)
        assert part, answer
        answer += part
    return answer


def test_pipelined_requests_are_answered_in_their_order(served):
    with opened(served.port) as raw:
        raw.sendall(run_of("first") + run_of("second") + HEALTH + run_of("third"))
        answer = read_until(raw, b'"output":"third"')
    assert statuses(answer) == [200] * 4
    places = [answer.index(b'"output":"%b"' % one) for one in (b"first", b"second", b"third")]
    assert places == sorted(places)


def test_what_came_whole_before_something_that_is_no_request_is_answered(served):
    answer = talk(served.port, run_of("first") + run_of("second") + HEALTH + b"\x00 nonsense\r\n\r\n")
    assert statuses(answer)[:3] == [200] * 3
    assert [answer.count(b'"output":"%b"' % one) for one in (b"first", b"second")] == [1, 1]
    assert answer.count(b"connection: close") == 1


def test_a_request_may_come_byte_by_byte(served):
    with opened(served.port) as raw:
        for byte in run_of("slow"):
            raw.sendall(bytes([byte]))
        assert b'"output":"slow"' in read_until(raw, b"usage")


def test_a_client_that_asks_whether_to_go_on_is_told_so(served):
    request = run_of("expected", "Expect: 100-continue")
    with opened(served.port) as raw:
        raw.sendall(request[:-20])
        assert raw.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(request[-20:])
        assert statuses(read_until(raw, b"usage")) == [200]


def test_a_client_that_is_refused_before_it_sends_gets_a_connection_that_closes(served):
    head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    answer = talk(served.port, head)
    assert statuses(answer) == [404]
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("request_line", "closes"),
    [
        (b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", True),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", True),
        (b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", True),
        (b"GET /healthz?#part HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", True),
        (b"GET /heal%74hz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", True),
    ],
)
def test_a_request_may_be_written_in_many_ways(served, request_line, closes):
    answer = talk(served.port, request_line)
    assert statuses(answer)[0] in (200, 404)  # the fourth is a path of its own: it was sent encoded
    assert b"connection: close" in answer
    assert b"\r\ndate: " in answer


def test_an_old_client_gets_a_stream_without_chunks(served):
    body = b'{"input":"ab"}'
    head = (
        b"POST /v1/agents/spell/runs HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\nContent-Length: %d\r\n"
    )
    answer = talk(served.port, head % len(body) + b"\r\n" + body)
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\n\n")
    assert b"event: run.succeeded" in answer


def test_a_head_without_a_body_says_how_long_it_would_be(served):
    with opened(served.port) as raw:
        raw.sendall(HEALTH.replace(b"GET", b"HEAD") + HEALTH)
        answer = read_until(raw, b"}")
    first, second = answer.split(b"HTTP/1.1 200 OK")[1:]
    length = re.search(rb"content-length: (\d+)", first)
    assert first.endswith(b"\r\n\r\n")
    assert length is not None
    assert length[0] in second


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / FTP/1.1\r\n\r\n",
     b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
     b"POST /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
     "GET /größe HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1")],
)  # fmt: skip
def test_what_is_no_request_is_refused_with_a_problem_and_the_connection_closes(served, garbage):
    answer = talk(served.port, garbage)
    assert statuses(answer) == [400]
    assert b"application/problem+json" in answer
    assert b'"code":"malformed_request"' in answer


def test_what_came_before_the_garbage_is_answered(served):
    answer = talk(served.port, run_of("fine") + b"\x00\x01garbage\r\n\r\n")
    assert statuses(answer) == [200]
    assert b'"output":"fine"' in answer


def test_a_body_that_breaks_in_the_middle_is_never_taken_for_whole(served):
    head = b"POST /v1/agents/echo/runs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with opened(served.port) as raw:
        raw.sendall(head + b'd\r\n{"input":"a"}\r\n')
        raw.sendall(b"zz\r\n")
        answer = read_until(raw, b"}")
    assert statuses(answer) == [400]


def test_another_protocol_is_not_spoken(served):
    upgrade = HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    answer = talk(served.port, upgrade)
    assert statuses(answer) == [200]
    assert b"connection: close" in answer


def test_a_head_has_a_limit(served):
    answer = talk(served.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", b"x" * connection.HEAD_LIMIT)
    assert statuses(answer) == [431]
    assert b'"code":"too_large"' in answer


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHos"])
def test_a_head_that_does_not_come_is_waited_for_no_longer_than_the_limit(served, monkeypatch, sent):
    monkeypatch.setattr(connection, "HEAD_WITHIN", 0.02)
    monkeypatch.setattr(connection, "SWEEP_EVERY", 0.005)
    with served.front(HttpOptions()) as front:
        answer = talk(front.port, sent)
    assert statuses(answer) == ([408] if sent else [])


@pytest.mark.slow
def test_an_idle_connection_is_closed_after_its_time(served, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_WITHIN", 0.02)
    monkeypatch.setattr(connection, "SWEEP_EVERY", 0.005)
    with served.front(HttpOptions()) as front:
        assert statuses(talk(front.port, HEALTH)) == [200]


@pytest.mark.slow
def test_a_client_that_pipelines_and_never_reads_is_not_answered_without_end(served):
    """One answer of a megabyte lies in the buffer; the others are not even begun before it is read."""
    request = run_of("x" * MEGABYTE)
    with served.front(HttpOptions(), send_buffer=4096) as front:
        before = started(served)
        with opened(front.port) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sender = threading.Thread(target=send_all, args=(raw, request * 20))
            sender.start()
            while started(served) == before:
                pass
            for _ in range(20):
                front.http.get("/healthz")
            assert started(served) - before <= 3
            raw.close()
            sender.join(60)


def send_all(raw: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        raw.sendall(data)


def started(served) -> float:
    page = served.http.get("/metrics").text
    found = re.search(r'pilothouse_runs_started_total\{agent="echo"\} (\S+)', page)
    return float(found[1]) if found else 0.0


def test_a_long_row_of_pipelined_refusals_is_answered_one_by_one(served):
    """Each is refused at once and begins the next: that must not nest."""
    request = b"POST /v1/agents/no/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
    count = 700
    with opened(served.port) as raw:
        sender = threading.Thread(target=send_all, args=(raw, request * count))
        sender.start()
        found = b""
        while found.count(b"HTTP/1.1 ") < count:
            part = raw.recv(65536)
            assert part
            found += part
        sender.join(60)
    assert set(statuses(found)) == {404}


@pytest.mark.slow
def test_a_server_that_stops_answers_what_it_has_taken_and_closes_what_is_idle(served, tmp_path):
    gate = tmp_path / "gate"
    body = b'{"input":"%b"}' % str(gate).encode()
    head = b"POST /v1/agents/hold/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with served.front(HttpOptions()) as front:
        with opened(front.port) as idle, opened(front.port) as busy:
            busy.sendall(head + body)
            while len(front.app.front.patiences.all) < 1:
                pass
            closing = asyncio.run_coroutine_threadsafe(front.server.stop(), served.loop)
            assert idle.recv(10) == b""
            gate.touch()
            answer = read_until(busy, b"}")
            closing.result(10)
    assert statuses(answer) == [503]  # a run that is not kept cannot be asked for later
    assert b"connection: close" in answer


@pytest.mark.parametrize(("name", "value"), [(b"x y", b"1"), (b"x", b"1\r\nset-cookie: a"), (b"", b""), (b"x", b"\0")])
def test_a_header_that_would_be_another_is_never_written(name, value):
    with pytest.raises(ValueError, match="cannot be a header"):
        header_line(name, value)
