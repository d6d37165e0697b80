"""I14: an erased subject's data is unreadable, the log still verifies, and what a court asked for stays.

Excluded: what goes with a run in the records (`testing/records/erasure`), examples (`tests/oversight/test_example`).
"""

import json
from datetime import timedelta

import pytest

from pilothouse import Context, agent
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.hold import Selector
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.scratch import place_of
from pilothouse.engine import erasure, evidence, hold, session
from pilothouse.engine.run import start_run
from pilothouse.errors import Forbidden, Held, RunActive, SessionNotFound
from pilothouse.security.signing import SigningKey
from pilothouse.storage.hot.memory import MemoryHotStore
from pilothouse.testing import LocalNode
from tests.engine.agents import command

SECRET = "illness of ann"
ROBOT = Principal("robot", "agent", LOCAL.tenant, frozenset({"*"}))


@agent(mode="event")
async def report(ctx: Context, text: str) -> str:
    await ctx.step(str.upper, text)
    return text * 2000


@agent(mode="event")
async def parent(ctx: Context, text: str) -> str:
    return await ctx.call("report", text)


@agent(mode="event")
async def waits(ctx: Context, text: str) -> str:
    return str(await ctx.signal("go")) + text


@agent(mode="session")
async def chat(ctx: Context, text: str) -> str:
    ctx.session.state["said"] = text
    await ctx.scratch.put("said", text, ttl=timedelta(hours=1))
    return text * 2000


@pytest.fixture
async def node():
    agents = {"report": report, "parent": parent, "waits": waits, "chat": chat}
    async with LocalNode(agents) as node:
        node.world.hot = MemoryHotStore(node.world.clock.now)
        yield node


async def begun(node, name, text, subject, key=None):
    asked = command(name, json.dumps(text).encode(), wants="later", subject=subject, session=key)
    return (await start_run(node.world, asked)).run.id


async def ended(node, *asked):
    return (await node.wait(await begun(node, *asked))).id


async def is_there(node, run):
    return await node.world.records.get_run("default", run) is not None


async def log(node):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    return [leaf for segment in segments for _, leaf in leaves_of(segment)]


def dump(connection):
    """All that the tables hold, packed rows and payloads included, but for the log."""
    tables = [name for (name,) in connection.execute("select name from sqlite_schema where type = 'table'")]
    kept = set(tables) - {"audit", "migration"}
    return "\n".join(repr(row) for table in kept for row in connection.execute(f"select * from {table}"))


async def everything(node):
    return await node.kept._read_many(dump)


async def test_all_of_a_subject_goes_and_nothing_of_others(node):
    mine = [
        await ended(node, "report", SECRET, "ann"),
        await ended(node, "parent", SECRET, "ann"),
        await ended(node, "chat", SECRET, "ann", "home"),
    ]
    bobs = [await ended(node, "report", "bobs", "bob"), await ended(node, "chat", "bobs", "bob", "work")]
    nobodys = await ended(node, "report", "weather", None)
    found = await erasure.erase_subject(node.world, LOCAL, "ann")
    assert found == erasure.Erasure(runs=4, sessions=1, examples=0)  # one was called by another
    assert not any([await is_there(node, run) for run in mine])
    assert all([await is_there(node, run) for run in (*bobs, nobodys)])
    with pytest.raises(SessionNotFound):
        await session.get_session(node.world, "default", "chat", "home")
    assert (await session.get_session(node.world, "default", "chat", "work")).turns == 1
    assert await node.world.hot.get(place_of("default", "chat", "home"), "said") is None
    assert await node.world.hot.get(place_of("default", "chat", "work"), "said") is not None
    assert SECRET not in await everything(node)
    assert "'ann'" not in await everything(node)
    assert "bobs" in await everything(node)


async def test_a_fork_goes_too_also_when_the_session_it_came_from_is_gone(node):
    await ended(node, "chat", SECRET, "ann", "home")
    await session.fork_session(node.world, "default", "chat", "home", "what-if", None)
    await session.delete_session(node.world, "default", "chat", "home")
    assert SECRET in await everything(node)
    assert (await erasure.erase_subject(node.world, LOCAL, "ann")).sessions == 1
    assert SECRET not in await everything(node)


async def test_a_session_with_one_turn_of_the_subject_goes_whole(node):
    bobs = await ended(node, "chat", "x", "bob", "shared")
    await ended(node, "chat", SECRET, "ann", "shared")
    await erasure.erase_subject(node.world, LOCAL, "ann")
    assert not await is_there(node, bobs)


async def test_the_log_keeps_its_entries_and_verifies_and_says_no_name(node):
    node.world.signer = SigningKey("pilothouse")
    await ended(node, "report", SECRET, "ann")
    before = await log(node)
    noted = await evidence.make_checkpoint(node.world, "default")
    await erasure.erase_subject(node.world, LOCAL, "ann")
    after = await log(node)
    assert after[: len(before)] == before
    last = json.loads(after[-1])
    assert (last["kind"], last["by"], last["runs"]) == ("subject.erased", "local", 1)
    assert last["id"] == f"subject:{node.world.seals.digest('default', None, 'ann')}"
    assert b"ann" not in b"".join(after).replace(b"cancel", b"")
    assert node.world.seals.digest("default", "ann", "x") is None
    assert await node.world.records.get_document("default", evidence.seal_id("ann")) is None
    assert await evidence.make_checkpoint(node.world, "default") != noted


@pytest.mark.parametrize("names", [{"agent": "report"}, {"session": "home"}, {}], ids=str)
async def test_a_hold_stops_it_before_anything_has_gone(node, names):
    runs = [await ended(node, "report", SECRET, "ann"), await ended(node, "chat", SECRET, "ann", "home")]
    waiting = await begun(node, "waits", SECRET, "ann")
    await node.settle()
    await hold.place_hold(node.world, LOCAL, "pause", Selector(**names), "a lawsuit")
    with pytest.raises(Held):
        await erasure.erase_subject(node.world, LOCAL, "ann")
    assert all([await is_there(node, run) for run in runs])
    assert (await node.world.records.get_run("default", waiting)).cancel_at is None
    assert node.world.seals.digest("default", "ann", "x") is not None


async def test_what_lives_is_cancelled_and_goes(node):
    run = await begun(node, "waits", SECRET, "ann")
    await node.settle()
    assert (await erasure.erase_subject(node.world, LOCAL, "ann")).runs == 1
    assert not await is_there(node, run)


async def test_what_does_not_obey_is_told_and_a_second_call_goes_on(node, monkeypatch):
    monkeypatch.setattr(erasure, "PATIENCE", 0.0)
    run = await ended(node, "report", SECRET, "ann")
    stuck = await begun(node, "waits", SECRET, "ann")
    await node.settle()

    async def deaf(*_, **__):
        return None

    with monkeypatch.context() as patched:
        patched.setattr(erasure, "cancel_run", deaf)
        with pytest.raises(RunActive):
            await erasure.erase_subject(node.world, LOCAL, "ann")
    assert await is_there(node, run)
    assert node.world.seals.digest("default", "ann", "x") is not None
    await node.cancel(stuck)
    await node.wait(stuck)
    assert (await erasure.erase_subject(node.world, LOCAL, "ann")).runs == 2
    assert await erasure.erase_subject(node.world, LOCAL, "ann") == erasure.Erasure(0, 0, 0)


async def test_agents_do_not_erase(node):
    with pytest.raises(Forbidden):
        await erasure.erase_subject(node.world, ROBOT, "ann")


async def test_a_long_session_goes_in_rounds_and_the_log_tells_of_each(node, monkeypatch):
    monkeypatch.setattr(session, "TRIM", 2)
    for number in range(5):
        await ended(node, "chat", f"{SECRET} {number}", "ann", "home")
    await session.delete_session(node.world, "default", "chat", "home", "key_1")
    kinds = [json.loads(leaf)["kind"] for leaf in await log(node)]
    assert kinds[-5:] == ["session.trimmed"] * 4 + ["session.deleted"]  # the last round finds that nothing is left
    assert "home" not in await everything(node)


async def test_a_hold_that_comes_between_two_rounds_stops_the_next(node, monkeypatch):
    monkeypatch.setattr(session, "TRIM", 2)
    for number in range(5):
        await ended(node, "chat", str(number), "ann", "home")
    commit = node.world.records.commit
    rounds = []

    async def placing(change):
        receipt = await commit(change)
        if type(change.statements[0]).__name__ == "TrimSession":
            rounds.append(receipt.status)
            await hold.place_hold(node.world, LOCAL, "pause", Selector(session="home"), "a lawsuit")
        return receipt

    monkeypatch.setattr(node.world.records, "commit", placing)
    with pytest.raises(Held):
        await session.delete_session(node.world, "default", "chat", "home")
    assert rounds == ["more"]
    turns = await session.list_history(node.world, "default", "chat", "home", None, 10)
    assert [turn.number for turn in turns] == [3, 4, 5]
