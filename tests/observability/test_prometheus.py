"""A real Prometheus scrapes a real node, an alert fires, Alertmanager tells a webhook of it, and it is resolved.

Prometheus and Alertmanager are Debian's; where they are missing the test says so and is left out, and .ci/run installs
them. The exported files are used as they are, but for how often they look: a test cannot wait for 30 s rounds.
"""

import json
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from tests.cli.served import serve
from tests.observability.test_runbooks import queries

MISSING = [one for one in ("prometheus", "prometheus-alertmanager") if shutil.which(one) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"missing: apt install {' '.join(MISSING)}"),
]
WITHIN = 60.0
AGENTS = """\
def moody(mood: str) -> str:
    if mood == "bad":
        raise ValueError("a bad mood")
    return mood
"""
SETTINGS = """\
[server]
port = 0
[agents.moody]
target = "moody:moody"
objectives = { share = 0.9 }
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Told(ThreadingHTTPServer):
    """What Alertmanager posts."""

    def __init__(self) -> None:
        self.alerts: list[dict] = []
        super().__init__(("127.0.0.1", 0), Hook)


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.alerts += json.loads(body)["alerts"]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@contextmanager
def running(log, *command: str):
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def webhook():
    server = Told()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def wait_for(look, what):
    until = time.monotonic() + WITHIN
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {WITHIN:g} s")


def test_a_missed_objective_reaches_a_webhook_through_prometheus_and_is_resolved(tmp_path, webhook):
    (tmp_path / "moody.py").write_text(AGENTS)
    (tmp_path / "pilothouse.toml").write_text(SETTINGS)
    with serve(tmp_path) as url, httpx2.Client(base_url=url) as client:
        ports = write_config(tmp_path, url, f"http://127.0.0.1:{webhook.server_port}/")

        def ask(mood: str, times: int) -> None:
            for _ in range(times):
                client.post("/v1/agents/moody/runs", json={"input": mood})

        def found(status: str):
            return [one for one in webhook.alerts if one["status"] == status and one["labels"]["agent"] == "moody"]

        with (
            running(tmp_path / "am.log", *alertmanager(tmp_path, ports)),
            running(tmp_path / "prom.log", *prometheus(tmp_path, ports)),
        ):
            ask("good", 1)  # a counter that appears with its first miss has not risen, for Prometheus
            wait_for(lambda: scraped(ports[0], "pilothouse_objective_runs_total"), "the first scrape")
            ask("bad", 20)
            fired = wait_for(lambda: found("firing"), "the alert")
            assert fired[0]["labels"]["alertname"] == "PilothouseObjectiveBurns"
            assert "runs of moody" in fired[0]["annotations"]["summary"]
            assert client.get("/v1/alerts").status_code == 200
            everything_can_be_asked(ports[0])
            ask("good", 1000)
            wait_for(lambda: found("resolved"), "the end of the alert")


def everything_can_be_asked(port: int) -> None:
    """Each rule is in good health, and each query of the runbooks is understood and answered."""
    rules = asked(port, "rules")["groups"]
    health = {rule["name"]: (rule["health"], rule.get("lastError")) for group in rules for rule in group["rules"]}
    assert {"PilothouseObjectiveBurns", "PilothouseNodeDown"} <= set(health)
    assert {found for found in health.values() if found[0] not in ("ok", "unknown")} == set()
    for query in queries():
        assert asked(port, "query", query=query)["resultType"] == "vector", query


def asked(port: int, what: str, **params: str) -> dict:
    answer = httpx2.get(f"http://127.0.0.1:{port}/api/v1/{what}", params=params, timeout=WITHIN)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def scraped(port: int, metric: str) -> list:
    try:
        answer = httpx2.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": metric})
    except httpx2.ConnectError:  # it has not begun to listen
        return []
    return answer.status_code == 200 and answer.json()["data"]["result"]


def write_config(folder, url, hook):
    from pilothouse.domain.objective import Objectives
    from pilothouse.observability.export import alert_files

    files = alert_files({"moody": Objectives(share=0.9)}, hook)
    ports = free_port(), free_port()
    (folder / "rules.yml").write_text(files["pilothouse-rules.yml"].replace("interval: 30s", "interval: 1s"))
    quick = files["alertmanager.yml"].replace("group_wait: 10s", "group_wait: 1s")
    (folder / "alertmanager.yml").write_text(quick.replace("group_interval: 1m", "group_interval: 1s"))
    target = url.removeprefix("http://")
    (folder / "prometheus.yml").write_text(
        files["scrape.yml"].replace("127.0.0.1:8700", target).replace("scrape_interval: 15s", "scrape_interval: 1s")
        + f"rule_files: [rules.yml]\nalerting: {{alertmanagers: [{{static_configs: [{{targets: "
        f'["127.0.0.1:{ports[1]}"]}}]}}]}}\n'
    )
    return ports


def prometheus(folder, ports):
    return (
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{ports[0]}",
    )


def alertmanager(folder, ports):
    return (
        "prometheus-alertmanager",
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/am",
        f"--web.listen-address=127.0.0.1:{ports[1]}",
        "--cluster.listen-address=",
    )
