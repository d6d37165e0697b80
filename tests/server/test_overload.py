"""More than the node can take is 503 with a time to come again; health is answered all the same (I18)."""

import threading
import time

import pytest

from pilothouse.communication.http.options import HttpOptions
from pilothouse.errors import RecordsUnavailable

RUNS = "/v1/agents/echo/runs"


@pytest.mark.slow
def test_more_requests_than_the_limit_are_refused_and_health_is_not(served, tmp_path):
    gate = tmp_path / "gate"
    with served.front(HttpOptions(requests=2)) as front:
        body = {"json": {"input": str(gate)}}
        holders = [
            threading.Thread(target=front.http.post, args=("/v1/agents/hold/runs",), kwargs=body) for _ in range(2)
        ]
        for holder in holders:
            holder.start()
        while len(front.app.front.patiences.all) < 2:
            time.sleep(0.002)
        answer = front.http.post(RUNS, json={})
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")
        for path in ("/healthz", "/readyz", "/metrics"):
            assert front.http.get(path).status_code == 200
        gate.touch()
        for holder in holders:
            holder.join(60)
        assert front.http.post(RUNS, json={}).status_code == 200
        assert 'pilothouse_http_requests_total{route="other",status="503"} 1.0' in front.http.get("/metrics").text


def test_a_node_that_drains_takes_no_new_work_and_says_so(served):
    served.set_draining(True)
    try:
        refused = [served.http.post(RUNS, json={}), served.http.get("/readyz")]
        fine = [served.http.get(path) for path in ("/healthz", "/v1/runs", "/v1/agents", "/docs")]
    finally:
        served.set_draining(False)
    for answer in refused:
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "draining", "1")
    assert [answer.status_code for answer in fine] == [200] * 4


def test_records_that_cannot_answer_make_a_node_unready_and_not_dead(served, monkeypatch):
    async def next_due() -> None:
        raise RecordsUnavailable()

    monkeypatch.setattr(served.node.records, "next_due", next_due)
    answer = served.http.get("/readyz")
    told = (answer.status_code, answer.json()["code"], answer.headers["retry-after"])
    assert told == (503, "records_unavailable", "2")
    assert served.http.get("/healthz").status_code == 200


def test_a_fault_of_ours_is_told_without_its_inside_and_logged_with_it(served, monkeypatch, caplog):
    async def get_run(tenant: str, run: str) -> None:
        raise RuntimeError("SELECT secret FROM /etc/passwd")

    monkeypatch.setattr(served.node.records, "get_run", get_run)
    answer = served.http.get("/v1/runs/run_a", headers={"X-Request-Id": "find-me"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "find-me" in caplog.text
    assert "SELECT secret" in caplog.text


@pytest.mark.parametrize("path", ["/v1/runs/run_nobody", "/v1/runs/run_x/steps?limit=5", "/wherever/run_x"])
def test_what_is_counted_has_no_ids_in_its_labels(served, path):
    served.http.get(path)
    page = served.http.get("/metrics").text
    assert "run_nobody" not in page
    assert "wherever" not in page
    assert 'route="/v1/runs/{run}' in page or path.startswith("/wherever")
