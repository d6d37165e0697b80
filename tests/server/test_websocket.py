"""Events over WebSocket: what the other stream gives, to clients of another library than ours, and the same ends.

What a stream owes its readers is shown in test_stream.py; here is what differs: the handshake, frames and close codes.
"""

import base64
import json
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from pilothouse.communication.http.options import HttpOptions
from pilothouse.communication.http.websocket_stream import WebSocketStream
from tests.server.node import serve_node
from tests.triggers.brokers import Relay

GUIDE = Path(__file__).parents[2] / "docs" / "howto" / "callers.md"


def start_kept(served, agent: str, input, **more) -> str:
    return served.post(agent, input, headers={"Prefer": "respond-async"}, **more).json()["id"]


@contextmanager
def follow(port: int, run: str, query: str = "", **more) -> Iterator[ClientConnection]:
    more = {"proxy": None, "open_timeout": 30, "close_timeout": 30} | more
    with connect(f"ws://127.0.0.1:{port}/v1/runs/{run}/ws{query}", **more) as line:
        yield line


def take_all(line: ClientConnection) -> list[str]:
    """The messages until the node closes."""
    told: list[str] = []
    try:
        while True:
            message = line.recv(30)
            assert isinstance(message, str)
            told.append(message)
    except ConnectionClosed:
        return told


def page(served, run: str, after: int = 0) -> list[dict]:
    return served.http.get(f"/v1/runs/{run}/events", params={"after": after, "limit": 1000}).json()["items"]


def test_each_message_is_an_event_as_a_page_has_it_and_the_end_is_closed_normally(served):
    run = start_kept(served, "spell", "abc")
    with follow(served.port, run) as line:
        told = take_all(line)
    assert [json.loads(one) for one in told] == page(served, run)
    assert json.loads(told[-1])["type"] == "run.succeeded"
    assert (line.close_code, line.close_reason) == (1000, "the run has ended")


def test_a_reader_goes_on_after_any_event_over_either_protocol(served):
    run = start_kept(served, "spell", "abcdef")
    with follow(served.port, run) as line:
        whole = take_all(line)
    for seen in (1, 4, len(whole) - 1):
        with follow(served.port, run, f"?after={seen}") as line:
            assert take_all(line) == whole[seen:]
        with follow(served.port, run, additional_headers={"Last-Event-ID": str(seen)}) as line:
            assert take_all(line) == whole[seen:]
    with follow(served.port, run, f"?after={len(whole)}") as line:
        assert take_all(line) == []
    assert line.close_code == 1000


def test_events_come_as_they_happen_and_pings_of_a_client_are_answered(served):
    run = start_kept(served, "vigil", "go", session="ws-live")
    with follow(served.port, run) as line:
        assert json.loads(line.recv(30))["type"] == "run.queued"
        assert line.ping("there?").wait(30)
        served.http.post(f"/v1/runs/{run}/signals/go", json={"payload": 1})
        assert json.loads(take_all(line)[-1])["type"] == "run.succeeded"


def test_a_subprotocol_is_agreed_on_when_it_is_ours(served):
    run = start_kept(served, "spell", "a")
    with follow(served.port, run, subprotocols=["other", "pilothouse.events.v1"]) as line:
        assert line.subprotocol == "pilothouse.events.v1"
    with follow(served.port, run, subprotocols=["other"]) as line:
        assert line.subprotocol is None


@pytest.mark.parametrize(
    ("run", "query", "status", "code"),
    [
        ("run_nobody", "", 404, "run_not_found"),
        ("a-run", "?after=99", 400, "bad_cursor"),
        ("a-run", "?after=x", 422, "invalid_input"),
        ("a-run", "?wait=3", 422, "invalid_input"),
    ],
)
def test_what_is_wrong_is_said_before_the_protocol_changes(served, run, query, status, code):
    if run == "a-run":
        run = start_kept(served, "spell", "a")
        page(served, run)
    with pytest.raises(InvalidStatus) as refused, follow(served.port, run, query):
        pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body)["code"] == code


@pytest.mark.slow
def test_the_client_of_the_guide_goes_on_over_a_line_that_breaks(served, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    [code] = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(code, names)
    run = start_kept(served, "vigil", "go", session="ws-guide")
    relay = Relay(served.port)
    try:
        events = names["follow"](f"ws://127.0.0.1:{relay.port}", run)
        told = [next(events)]
        relay.kill()
        relay.start()
        served.http.post(f"/v1/runs/{run}/signals/go", json={"payload": 1})
        told += events
    finally:
        relay.kill()
    assert told == page(served, run)
    with pytest.raises(InvalidStatus):
        next(names["follow"](f"ws://127.0.0.1:{served.port}", "run_nobody"))


OPENING = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"sixteen bytes...").decode(),
}  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upgrade": None, "Connection": None}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Version": None}, 400),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
    ],
)
def test_a_request_that_opens_no_websocket_is_told_what_is_spoken_here(served, headers, status):
    run = start_kept(served, "spell", "a")
    sent = {name: value for name, value in (OPENING | headers).items() if value is not None}
    answer = served.http.get(f"/v1/runs/{run}/ws", headers=sent)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    if status == 426:
        assert answer.headers["upgrade"] == "websocket"
        assert answer.headers["sec-websocket-version"] == "13"


@contextmanager
def open_raw(port: int, run: str, first: bytes = b"") -> Iterator[socket.socket]:
    """A socket that has asked for the upgrade and sent `first` with it."""
    head = "".join(f"{name}: {value}\r\n" for name, value in OPENING.items())
    with socket.create_connection(("127.0.0.1", port), 30) as line:
        line.sendall(f"GET /v1/runs/{run}/ws HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode() + first)
        yield line


def frame(opcode: int, body: bytes = b"", mask: bool = True) -> bytes:
    """Up to 125 bytes of a client; the mask is all zeros."""
    return bytes([0x80 | opcode, (0x80 if mask else 0) | len(body)]) + (bytes(4) if mask else b"") + body


def read_close(line: socket.socket) -> int:
    """The code with which the node closes. Hangs up then, as a client does that has read the close."""
    taken = b""
    while True:
        part = line.recv(65536)
        assert part, taken
        taken += part
        frames = taken.partition(b"\r\n\r\n")[2]
        while len(frames) >= 4:
            opcode, size, start = frames[0] & 0x0F, frames[1], 2
            if size == 126:
                size, start = struct.unpack("!H", frames[2:4])[0], 4
            if len(frames) < start + size:
                break
            if opcode == 8:
                line.shutdown(socket.SHUT_WR)
                return struct.unpack("!H", frames[start : start + 2])[0]
            frames = frames[start + size :]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(1, b"hello"), 1008),
        (frame(2, b"\x00"), 1008),
        (frame(1, b"not masked", mask=False), 1002),
        (frame(3), 1002),
        (bytes([0x81, 0xFE]) + struct.pack("!H", 5000) + bytes(4), 1009),
        (bytes([0x81, 0xFF]) + struct.pack("!Q", 2**62) + bytes(4), 1009),
    ],
)
def test_a_client_that_says_what_it_should_not_is_told_by_the_code_even_before_it_was_answered(served, sent, code):
    run = start_kept(served, "vigil", "go", session=f"ws-wrong-{sent[:12].hex()}")
    with open_raw(served.port, run, sent) as line:
        assert read_close(line) == code
        assert line.recv(65536) == b""
    assert served.http.get(f"/v1/runs/{run}").json()["status"] in ("queued", "running", "waiting")
    served.http.post(f"/v1/runs/{run}/cancel")


@pytest.mark.parametrize("before", [1, 3])
def test_requests_that_were_sent_before_the_one_that_upgrades_are_answered_in_order_first(served, before):
    run = start_kept(served, "spell", "ab")
    assert served.http.get(f"/v1/runs/{run}", params={"wait": 60}).json()["status"] == "succeeded"
    head = "".join(f"{name}: {value}\r\n" for name, value in OPENING.items())
    asked = [
        f"GET /v1/runs/{run}/events?after={number} HTTP/1.1\r\nHost: localhost\r\n\r\n" for number in range(before)
    ]
    opening = f"GET /v1/runs/{run}/ws HTTP/1.1\r\nHost: localhost\r\n{head}\r\n"
    with socket.create_connection(("127.0.0.1", served.port), 30) as line:
        line.sendall("".join([*asked, opening]).encode() + frame(9, b"there?"))
        line.settimeout(60)
        taken = b""
        while b"the run has ended" not in taken:
            part = line.recv(65536)
            assert part, taken
            taken += part
        line.sendall(frame(8, struct.pack("!H", 1000)))
        while line.recv(65536):
            pass
    plain, upgraded = taken.split(b"HTTP/1.1 101 ")
    assert plain.count(b"HTTP/1.1 200 ") == before
    assert plain.count(b"connection: close") == 0
    assert [plain.count(b'"seq":%d,' % seq) for seq in range(1, before + 1)] == list(range(1, before + 1))
    assert b"there?" in upgraded


def test_a_request_that_asks_for_another_protocol_than_is_spoken_is_answered_as_if_it_had_not(served):
    """And what comes behind it is not read as HTTP: the connection closes, and says so."""
    plain = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", served.port), 30) as line:
        line.sendall(plain + b"\r\n" + plain + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + plain + b"\r\n")
        line.settimeout(60)
        taken = b""
        while part := line.recv(65536):
            taken += part
    assert taken.count(b"HTTP/1.1 200 ") == 2
    assert taken.count(b"connection: close") == 1


@pytest.mark.parametrize(("header", "status"), [({}, "succeeded"), ({"X-Cancel-On-Disconnect": "true"}, "cancelled")])
def test_a_reader_that_hangs_up_stops_the_run_only_if_it_said_so(served, header, status):
    run = start_kept(served, "vigil", "go", session=f"ws-leave-{status}")
    with follow(served.port, run, additional_headers=header) as line:
        line.recv(30)
    assert line.close_code == 1000
    if status == "succeeded":
        served.http.post(f"/v1/runs/{run}/signals/go", json={"payload": 1})
    assert served.http.get(f"/v1/runs/{run}", params={"wait": 60}).json()["status"] == status


@pytest.mark.slow
def test_silence_is_filled_with_pings_and_who_answers_none_is_cut_off(served):
    run = start_kept(served, "vigil", "go", session="ws-silence")
    with served.front(HttpOptions(heartbeat_every=0.02, write_within=0.2)) as front:
        with open_raw(front.port, run) as line:
            line.settimeout(30)
            taken = b""
            while part := line.recv(65536):  # ends, since nothing answers
                taken += part
        assert taken.count(frame(9, mask=False)) >= 2
    served.http.post(f"/v1/runs/{run}/cancel")


async def test_anything_that_comes_after_a_ping_shows_that_somebody_is_there():
    written: list[bytes] = []
    exchange = SimpleNamespace(is_paused=False, is_gone=False, write=written.append)
    front = SimpleNamespace(options=HttpOptions(write_within=0.0))
    call = SimpleNamespace(exchange=exchange, front=front, headers={}, patience=SimpleNamespace(reason=None))
    stream = WebSocketStream(call, None, "run_1", 0, ())
    for _ in range(3):
        await stream._fill_silence()
        stream._hear(frame(10))
    await stream._fill_silence()
    assert written == [frame(9, mask=False)] * 4
    with pytest.raises(TimeoutError):
        await stream._fill_silence()


@pytest.mark.slow
def test_a_drain_closes_with_the_code_that_says_come_again(served):
    run = start_kept(served, "vigil", "go", session="ws-drain")
    with served.front(HttpOptions()) as front:
        with follow(front.port, run) as line:
            seen = [line.recv(30)]
            served.set_draining(True)
            served.loop.call_soon_threadsafe(front.app.drain)
            seen += take_all(line)
            assert line.close_code == 1012
            with pytest.raises(InvalidStatus) as refused, follow(front.port, run):
                pass
        served.set_draining(False)
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["retry-after"] == "1"
    served.http.post(f"/v1/runs/{run}/signals/go", json={"payload": 1})
    with follow(served.port, run, f"?after={len(seen)}") as line:
        rest = take_all(line)
    assert [json.loads(one)["seq"] for one in seen + rest] == list(range(1, len(seen + rest) + 1))


@pytest.mark.slow
def test_a_reader_that_takes_nothing_is_cut_off_and_hurts_nobody(served):
    run = start_kept(served, "flood", 10_000)
    with served.front(HttpOptions(write_within=0.05), send_buffer=8192) as front:
        with open_raw(front.port, run) as line:
            assert served.http.get(f"/v1/runs/{run}", params={"wait": 60}).json()["status"] == "succeeded"
            text = b""
            while b"pilothouse_http_streams 0.0" not in text or b"/ws" not in text:
                text = front.http.get("/metrics").content
                time.sleep(0.01)
            line.settimeout(30)
            taken = b""
            try:
                while part := line.recv(1_000_000):
                    taken += part
            except ConnectionResetError:
                pass
    assert b"run.queued" in taken
    assert b"run.succeeded" not in taken


@pytest.mark.slow
def test_more_streams_than_the_limit_are_refused_whatever_they_speak(served):
    run = start_kept(served, "vigil", "go", session="ws-many")
    with served.front(HttpOptions(streams=1)) as front:
        with follow(front.port, run) as line:
            line.recv(30)
            with pytest.raises(InvalidStatus) as refused, follow(front.port, run):
                pass
    assert refused.value.response.status_code == 503
    served.http.post(f"/v1/runs/{run}/cancel")


@pytest.mark.slow
def test_a_key_opens_it_and_a_cookie_only_for_a_page_of_this_node(tmp_path):
    """Browsers let any page open a WebSocket and send the cookies of the node along; only Origin tells whose it is."""
    with serve_node(tmp_path) as served:
        root = {"name": "root", "kind": "human", "scopes": ["*"], "roles": ["*"]}
        key = served.http.post("/v1/keys", json=root).json()["text"]
        bearer = {"Authorization": f"Bearer {key}"}
        run = served.post("spell", "abc", headers=bearer | {"Prefer": "respond-async"}).json()["id"]
        answer = served.http.post("/v1/signin", json={"key": key})
        served.http.cookies.clear()
        cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        own = f"http://127.0.0.1:{served.port}"
        for headers, origin in [(bearer, None), (cookie, own), (cookie, None)]:
            with follow(served.port, run, additional_headers=headers, origin=origin) as line:
                assert json.loads(take_all(line)[-1])["type"] == "run.succeeded"
        for headers, origin, status in [
            (cookie, "https://elsewhere.example", 403), (cookie, "null", 403),
            ({}, None, 401), ({"Authorization": "Bearer phk_no_body"}, None, 401),
        ]:  # fmt: skip
            with pytest.raises(InvalidStatus) as refused:
                with follow(served.port, run, additional_headers=headers, origin=origin):
                    pass
            assert refused.value.response.status_code == status, (headers, origin)
