"""A rolling upgrade and a way back, as processes: nodes of this release beside nodes of the next one.

The next release is this one with migrations that no release has: one that suits this release, with a column and an
index in the busiest table, and one that does not. What nodes tell each other in other words is not shown here.
"""

import json
import os
import subprocess
import sys

import pytest

from pilothouse.cli.exits import Exit
from tests.faults.checkers import check_run
from tests.faults.served import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SUITS = (
    "pre_next",
    "alter table run add column next_release_only text;\n"
    "create index run_next_release_only on run (tenant, next_release_only) where next_release_only is not null;\n",
)
DOES_NOT = ("post_next", "alter table run drop column next_release_only;")


def command(node, *words):
    """The program of that node's release, with the settings of that node."""
    module = "tests.faults.altered" if node.altered else "pilothouse"
    environment = {**os.environ, **node.environment, "PYTHONPATH": str(ROOT), "FAULTS": json.dumps(node.altered)}
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=node.project, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


async def park(node, run):
    answer = await node.caller.start_at_last("wait", "go", run_id=run)
    assert answer.status == 202, answer
    await node.caller.wait_run(run, lambda it: it["status"] == "waiting")


async def finish(node, *runs):
    for run in runs:
        answer = await node.caller.ask("POST", f"/v1/runs/{run}/signals/go", {"payload": run})
        assert answer.status < 300, answer
        ended = await node.caller.wait_end(run)
        assert (ended["status"], ended["output"]) == ("succeeded", run)


async def test_two_releases_work_off_runs_beside_each_other_until_the_layout_no_longer_suits_the_older_one(cluster):
    old, new = cluster("all"), cluster("all", project="next", altered={"layout": [SUITS, DOES_NOT]})
    await old.start()
    for run in ("run_a", "run_b"):
        await park(old, run)
    await new.start()  # it changes the layout under the older one; what does not suit that one waits

    started = []
    for number in range(4):
        for node in (old, new):
            for agent, input, more in (("rest", 0.01, {}), ("chat", f"turn {number}", {"session": "ada"})):
                answer = await node.caller.start_at_last(agent, input, **more)
                assert answer.status == 202, answer
                started.append((agent, answer.body["id"]))
    turns = []
    for number, (agent, run) in enumerate(started):
        ended = await (old, new)[number % 2].caller.wait_end(run)
        assert ended["status"] == "succeeded", ended
        turns += [ended["output"]["turn"]] if agent == "chat" else []
    assert sorted(turns) == list(range(8))

    await park(new, "run_c")
    assert await old.terminate() == 0
    await finish(new, "run_a")  # what the older one began
    await old.start()  # on the layout of the newer one
    assert await new.terminate() == 0
    await finish(old, "run_b", "run_c")  # the way back: what the newer one began
    for run in ("run_a", "run_b", "run_c"):
        assert check_run(await old.caller.read(run), []) == []
    assert await old.terminate() == 0

    done = command(new, "migrate", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["after"] == report["before"] + 1
    refused = command(old, "serve")
    assert refused.returncode == Exit.OPERATOR, refused.stderr
    assert "a newer release of Pilothouse has written them" in refused.stderr
    assert "Start the newer release" in refused.stderr
