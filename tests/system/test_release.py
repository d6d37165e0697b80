"""The project's code changes between two starts of a node, with runs in flight: no journal is silently mixed (I17).

Excluded: what counts as the code of a release (`tests/sdk/test_release`), `dev` and its reloads.
"""

from pathlib import Path

import pytest

from tests.faults.checkers import check_release, check_run
from tests.faults.served import ServedNode

pytestmark = pytest.mark.slow

RUN, ASLEEP = "run_chain", "run_asleep"
AGENTS = {"chain": 'on_release_change = "continue"', "wait": 'on_release_change = "continue"'}


def edit(node: ServedNode, before: str, after: str) -> None:
    file = Path(node.project / "agents.py")
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, after))


async def start_and_kill(node: ServedNode, receiver) -> str:
    """Two runs in flight, one at its second step, one waiting for a signal, and then the node is gone."""
    held = receiver.hold(RUN, "1", "before")
    await node.start()
    await node.caller.start_known("chain", RUN, {"steps": 3})
    await node.caller.start_known("wait", ASLEEP, "go")
    await held.wait_reached()
    await node.caller.wait_run(ASLEEP, lambda run: run["status"] == "waiting")
    release = (await node.caller.run(RUN))["release"]
    await node.kill()
    held.drop()
    return str(release)


async def test_runs_whose_code_changed_stop_loudly_and_a_retry_keeps_their_finished_steps(serve, receiver):
    node = serve()
    release = await start_and_kill(node, receiver)
    edit(node, 'return "rested"', 'return "well rested"')
    await node.start()
    caller = node.caller
    ended = await caller.wait_end(RUN)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "release_changed")
    assert "Retry the run" in ended["error"]["hint"]
    reading = await caller.read(RUN)
    assert check_release(reading, release, may_continue=False) == []
    assert check_run(reading, receiver.of(RUN)) == []
    assert (await caller.run(ASLEEP))["status"] == "waiting"  # nothing of it runs, so nothing is mixed yet
    assert (await caller.ask("POST", f"/v1/runs/{ASLEEP}/signals/go", {"payload": 1})).status == 202
    assert (await caller.wait_end(ASLEEP))["error"]["code"] == "release_changed"

    again = (await caller.ask("POST", f"/v1/runs/{RUN}/retry")).body
    done = await caller.wait_end(again["id"])
    assert (done["status"], done["output"], done["origin"]) == ("succeeded", [0, 1, 2], RUN)
    assert done["release"] != release
    assert [effect.step for effect in (*receiver.of(RUN), *receiver.of(done["id"]))] == ["0", "1", "2"]


async def test_a_run_that_may_continue_goes_on_with_the_new_code_where_its_journal_fits(serve, receiver):
    node = serve(agents=AGENTS)
    release = await start_and_kill(node, receiver)
    edit(node, '    """Waits for a signal for as long as it takes."""\n', '    """Waits, for as long as it takes."""\n')
    await node.start()
    caller = node.caller
    assert (await caller.wait_end(RUN))["output"] == [0, 1, 2]
    assert (await caller.ask("POST", f"/v1/runs/{ASLEEP}/signals/go", {"payload": 1})).status == 202
    assert (await caller.wait_end(ASLEEP))["output"] == 1
    for run in (RUN, ASLEEP):
        reading = await caller.read(run)
        assert check_release(reading, release, may_continue=True) == []
        assert check_run(reading, receiver.of(run)) == []
    assert [effect.step for effect in receiver.of(RUN)] == ["0", "1", "2"]
    resumed = [event.body["release"] for event in await caller.events(RUN) if event.kind == "run.resumed"]
    assert resumed == [(await caller.ask("GET", "/v1/agents/chain")).body["releases"][0]]


async def test_a_run_that_may_continue_is_stopped_where_its_journal_does_not_fit(serve, receiver):
    """The step that had ended is not asked for any more, and another one is: nothing of the new code has an effect."""
    node = serve(agents=AGENTS)
    release = await start_and_kill(node, receiver)
    edit(node, "await ctx.step(effect, number, once", 'await ctx.step(effect, number, name="other", once')
    await node.start()
    ended = await node.caller.wait_end(RUN)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "journal_diverged")
    assert "effect-" in ended["error"]["message"]
    reading = await node.caller.read(RUN)
    assert check_release(reading, release, may_continue=True) == []
    assert check_run(reading, receiver.of(RUN)) == []
    assert [effect.step for effect in receiver.of(RUN)] == ["0"]
