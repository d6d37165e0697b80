"""The licence desk as somebody uses it: its own start program, real HTTP, and a node that is killed in between.

The model server runs in the test, so that every word it was asked is known: no document is read twice by it. What the
rules make of a text is in `test_licence_rules`.
"""

import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.examples.test_licence_rules import COMMON, EXAMPLE, MIT, MODULES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

GPL = COMMON / "GPL-2"
WITHIN = 60.0


class Desk:
    """A copy of the example in a folder of its own, and the start program that runs in it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.started: subprocess.Popen[bytes] | None = None
        self.log = folder / "start.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.started = subprocess.Popen(
                [sys.executable, "start.py", "--port", str(self.port)],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.until(lambda: b"Ctrl-C stops it" in self.log.read_bytes(), "the address")

    def until(self, reached, what):
        end = time.monotonic() + WITHIN
        while not (found := reached()):
            ended = self.started.poll()
            if ended is not None or time.monotonic() > end:
                raise AssertionError(f"no {what}; exit code {ended}:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)
        return found

    def node(self) -> int:
        """The process id of the node: the only child of the start program."""
        children = Path(f"/proc/{self.started.pid}/task/{self.started.pid}/children").read_text().split()
        assert len(children) == 1
        return int(children[0])

    def kill_node(self) -> int:
        """Ends the node without a word, and gives the exit code of the start program."""
        os.kill(self.node(), signal.SIGKILL)
        code = self.started.wait(WITHIN)
        self.log.write_bytes(b"")
        return code

    def stop(self) -> int:
        if self.started is None:
            return 0
        if self.started.poll() is None:
            self.started.send_signal(signal.SIGTERM)
        try:
            return self.started.wait(WITHIN)
        except subprocess.TimeoutExpired:
            os.kill(self.node(), signal.SIGKILL)
            return self.started.wait(WITHIN)

    def ask(self, path, body=None, **headers):
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", content, {"content-type": "application/json", **headers})
        with urllib.request.urlopen(request, timeout=WITHIN) as answer:
            return answer.status, json.loads(answer.read())

    def run(self, agent, given, **more):
        status, run = self.ask(f"/v1/agents/{agent}/runs", {"input": given, **more})
        assert status == 200
        assert run["status"] == "succeeded", run
        return run


@contextmanager
def running(tmp_path, **environment):
    folder = tmp_path / "desk"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PILOTHOUSE_"))}
    desk = Desk(folder, kept | {"NO_PROXY": "127.0.0.1"} | environment)
    try:
        desk.start()
        yield desk
    finally:
        desk.stop()


@pytest.fixture
def model():
    """The local model server of the example, in this process."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        with importlib.import_module("brain").local_model() as served:
            yield served
    finally:
        sys.path.remove(str(EXAMPLE))
        for name in MODULES:
            sys.modules.pop(name, None)


def documents_asked(model):
    return [request.text for request in model.requests if request.schema is not None]


def test_an_audit_outlives_its_node_and_asks_no_document_twice(tmp_path, model):
    planted = tmp_path / "planted"
    for name, text in (("a-gpl", GPL.read_text()), ("b-mit", MIT), ("c-odd", "Do what your mother says.")):
        (planted / name).mkdir(parents=True)
        (planted / name / "LICENSE").write_text(text)
    with running(tmp_path, **model.environment) as desk:
        status, run = desk.ask("/v1/agents/audit/runs", {"input": {"folder": str(planted), "limit": 3}})
        assert (status, run["mode"]) == (202, "event")
        found = desk.until(lambda: two_open(desk), "open reviews")
        assert sorted(each["details"]["spdx"] for each in found) == ["GPL-2.0-only", "unknown"]
        assert sorted(documents_asked(model)) == sorted(path.read_text() for path in planted.glob("*/LICENSE"))

        assert desk.kill_node() == 128 + signal.SIGKILL
        desk.start()
        assert desk.ask(f"/v1/runs/{run['id']}")[1]["status"] in ("queued", "running", "waiting")
        for review in two_open(desk):
            said = "reject" if review["details"]["kind"] == "copyleft" else "approve"
            decision = {"verdict": said, "reason": f"{said} it"}
            assert desk.ask(f"/v1/reviews/{review['id']}/decision", decision)[0] == 200
        ended = desk.ask(f"/v1/runs/{run['id']}?wait=15")[1]
        events = desk.ask(f"/v1/runs/{run['id']}/events?limit=100", accept="application/json")[1]["items"]

    assert ended["status"] == "succeeded", ended
    report = ended["output"]
    assert report["counts"] == {"permissive": 1, "copyleft": 1, "unknown": 1}
    assert {each["name"]: each["verdict"] for each in report["decisions"]} == {
        "a-gpl/LICENSE": "reject",
        "c-odd/LICENSE": "approve",
    }
    assert report["refused"] == ["a-gpl/LICENSE"]
    assert "| a-gpl/LICENSE | GPL-2.0-only | reject |" in report["markdown"]
    assert len(documents_asked(model)) == 3
    assert ended["usage"]["model_calls"] == 3
    progress = [each["delta"]["done"] for each in events if each["type"] == "output.delta"]
    assert progress == [1, 2, 3]


def two_open(desk):
    found = desk.ask("/v1/reviews?status=open")[1]["items"]
    return found if len(found) == 2 else None


def test_a_text_gets_its_record_and_a_talk_is_remembered(tmp_path, model):
    with running(tmp_path, **model.environment) as desk:
        record = desk.run("extract", MIT)["output"]
        assert (record["spdx"], record["kind"], record["holders"]) == ("MIT", "permissive", ["Ann Example"])
        assert record["evidence"][0] == {"line": 1, "text": "Copyright (c) 2019-2024 Ann Example <ann@example.org>"}
        assert desk.run("extract", "")["output"]["spdx"] == "unknown"

        first = desk.run("desk", "What licence has pytest?", session="ann")["output"]
        assert "pytest" in first
        assert "MIT (permissive)" in first
        asked = len(documents_asked(model))
        assert desk.run("desk", "And who holds it?", session="ann")["output"] == first
        assert len(documents_asked(model)) == asked
        desk.run("desk", "Note that pytest is only for tests.", session="ann")
        said = desk.run("desk", "What are my notes?", session="ann")["output"]
        assert "pytest is only for tests." in said
        assert "nothing yet" in desk.run("desk", "What are my notes?", session="bob")["output"]
        assert "What licence has pytest?" in desk.run("desk", "What did I ask before?", session="ann")["output"]

        run = desk.run("desk", "Which distributions are copyleft?", session="ann")
        page = desk.ask(f"/v1/runs/{run['id']}/events?limit=1000", accept="application/json")[1]["items"]
        streamed = "".join(each["delta"] for each in page if each["type"] == "output.delta")
        assert streamed == run["output"]


def test_a_model_that_is_busy_or_cut_off_is_asked_again(tmp_path, model):
    fault = importlib.import_module("pilothouse.testing").Fault
    with running(tmp_path, **model.environment) as desk:
        model.fault(fault.overloaded())
        model.fault(fault.bad_json(), at=2)
        assert desk.run("extract", MIT)["output"]["spdx"] == "MIT"
        model.fault(fault.cut_stream(3), at=model.calls + 1)
        run = desk.run("desk", "What are my notes?", session="ann")
        page = desk.ask(f"/v1/runs/{run['id']}/events?limit=1000", accept="application/json")[1]["items"]
        streamed = "".join(each["delta"] for each in page if each["type"] == "output.delta")
        assert streamed == run["output"]


def test_it_starts_its_own_model_ends_on_a_signal_and_tells_of_a_taken_port(tmp_path):
    with running(tmp_path) as desk:
        assert desk.run("extract", GPL.read_text())["output"]["kind"] == "copyleft"
        second = subprocess.run(
            [sys.executable, "start.py", "--port", str(desk.port)],
            cwd=desk.folder,
            env=desk.environment,
            capture_output=True,
            timeout=WITHIN,
            check=False,
        )
        assert second.returncode == 1
        assert f"Port {desk.port} is taken" in second.stderr.decode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            desk.run("audit", {"folders": "x"})
        with refused.value:
            assert refused.value.code == 422
        said = desk.log.read_text()
        assert desk.stop() == 0
    assert said.count("curl -s") == 3
