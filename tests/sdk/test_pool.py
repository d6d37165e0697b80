"""Steps in a pool of processes: the same journal, key and failures as any step, whatever becomes of the processes.

Excluded: a Ray cluster (`tests/frameworks/ray`).
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pilothouse import Context, Retry, StepFailed, StepTimeout
from pilothouse.sdk.pools.local import LocalPool
from pilothouse.sdk.pools.work import Work, do_work, source_of
from pilothouse.wire.host import HostConfig, PoolConfig
from tests.sdk import heavy
from tests.sdk.node import Node

pytestmark = pytest.mark.slow

WITHIN = 60.0


def pool(**more: Any) -> PoolConfig:
    says: dict[str, Any] = {
        "kind": "local", "processes": 2, "cpus": 4.0, "gpus": 0.0, "memory": 0, "queue": 2, "wait": 60.0,
        "address": "auto",
    }  # fmt: skip
    return PoolConfig(**(says | more))


async def until(holds: Any) -> Any:
    async with asyncio.timeout(WITHIN):
        while not (found := holds()):
            await asyncio.sleep(0.01)
    return found


def read(path: Path) -> int | None:
    return int(path.read_text()) if path.exists() else None


def has_ended(pid: int) -> bool:
    """Waited for, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def on(node: Node, **more: Any) -> Node:
    pools = {"heavy": pool(**more)}
    node.config = HostConfig(socket="", project="", agents={}, park_after=20.0, threads=4, pools=pools)
    return node


async def test_a_step_runs_in_a_warm_process_that_the_next_one_uses_too():
    async def agent(ctx: Context, text: str) -> Any:
        first = await ctx.step(heavy.square, 12, pool="heavy", cpus=2)
        second = await ctx.step(heavy.square, 3, pool="heavy")
        upper = await ctx.step(heavy.later, "done", pool="heavy")
        return [first, second, upper]

    node = on(Node(agent))
    first, second, upper = await node.output("x")
    assert (first["square"], second["square"], upper) == (144, 9, "DONE")
    assert first["pid"] == second["pid"] != os.getpid()
    assert [row.status for row in node.rows if row.name == "square" and row.phase] == ["succeeded"] * 2
    assert has_ended(first["pid"])  # with its host


async def test_a_process_that_is_killed_in_the_middle_is_replaced_and_the_step_begins_again(tmp_path):
    async def agent(ctx: Context, mark: str) -> Any:
        return await ctx.step(heavy.die_once, mark, pool="heavy")

    assert await on(Node(agent)).output(str(tmp_path / "mark")) == 2


async def test_a_step_that_kills_every_process_fails_with_the_reason():
    async def agent(ctx: Context, text: str) -> str:
        with pytest.raises(StepFailed, match=r"lost 3 processes with this step: ended by signal 9") as failed:
            await ctx.step(heavy.die, pool="heavy")
        return failed.value.kind

    assert (await on(Node(agent)).output("x")).endswith("PoolGone")


async def test_the_idempotency_key_and_a_failure_are_those_of_any_step():
    async def agent(ctx: Context, text: str) -> Any:
        there = await ctx.step(heavy.key, name="k", pool="heavy")
        with pytest.raises(StepFailed, match="nothing here") as failed:
            await ctx.step(heavy.fail, "nothing here", pool="heavy", retry=Retry(attempts=2, delay=0.001))
        return [there, failed.value.kind]

    node = on(Node(agent))
    key, kind = await node.output("x")
    assert kind == "LookupError"
    assert key
    [failed] = [row for row in node.rows if row.name == "fail" and row.status == "failed"]
    assert failed.tries == 2


async def test_a_result_that_is_kept_is_not_computed_again_after_the_host_was_lost(tmp_path):
    mark = tmp_path / "mark"
    mark.write_text("x")  # so that nobody dies

    async def agent(ctx: Context, text: str) -> Any:
        count = await ctx.step(heavy.die_once, str(mark), pool="heavy")
        await ctx.step(heavy.square, 2, pool="heavy")
        return count

    assert await on(Node(agent)).output("x", crash_at=4) == 2
    assert mark.read_text() == "xx"


async def test_a_step_out_of_time_takes_its_process_with_it(tmp_path):
    mark = tmp_path / "mark"

    async def agent(ctx: Context, text: str) -> int:
        with pytest.raises(StepTimeout):
            await ctx.step(heavy.hold, str(tmp_path / "gate"), str(mark), pool="heavy", timeout=3.0)
        return (await ctx.step(heavy.square, 5, pool="heavy"))["square"]

    assert await on(Node(agent)).output("x") == 25
    pid = await until(lambda: read(mark))
    assert has_ended(pid)


async def test_a_pool_takes_so_many_steps_lets_so_many_wait_and_refuses_the_rest(tmp_path):
    gate, marks = tmp_path / "gate", [tmp_path / f"mark{number}" for number in range(5)]

    async def agent(ctx: Context, text: str) -> list[str]:
        steps = [
            asyncio.ensure_future(ctx.step(heavy.hold, str(gate), str(mark), name=f"n{number}", pool="heavy"))
            for number, mark in enumerate(marks)
        ]
        await until(lambda: read(marks[0]) and read(marks[1]))
        [done], _ = await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
        assert not marks[2].exists()
        gate.touch()
        await asyncio.wait(steps)
        return ["full" if one.exception() is not None else "done" for one in steps] + [str(done.exception())]

    *ends, said = await on(Node(agent)).output("x")
    assert sorted(ends) == ["done"] * 4 + ["full"]
    assert "2 steps wait for the pool 'heavy' already" in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"pool": "nowhere"}, "there is no pool named 'nowhere' in the settings; there is: heavy"),
        ({"pool": "heavy", "cpus": 5}, "the pool 'heavy' has 4 cpus, and the step wants 5"),
        ({"pool": "heavy", "gpus": 1}, "has 0 gpus"),
        ({"pool": "heavy", "once": True}, "cannot be `once`"),
    ],
)
async def test_what_no_pool_can_do_is_told_before_anything_runs(more, says):
    async def agent(ctx: Context, text: str) -> str:
        with pytest.raises(ValueError, match=says):
            await ctx.step(heavy.square, 2, **more)
        with pytest.raises(ValueError, match="which other processes can import"):
            await ctx.step(lambda: 1, pool="heavy")
        return "told"

    assert await on(Node(agent)).output("x") == "told"


async def test_a_pool_that_is_gone_makes_the_step_wait_and_then_fail_with_the_reason(monkeypatch):
    asked = []

    async def no_process(self: LocalPool) -> Any:
        asked.append(1)
        raise OSError("no more processes")

    monkeypatch.setattr(LocalPool, "_start", no_process)

    async def agent(ctx: Context, text: str) -> str:
        with pytest.raises(StepFailed, match=r"was gone for 0.5 s: no process can be started: no more processes"):
            await ctx.step(heavy.square, 2, pool="heavy")
        return "told"

    assert await on(Node(agent), wait=0.5).output("x") == "told"
    assert len(asked) > 1


async def test_a_pool_that_gives_no_answer_is_gone_as_well(monkeypatch):
    async def silent(self: LocalPool) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(LocalPool, "reach", silent)
    monkeypatch.setattr("pilothouse.sdk.pools.pool.ANSWER_WITHIN", 0.05)

    async def agent(ctx: Context, text: str) -> str:
        with pytest.raises(StepFailed, match=r"was gone for 0.1 s: it gives no answer"):
            await ctx.step(heavy.square, 2, pool="heavy")
        return "told"

    assert await on(Node(agent), wait=0.1).output("x") == "told"


async def test_a_pool_that_comes_back_in_time_does_the_step(monkeypatch):
    start, asked = LocalPool._start, []

    async def late(self: LocalPool) -> Any:
        asked.append(1)
        if len(asked) < 3:
            raise OSError("not yet")
        return await start(self)

    monkeypatch.setattr(LocalPool, "_start", late)

    async def agent(ctx: Context, text: str) -> int:
        return (await ctx.step(heavy.square, 2, pool="heavy"))["square"]

    assert await on(Node(agent), wait=WITHIN).output("x") == 4


def test_a_process_with_another_source_of_the_function_refuses_to_run_it():
    import pickle

    module, arguments = heavy.__name__, pickle.dumps(((2,), {}))
    good = Work(module, "square", source_of(module), arguments, "step", "key")
    assert do_work(pickle.dumps(good)).output is not None
    other = Work(module, "square", "0" * 64, arguments, "step", "key")
    assert "bring it to the same release" in do_work(pickle.dumps(other)).refused
    gone = Work("tests.sdk.nowhere", "square", "", arguments, "step", "key")
    assert "cannot be loaded there" in do_work(pickle.dumps(gone)).refused
