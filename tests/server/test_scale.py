"""`GET /v1/scale` over HTTP and from the command: what waits is seen within the second in which it is counted."""

import json
import time

import pytest

from pilothouse.cli.program import run_program
from pilothouse.settings import Flag
from tests.server.node import serve_node

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    slots = (Flag("worker.slots", "slots", 2),)
    with serve_node(tmp_path_factory.mktemp("small"), slots) as served:
        yield served


def test_what_runs_and_waits_is_told_with_the_workers_that_it_wants(small, tmp_path, capsys):
    gate = tmp_path / "gate"
    headers = {"Prefer": "respond-async"}
    runs = [small.post("hold", str(gate), headers=headers).json()["id"] for _ in range(6)]
    try:
        until = time.monotonic() + 30
        while (found := small.http.get("/v1/scale").json())["ready"] + found["running"] < 6:
            assert time.monotonic() < until, found
            time.sleep(0.05)
        assert (found["workers"], found["places"], found["running"], found["busy"]) == (1, 2, 2, 1.0)
        assert found["wanted"] == 4  # six places, of which 1.6 of a worker are to be taken
        [hold] = [one for one in found["agents"] if one["agent"] == "hold"]
        assert (hold["ready"], hold["running"]) == (4, 2)
        assert found["oldest_wait_seconds"] >= 0
        alone = small.http.get("/v1/scale", params={"agent": "echo"}).json()
        assert (alone["ready"], alone["wanted"]) == (0, 1)
        assert small.http.get("/v1/scale", params={"agent": "nobody"}).status_code == 404
        page = small.http.get("/metrics").text
        assert 'pilothouse_backlog_runs{agent="hold",state="ready"} 4.0' in page
        assert "pilothouse_workers_wanted 4.0" in page
        assert run_program(["scale", "--json", "--url", str(small.http.base_url)]) == 0
        assert json.loads(capsys.readouterr().out)["wanted"] == 4
        assert run_program(["scale", "--url", str(small.http.base_url)]) == 0
        assert "4 workers wanted, 1 there, 100% of 2 places taken" in capsys.readouterr().out
    finally:
        gate.touch()
    for run in runs:
        assert small.http.get(f"/v1/runs/{run}", params={"wait": 30}).json()["status"] == "succeeded"
