"""Messages in, notifications out, and a node or its hosts killed again and again between the two (I7, I8, I10).

A folder of files is the source and a real receiver keeps what it is told. However often they die (before a message
is taken, between its run and its acknowledgement, between a post and the note of it), every file becomes exactly one
run, and every run is told at least once, under one id.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import psutil  # type: ignore[import-untyped]
import pytest

from tests.cli.served import SETTINGS, environment, make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FILES, KILLS = 60, 6
SECRET = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="


class Shop:
    """Keeps (run, webhook-id) of every post it took."""

    def __init__(self) -> None:
        told: dict[str, set[str]] = defaultdict(set)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                told[body["data"]["run"]].add(self.headers["webhook-id"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self.told = told
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def shop():
    shop = Shop()
    yield shop
    shop.close()


class Node:
    def __init__(self, folder) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pilothouse", "serve", "--json"],
                cwd=self.folder, env=environment(), stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        line = self.process.stdout.readline()
        assert line, (self.folder / "serve.log").read_text()
        return json.loads(line)["url"]

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def kill_hosts(self) -> None:
        """The processes that have the agents; the node goes on and starts others."""
        for one in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=30)


def test_files_become_runs_once_and_every_end_is_told_whatever_is_killed(tmp_path, shop):
    folder = make_project(tmp_path)
    more = f"""
[deliveries]
secret = "{SECRET}"
loopback = true
within_seconds = 2
[receivers.shop]
url = "{shop.url}"
[sources.inbox]
kind = "folder"
path = "inbox"
agent = "stepped"
input = "body.text"
concurrency = 8
"""
    (folder / "pilothouse.toml").write_text(SETTINGS + more)
    inbox = folder / "inbox"
    inbox.mkdir()
    for number in range(FILES):
        (inbox / f"{number:03}.json").write_text(json.dumps({"text": f"file {number}"}))
    node = Node(folder)
    try:
        for number in range(KILLS):
            node.start()
            begun = len(list(inbox.glob("*.json")))
            until = time.monotonic() + 90
            if number in (1, 4):  # and no oftener: a run that loses three hosts without a step fails, as it should
                while len(list(inbox.glob("*.json"))) == begun:
                    assert time.monotonic() < until, (folder / "serve.log").read_text()
                    time.sleep(0.002)
                node.kill_hosts()
            while len(list(inbox.glob("*.json"))) > max(0, begun - FILES // (2 * KILLS)):
                assert time.monotonic() < until, (folder / "serve.log").read_text()
                time.sleep(0.002)
            node.kill()
        url = node.start()
        with httpx2.Client(base_url=url, timeout=60, trust_env=False) as http:
            until = time.monotonic() + 100
            while True:
                runs = _runs(http)
                pending = http.get("/v1/deliveries", params={"status": "pending"}).json()["items"]
                if len(runs) >= FILES and not list(inbox.glob("*.json")) and not pending:
                    break
                assert time.monotonic() < until, (len(runs), len(pending))
                time.sleep(0.05)
        outputs = sorted(run["output"] for run in runs)
        assert outputs == sorted(f"FILE {number}" for number in range(FILES))
        assert {run["status"] for run in runs} == {"succeeded"}
        assert set(shop.told) == {run["id"] for run in runs}
        assert all(len(ids) == 1 for ids in shop.told.values())
        assert len(list((inbox / "done").glob("*.json"))) == FILES
    finally:
        node.stop()


def _runs(http) -> list[dict]:
    found: list[dict] = []
    cursor = None
    while True:
        query = {"agent": "stepped", "status": "succeeded", "limit": 200} | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/runs", params=query).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
