"""Two releases of an agent side by side: what began on one of them goes on with that one, or waits for it (I17)."""

from pathlib import Path

import pytest

from tests.faults.checkers import check_run
from tests.faults.client import wait_until

pytestmark = pytest.mark.slow


def renew(node):
    """Another version of the code of `wait`."""
    file = Path(node.project / "agents.py")
    before = '    """Waits for a signal for as long as it takes."""\n'
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, before.replace("as long as", "however long")))


async def test_a_run_goes_on_where_its_release_is_and_waits_while_that_is_nowhere(cluster):
    old, new, gateway = cluster("worker"), cluster("worker", project="newer"), cluster("gateway")
    renew(new)
    await old.start()
    await gateway.start()
    caller = gateway.caller
    for run in ("run_placed", "run_left"):
        await caller.start_known("wait", run, "go")
        await caller.wait_run(run, lambda it: it["status"] == "waiting")
    release = (await caller.run("run_placed"))["release"]
    await new.start()  # it has read the roster before it claims

    assert (await caller.ask("POST", "/v1/runs/run_placed/signals/go", {"payload": 1})).status == 202
    assert (await caller.wait_end("run_placed"))["output"] == 1
    resumed = [event.body["release"] for event in await caller.events("run_placed") if event.kind == "run.resumed"]
    assert resumed == [release]

    await old.kill()
    assert (await caller.ask("POST", "/v1/runs/run_left/signals/go", {"payload": 2})).status == 202
    told = f"they began on release {release}, which no worker hosts"
    await wait_until(lambda: look(gateway, told), 60.0)
    left = await caller.run("run_left")
    assert (left["status"], left["waits_for"]["kind"], left["waits_for"]["on"]) == ("queued", "release", release)
    fresh = await caller.start("echo", "hello", headers={})  # the new worker is there and takes what it can
    assert fresh.body["output"] == "hello"

    again = cluster("worker")
    await again.start()
    assert (await caller.wait_end("run_left"))["output"] == 2
    for run in ("run_placed", "run_left"):
        reading = await caller.read(run)
        assert reading.run["release"] == release
        assert check_run(reading, []) == []


async def look(node, text):
    return text in node.read_log()
