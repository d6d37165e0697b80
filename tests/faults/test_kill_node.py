"""What else a killed node must not take with it: inline attempts, timers, and the processes it had started.

Excluded: kills at each moment of each step (`test_kill_step`), kills under mixed load (`test_kill_load`).
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.checkers import check_run, check_timers
from tests.faults.client import wait_until
from tests.observability.collector import Collector, attributes

pytestmark = pytest.mark.slow

RUN = "run_inline"
SECRET = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="
SPANS = {"run_soon": 3.0, "run_later": 8.0}


async def test_inline_attempts_and_timers_outlive_their_node(serve, receiver):
    """One timer comes due while no node runs, the other one later: each fires once, neither early nor lost. The inline
    agent dies with the node, before an effect and after one, and goes on by the same journal."""
    node = serve('[worker]\nisolation = "inline"\npark_after_seconds = 0.1')
    gates = [receiver.hold(RUN, "1", "before"), receiver.hold(RUN, "2", "after")]
    await node.start()
    assert node.hosts() == []
    await node.caller.start_known("chain", RUN, {"steps": 4})
    for run, seconds in SPANS.items():
        await node.caller.start_known("rest", run, seconds)
    due_at = datetime.now(UTC) + timedelta(seconds=SPANS["run_soon"])
    for run in SPANS:
        await node.caller.wait_run(run, lambda found: found["status"] in ("waiting", "succeeded"))
    for gate in gates:
        await gate.wait_reached()
        await node.kill()
        gate.drop()
        await asyncio.sleep(max(0.0, (due_at - datetime.now(UTC)).total_seconds()))  # the span itself is the case
        await node.start()
        await node.caller.wait_end("run_soon")  # else the next kill may come between its effect and the commit
    healed_at = datetime.now(UTC)
    assert (await node.caller.wait_end(RUN))["output"] == [0, 1, 2, 3]
    assert check_run(await node.caller.read(RUN), receiver.of(RUN)) == []
    assert [len(receiver.of(RUN, str(number))) for number in range(4)] == [1, 1, 2, 1]
    for run, seconds in SPANS.items():
        assert (await node.caller.wait_end(run))["status"] == "succeeded"
        reading = await node.caller.read(run)
        assert check_timers(reading, seconds, within=10, healed_at=healed_at) == []
        assert check_run(reading, receiver.of(run)) == []
        assert len(receiver.of(run)) == 1


async def test_the_trace_of_a_run_outlives_its_node_and_tells_no_span_twice(serve, receiver):
    """What waited to be sent may be lost with the node; what is sent before and after it belongs to one trace."""
    collector = Collector()
    try:
        node = serve(f'[traces]\nendpoint = "{collector.url}"\nshare = 1\n')
        gate = receiver.hold("run_traced", "2", "before")
        await node.start()
        await node.caller.start_known("chain", "run_traced", {"steps": 4})
        await gate.wait_reached()
        await node.kill()
        gate.drop()
        await node.start()
        assert (await node.caller.wait_end("run_traced"))["output"] == [0, 1, 2, 3]
        await node.terminate()  # what waits is sent
    finally:
        collector.close()
    spans = [span for span in collector.spans if attributes(span)["pilothouse.run"] == "run_traced"]
    [root] = [span for span in spans if span.name == "invoke_agent chain"]
    steps = [span for span in spans if span is not root]
    assert len({span.span_id for span in spans}) == len(spans)
    assert {span.trace_id for span in spans} == {root.trace_id}
    assert {span.parent_span_id for span in steps} == {root.span_id}
    assert [attributes(span)["pilothouse.attempt"] for span in steps].count(2) == 2, "2 and 3 were done by the second"


ONCALL = f"""[deliveries]
secret = "{SECRET}"
loopback = true
[receivers.oncall]
url = "http://127.0.0.1:9/"
events = ["alert.fired", "alert.resolved"]
"""
MISSED = "objectives = { share = 0.9, ended_within_seconds = 0.000001, anomalies = false }"


async def test_an_alert_outlives_its_node_and_is_told_once_over_all_its_lives(serve):
    """Each life begins with what is in the records: it shows the alert at once, and tells of it no second time."""
    node = serve(ONCALL, agents={"chain": MISSED})
    await node.start()
    for number in range(12):
        await node.caller.start_known("chain", f"run_{number}", {"steps": 0})
        await node.caller.wait_end(f"run_{number}")
    shown = []

    async def is_shown():  # within a round of fifteen seconds
        shown[:] = (await node.caller.ask("GET", "/v1/alerts")).body["items"]
        return bool(shown)

    await wait_until(is_shown)
    assert [(one["agent"], one["objective"], one["severity"]) for one in shown] == [("chain", "ended", "page")]
    await node.kill()
    await node.start()
    assert (await node.caller.ask("GET", "/v1/alerts")).body["items"] == shown
    await node.terminate()
    await node.start()
    assert (await node.caller.ask("GET", "/v1/alerts")).body["items"] == shown
    told = (await node.caller.ask("GET", "/v1/deliveries")).body["items"]
    assert [one["type"] for one in told] == ["alert.fired"]


async def test_a_host_that_is_still_starting_when_its_node_is_killed_ends_with_it(serve):
    """Between the start of a process and the moment it ties its life to its node nobody watches over it."""
    node = serve()
    for _ in range(3):
        node.launch()
        await node.wait_hosts()
        await node.kill()
