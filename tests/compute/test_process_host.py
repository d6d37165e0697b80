"""Host processes, for real: killed, hung, grown too large, printing, left behind, and none left when the node stops.

Excluded: kills of the whole node (`tests/faults`), the frames and the link (`tests/sdk`).
"""

import asyncio
import json
import os
import signal

import pytest

from pilothouse.domain.run import Run
from pilothouse.engine.cancel import cancel_run
from pilothouse.engine.world import Limits
from tests.compute.node import ProcessNode, is_alive, process_node, until, until_async

pytestmark = pytest.mark.slow

CODE = '''
import asyncio, os, subprocess, sys, time
from pilothouse import Context, agent

@agent(mode="event")
async def echo(text: str) -> str:
    return text

@agent(mode="event")
async def tags(names: set[str]) -> int:
    return len(names)

@agent(mode="event")
async def die_once(ctx: Context, flag: str) -> int:
    """Ends its host the first time, after one step."""
    await ctx.step(lambda: open(flag + ".count", "a").write("x"), name="count")
    if not os.path.exists(flag):
        open(flag, "w").close()
        os._exit(7)
    return ctx.run.attempt

@agent(mode="event")
async def die(ctx: Context) -> None:
    os._exit(7)

@agent(mode="event")
async def hold(ctx: Context, flag: str) -> str:
    async def wait() -> None:
        while not os.path.exists(flag):
            await asyncio.sleep(0.01)
    await ctx.step(wait)
    return "released"

@agent(mode="event")
async def block(ctx: Context, flag: str) -> int:
    if not os.path.exists(flag):
        open(flag, "w").close()
        time.sleep(60)
    return ctx.run.attempt

@agent(mode="event")
async def grow(ctx: Context, flag: str) -> str:
    if os.path.exists(flag):
        return "grown before"
    open(flag, "w").close()
    held = []
    try:
        while True:
            held.append(bytearray(b"x" * 8_000_000))
            await asyncio.sleep(0)
    except MemoryError:
        held.clear()
        return "refused"

@agent(mode="event")
async def stubborn(ctx: Context, flag: str) -> None:
    while not os.path.exists(flag):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

@agent(mode="event")
async def parent(ctx: Context, mark: str) -> int:
    """Starts a process that holds what its host prints to, and loses its host the first time."""
    if not os.path.exists(mark):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(mark + ".draft", "w") as file:
            file.write(str(child.pid))
        os.rename(mark + ".draft", mark)
        os._exit(7)
    return ctx.run.attempt

@agent(mode="event")
async def prints(ctx: Context) -> str:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    os.write(2, b"from C\\n")
    return "said"
'''


def quoted(path) -> bytes:
    return json.dumps(str(path)).encode()


async def running(node: ProcessNode, run: Run) -> None:
    async def is_running() -> bool:
        found = await node.records.get_run("default", run.id)
        return found is not None and found.status == "running" and ("default", run.id) in node.world.attempts

    await until_async(is_running)


async def test_a_run_and_a_host_that_is_gone_when_the_node_has_stopped(tmp_path):
    async with process_node(tmp_path, CODE, {"echo": {}}) as node:
        assert (await node.run("echo", b'"hi"')).output == b'"hi"'
        pid = node.host.pid
        assert is_alive(pid)
    assert not is_alive(pid)


async def test_a_run_whose_host_is_killed_goes_on_in_another_one(tmp_path):
    async with process_node(tmp_path, CODE, {"hold": {}}) as node:
        run = await node.start("hold", quoted(tmp_path / "flag"))
        await running(node, run)
        await until(lambda: node.host.pid)
        os.kill(node.host.pid, signal.SIGKILL)
        (tmp_path / "flag").touch()
        ended = await node.wait(run)
        assert (ended.status, ended.attempt) == ("succeeded", 2)
        assert node.heard("ended with")


async def test_a_step_that_finished_before_its_host_died_is_not_repeated(tmp_path):
    async with process_node(tmp_path, CODE, {"die_once": {}}) as node:
        ended = await node.run("die_once", quoted(tmp_path / "flag"))
        assert (ended.status, ended.output) == ("succeeded", b"2")
        assert (tmp_path / "flag.count").read_text() == "x"


async def test_what_a_host_started_ends_with_it_and_does_not_hide_its_end(tmp_path):
    async with process_node(tmp_path, CODE, {"parent": {}}) as node:
        ended = await node.run("parent", quoted(tmp_path / "mark"))
        assert (ended.status, ended.output) == ("succeeded", b"2")
        child = int((tmp_path / "mark").read_text())
        await until(lambda: not is_alive(child))


async def test_a_run_that_always_kills_its_host_fails_and_its_neighbour_goes_on(tmp_path):
    async with process_node(tmp_path, CODE, {"die": {}, "hold": {}}, limits=Limits(losses=3)) as node:
        neighbour = await node.start("hold", quoted(tmp_path / "flag"))
        await running(node, neighbour)
        culprit = await node.start("die")
        await until(lambda: node.host.restarts)
        (tmp_path / "flag").touch()
        assert (await node.wait(neighbour)).status == "succeeded"
        ended = await node.wait(culprit)
        assert ended.status == "failed"
        assert b"host_lost" in (ended.error or b"")


async def test_a_host_that_does_not_answer_is_ended_and_its_run_tried_again(tmp_path):
    async with process_node(tmp_path, CODE, {"block": {}}, answers_within=3.0) as node:
        ended = await node.run("block", quoted(tmp_path / "flag"))
        assert (ended.status, ended.output) == ("succeeded", b"2")
        assert node.heard("said nothing for 3 s")


async def test_an_idle_host_is_not_taken_for_a_silent_one(tmp_path):
    async with process_node(tmp_path, CODE, {"echo": {}}, answers_within=2.0) as node:
        pid = node.host.pid
        await asyncio.sleep(5.0)
        assert (node.host.pid, node.host.restarts) == (pid, 0)


async def test_memory_is_limited(tmp_path):
    async with process_node(tmp_path, CODE, {"grow": {}}, memory=200 * 1024 * 1024, answers_within=30.0) as node:
        ended = await node.run("grow", quoted(tmp_path / "flag"))
        assert ended.status == "succeeded"
        assert ended.output in (b'"refused"', b'"grown before"')


async def test_what_user_code_prints_is_heard(tmp_path):
    async with process_node(tmp_path, CODE, {"prints": {}}) as node:
        await node.run("prints")
        for text in ("to stdout", "to stderr", "from C"):
            await until(lambda text=text: node.heard(text))


async def test_code_that_does_not_obey_a_cancel_is_left_behind(tmp_path):
    async with process_node(tmp_path, CODE, {"stubborn": {}, "echo": {}}, cancel_grace=0.1) as node:
        run = await node.start("stubborn", quoted(tmp_path / "flag"))
        await running(node, run)
        await asyncio.sleep(0.1)
        await cancel_run(node.world, "default", run.id)
        assert (await node.wait(run)).status == "cancelled"
        assert node.host.left_behind == 1
        assert (await node.run("echo", b'"still here"')).status == "succeeded"
        (tmp_path / "flag").touch()


async def test_a_host_that_cannot_stay_up_is_started_again_after_a_growing_pause(tmp_path):
    async with process_node(tmp_path, CODE, {"echo": {}}) as node:
        for restarts in (1, 2):
            pid = node.host.pid
            os.kill(pid, signal.SIGKILL)
            await until(lambda restarts=restarts, pid=pid: node.host.restarts == restarts and node.host.is_up)
        assert (await node.run("echo", b'"up"')).status == "succeeded"


async def test_many_inputs_are_checked(tmp_path):
    async with process_node(tmp_path, CODE, {"echo": {}}) as node:
        inputs = [b'"good"' if number % 2 else b"42" for number in range(2000)]
        found = await asyncio.gather(*(node.worker.check("echo", one) for one in inputs))
        assert [not faults for faults in found] == [number % 2 == 1 for number in range(2000)]


async def test_inputs_are_checked_while_the_only_host_is_killed_and_comes_up_again(tmp_path):
    async with process_node(tmp_path, CODE, {"tags": {}}) as node:
        os.kill(node.host.pid, signal.SIGKILL)
        asked = [asyncio.ensure_future(node.worker.check("tags", b"42")) for _ in range(3)]
        await until(lambda: not node.host.is_up)
        asked += [asyncio.ensure_future(node.worker.check("tags", b"42")) for _ in range(3)]
        assert all(await asyncio.gather(*asked)), "each was told the faults"
        assert node.host.restarts == 1


async def test_a_fault_by_the_schema_is_told_while_no_host_is_there(tmp_path):
    async with process_node(tmp_path, CODE, {"echo": {}}, restart_after=3600.0) as node:
        os.kill(node.host.pid, signal.SIGKILL)
        await until(lambda: not node.host.is_up)
        fault = {"path": "$", "message": "Expected `str`, got `int`"}
        assert await node.worker.check("echo", b"42") == [fault]


async def test_a_fault_by_the_schema_is_told_while_the_only_host_is_blocked(tmp_path):
    async with process_node(tmp_path, CODE, {"echo": {}}, answers_within=3600.0) as node:
        os.kill(node.host.pid, signal.SIGSTOP)
        try:
            fault = {"path": "$", "message": "Expected `str`, got `int`"}
            assert await node.worker.check("echo", b"42") == [fault]
            good = asyncio.ensure_future(node.worker.check("echo", b'"fine"'))
            assert await node.worker.check("echo", b"true") != []
            assert not good.done()
        finally:
            os.kill(node.host.pid, signal.SIGCONT)
        assert await good == []


async def test_a_drain_hands_back_what_runs(tmp_path):
    async with process_node(tmp_path, CODE, {"hold": {}}) as node:
        run = await node.start("hold", quoted(tmp_path / "flag"))
        await running(node, run)
        node.world.is_draining = node.worker.is_draining = True
        for live in list(node.world.attempts.values()):
            live.let_go()
        await until(lambda: not node.world.attempts)
        found = await node.records.get_run("default", run.id)
        assert found is not None
        assert (found.status, found.attempt, found.losses) == ("queued", 1, 0)
