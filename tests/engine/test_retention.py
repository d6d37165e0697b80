"""What is old goes by itself, by a clock that the test holds, and what a hold covers does not.

Excluded: how a round of the records is bounded, and what goes with a run (`testing/records/erasure`).
"""

from datetime import timedelta

import pytest

from pilothouse import Context, agent
from pilothouse.domain.evidence import leaf_hash, leaves_of, read_note, root_of
from pilothouse.domain.hold import Selector
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.engine import hold, retention
from pilothouse.engine.evidence import make_checkpoint, read_audit
from pilothouse.engine.key import create_key, list_keys, load_keys, open_signin, revoke_key
from pilothouse.engine.run import StartRun, start_run
from pilothouse.engine.session import delete_session, get_session
from pilothouse.errors import Held, SessionNotFound
from pilothouse.security.signing import SigningKey
from pilothouse.testing import LocalNode

ANN = Principal("ann", "human", LOCAL.tenant, frozenset({"*"}), frozenset({"*"}), key="k1")


@agent(mode="event")
async def report(ctx: Context, topic: str) -> str:
    return topic


@agent(mode="session")
async def chat(ctx: Context, text: str) -> str:
    return text


async def swept(node):
    """All that is due has gone."""
    while await node.loops.sweep_round():
        pass


async def is_there(node, run):
    return await node.world.records.get_run("default", run.id) is not None


def keeping(node, days, *, tenants=None, **agents):
    node.loops._pruner = retention.Pruner(days, agents, tenants or {})


async def test_a_run_goes_when_its_days_are_over_and_not_before():
    async with LocalNode({"report": report}) as node:
        keeping(node, 30)
        run = await node.run("report", "old")
        await node.advance(timedelta(days=29))
        await swept(node)
        assert await is_there(node, run)
        await node.advance(timedelta(days=1, seconds=1))
        await swept(node)
        assert not await is_there(node, run)


async def test_an_agent_may_say_its_own_days_and_for_ever():
    agents = {"report": report, "short": report, "ever": report}
    async with LocalNode(agents) as node:
        keeping(node, 30, short=1, ever=0)
        runs = [await node.run(name, "x") for name in agents]
        await node.advance(timedelta(days=2))
        await swept(node)
        assert [await is_there(node, run) for run in runs] == [True, False, True]
        await node.advance(timedelta(days=30))
        await swept(node)
        assert [await is_there(node, run) for run in runs] == [False, False, True]


async def test_a_tenant_may_say_its_own_days_and_the_audit_log_keeps_all_and_verifies():
    async def leaves(tenant):
        segments = await read_audit(node.world, tenant, 0, 10_000)
        return [leaf for segment in segments for _, leaf in leaves_of(segment)]

    async with LocalNode({"report": report, "law": report}) as node:
        keeping(node, 30, law=10, tenants={"acme": 2})
        node.world.signer = SigningKey("pilothouse")
        runs = {}
        for tenant in ("acme", "default"):
            for name in ("report", "law"):
                command = StartRun(tenant=tenant, agent=name, input=b'"x"', wants="later")
                runs[tenant, name] = (await start_run(node.world, command)).run.id
        await node.settle()
        kept = {tenant: await leaves(tenant) for tenant in ("acme", "default")}
        checkpoints = {tenant: read_note(await make_checkpoint(node.world, tenant))[0] for tenant in kept}

        async def there():
            return [name for name, run in runs.items() if await node.world.records.get_run(name[0], run) is not None]

        everything = list(runs)
        for days, left in ((3, everything[1:]), (8, [("default", "report")]), (30, [])):
            await node.advance(timedelta(days=days))
            await swept(node)
            assert await there() == left
        for tenant, entries in kept.items():
            now = (await leaves(tenant))[: len(entries)]
            assert now == entries
            assert root_of([leaf_hash(leaf) for leaf in now]) == checkpoints[tenant].root


async def test_with_no_days_nothing_goes():
    async with LocalNode({"report": report}) as node:
        keeping(node, 0)
        run = await node.run("report", "x")
        await node.advance(timedelta(days=4000))
        await swept(node)
        assert await is_there(node, run)


async def test_a_run_under_a_hold_stays_until_it_is_lifted():
    async with LocalNode({"report": report}) as node:
        keeping(node, 1)
        kept, gone = [await node.run("report", text) for text in ("kept", "gone")]
        placed = await hold.place_hold(node.world, LOCAL, "pause", Selector(run=kept.id), "a lawsuit")
        await node.advance(timedelta(days=2))
        await swept(node)
        assert [await is_there(node, run) for run in (kept, gone)] == [True, False]
        await hold.lift_hold(node.world, ANN, placed.id)
        await node.advance(timedelta(hours=2))
        await swept(node)
        assert not await is_there(node, kept)


@pytest.mark.parametrize("names", [["agent"], ["session"], ["run"], ["release"], []], ids=str)
async def test_a_session_under_a_hold_is_neither_swept_nor_deleted(names):
    async with LocalNode({"chat": chat}, options={"chat": {"session_ttl": 3600.0}}) as node:
        run = await node.run("chat", "hello", session="ann")
        await node.run("chat", "hello", session="bob")
        facts = {"agent": "chat", "session": "ann", "run": run.id, "release": "some release"}
        selector = Selector(**{name: facts[name] for name in names})
        await hold.place_hold(node.world, LOCAL, "pause", selector, "a lawsuit")
        await node.advance(timedelta(hours=2))
        await swept(node)
        assert (await get_session(node.world, "default", "chat", "ann")).turns == 1
        with pytest.raises(Held):
            await delete_session(node.world, "default", "chat", "ann")
        if names in (["session"], ["run"]):
            with pytest.raises(SessionNotFound):
                await get_session(node.world, "default", "chat", "bob")


async def test_sessions_that_have_to_stay_hold_up_none_of_the_others(monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    async with LocalNode(
        {"chat": chat, "other": chat}, options={n: {"session_ttl": 60.0} for n in ("chat", "other")}
    ) as node:
        for number in range(5):
            await node.run("chat", "x", session=f"s{number}")
        for number in range(5):
            await node.run("other", "x", session=f"s{number}")
        await hold.place_hold(node.world, LOCAL, "pause", Selector(agent="chat"), "a lawsuit")
        await node.advance(timedelta(hours=2))
        await swept(node)
        assert (await get_session(node.world, "default", "chat", "s4")).turns == 1
        for number in range(5):
            with pytest.raises(SessionNotFound):
                await get_session(node.world, "default", "other", f"s{number}")


async def test_keys_of_browsers_go_a_day_after_they_are_over_and_other_keys_stay():
    async with LocalNode({"report": report}) as node:
        world = node.world
        root, _ = await create_key(world, LOCAL, "root", "human", ["*"], ["*"], None)
        old, _ = await create_key(world, LOCAL, "old", "human", ["*"], ["*"], 3600.0)
        by = Principal("root", "human", LOCAL.tenant, frozenset({"*"}), frozenset({"*"}), key=root.id)
        over, _ = await open_signin(world, by, 3600.0)
        closed, _ = await open_signin(world, by, 30 * 86400.0)
        lives, _ = await open_signin(world, by, 30 * 86400.0)
        await revoke_key(world, by, closed.id)
        await node.advance(timedelta(hours=23))
        await swept(node)
        assert {over.id, closed.id} <= set(world.keys)
        await node.advance(timedelta(hours=3))
        await swept(node)
        await load_keys(world)
        left, _ = await list_keys(world, LOCAL.tenant, None, 100)
        assert {key.id for key in left} == set(world.keys) == {root.id, old.id, lives.id}
