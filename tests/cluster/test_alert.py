"""What a worker counted outlives it: an alert is judged over all nodes and shown by those that are left."""

import pytest

from tests.cluster.test_takeover import started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MISSED = "objectives = { share = 0.9, ended_within_seconds = 60, anomalies = false }"
RUNS = 6


async def test_a_gateway_shows_the_alert_of_a_worker_that_has_gone(cluster):
    """The worker tells what it counted in a last round, also when it is told to end right after its last run."""
    worker, gateway = (cluster(role, agents={"chain": MISSED}) for role in ("worker", "gateway"))
    await started(worker, gateway)
    for number in range(RUNS):
        await gateway.caller.start_known("chain", f"run_{number}", {"steps": "no number"})
        assert (await gateway.caller.wait_end(f"run_{number}"))["status"] == "failed"
    assert await worker.terminate() == 0
    shown = await gateway.caller.ask("GET", "/v1/alerts")
    assert shown.status == 200, shown
    told = [(one["agent"], one["objective"], one["severity"], one["measured"]) for one in shown.body["items"]]
    assert told == [("chain", "ended", "page", 1.0)], shown
