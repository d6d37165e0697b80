"""Sessions from outside: state with versions, forks, history pages, deletion and expiry."""

import pytest

from pilothouse import Context, agent
from pilothouse.engine.session import delete_session, fork_session, get_session, list_history, merge_patch, write_state
from pilothouse.errors import InvalidInput, SessionBusy, SessionExists, SessionNotFound, StateConflict
from pilothouse.testing import LocalNode
from tests.engine.agents import chat, held


@agent(mode="session")
async def memo(ctx: Context, text: str) -> dict[str, object]:
    before = dict(ctx.session.state)
    ctx.session.state["last"] = text
    return before


async def test_an_edit_of_the_state_is_seen_by_the_next_turn():
    async with LocalNode({"memo": memo}) as node:
        await node.run("memo", "a", session="s")
        edited = await write_state(node.world, "default", "memo", "s", b'{"note": 1}', None)
        assert edited.version == 2
        assert (await node.run("memo", "b", session="s")).output == {"last": "a", "note": 1}


async def test_an_edit_names_the_version_it_was_made_for():
    async with LocalNode({"memo": memo}) as node:
        await node.run("memo", "a", session="s")
        await write_state(node.world, "default", "memo", "s", b'{"note": 1}', 1)
        with pytest.raises(StateConflict):
            await write_state(node.world, "default", "memo", "s", b'{"note": 2}', 1)
        assert await node.state("memo", "s") == {"last": "a", "note": 1}


async def test_an_edit_while_a_turn_runs_is_refused():
    gate, hold = held("session")
    async with LocalNode({"hold": hold}) as node:
        gate.set()
        await node.run("hold", "a", session="s")
        gate.clear()
        run = await node.start("hold", "b", session="s")
        await node.wait(run, "running")
        with pytest.raises(SessionBusy):
            await write_state(node.world, "default", "hold", "s", b'{"note": 1}', None)
        with pytest.raises(SessionBusy):
            await delete_session(node.world, "default", "hold", "s")
        gate.set()
        assert (await node.wait(run)).status == "succeeded"


async def test_only_an_object_can_be_merged_into_the_state():
    async with LocalNode({"memo": memo}) as node:
        await node.run("memo", "a", session="s")
        with pytest.raises(InvalidInput):
            await write_state(node.world, "default", "memo", "s", b"[1]", None)


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ([1], {"a": 1}, {"a": 1}),
        ({"a": 1}, [2], [2]),
    ],
)
def test_a_patch_is_merged_as_rfc_7396_says(target, patch, merged):
    assert merge_patch(target, patch) == merged


async def test_a_session_that_is_not_there_is_told():
    async with LocalNode({"memo": memo}) as node:
        for ask in (
            get_session(node.world, "default", "memo", "s"),
            list_history(node.world, "default", "memo", "s", None, 10),
            write_state(node.world, "default", "memo", "s", b"{}", None),
            delete_session(node.world, "default", "memo", "s"),
            fork_session(node.world, "default", "memo", "s", "t", None),
        ):
            with pytest.raises(SessionNotFound):
                await ask


async def test_history_comes_in_pages_from_the_newest_back():
    async with LocalNode({"chat": chat}) as node:
        for text in "abcde":
            await node.run("chat", text, session="s")
        page = await list_history(node.world, "default", "chat", "s", None, 2)
        assert [turn.input for turn in page] == [b'"d"', b'"e"']
        page = await list_history(node.world, "default", "chat", "s", page[0].number, 2)
        assert [turn.input for turn in page] == [b'"b"', b'"c"']


async def test_a_fork_goes_on_from_a_turn_and_leaves_the_source_alone():
    async with LocalNode({"chat": chat}) as node:
        runs = [await node.run("chat", text, session="s") for text in "abc"]
        await fork_session(node.world, "default", "chat", "s", "t", runs[1].id)
        assert (await node.run("chat", "x", session="t")).output == ["a", "b", "x"]
        assert (await node.run("chat", "d", session="s")).output == ["a", "b", "c", "d"]
        with pytest.raises(SessionExists):
            await fork_session(node.world, "default", "chat", "s", "t", None)
        with pytest.raises(InvalidInput):
            await fork_session(node.world, "default", "chat", "s", "u", "run_foreign")
        with pytest.raises(InvalidInput):
            await fork_session(node.world, "default", "chat", "s", "line\nbreak", None)


async def test_a_deleted_session_begins_anew():
    async with LocalNode({"chat": chat}) as node:
        run = await node.run("chat", "a", session="s")
        await delete_session(node.world, "default", "chat", "s")
        assert (await node.run("chat", "b", session="s")).output == ["b"]
        with pytest.raises(LookupError):
            await node.get(run)


async def test_a_session_is_swept_when_its_time_after_the_last_turn_is_over():
    async with LocalNode({"chat": chat}, options={"chat": {"session_ttl": 3600.0}}) as node:
        await node.run("chat", "a", session="s")
        await node.advance(minutes=50)
        await node.run("chat", "b", session="s")
        await node.advance(minutes=50)
        assert (await node.run("chat", "c", session="s")).output == ["a", "b", "c"]
        await node.advance(minutes=61)
        assert await node.session("chat", "s") is None
        assert (await node.run("chat", "d", session="s")).output == ["d"]


async def test_a_session_whose_turn_waits_is_not_swept():
    @agent(mode="session")
    async def asks(ctx: Context, text: str) -> str:
        if text == "b":
            await ctx.review("go on?")
        return text

    async with LocalNode({"asks": asks}, options={"asks": {"session_ttl": 60.0}}) as node:
        await node.run("asks", "a", session="s")
        run = await node.start("asks", "b", session="s")
        review = await node.wait_review(run)
        await node.advance(hours=1)
        await node.decide(review, "approve")
        assert (await node.wait(run)).status == "succeeded"
        assert len(await node.history("asks", "s")) == 2
