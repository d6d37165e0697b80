"""Feedback, datasets and evaluations in a node: G9 (erasure reaches every version) and the evaluation half of G6."""

import asyncio
import json

import pytest
from msgspec import UNSET

from pilothouse import Context, agent
from pilothouse.cli.dataset_export import lines
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.example import Choice
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.engine import erasure, evaluation, evidence, example
from pilothouse.engine.override import Correction, override_run
from pilothouse.engine.run import start_run
from pilothouse.errors import (
    Forbidden,
    InvalidInput,
    LimitReached,
    NotOnRecord,
    RunActive,
    RunNotFound,
)
from pilothouse.testing import LocalNode
from tests.engine.agents import command


@agent(mode="event")
async def desk(ctx: Context, text: str) -> str:
    if text == "wait":
        await ctx.signal("go")
    return text.upper()


@agent(mode="event")
async def other(text: str) -> str:
    return text


@pytest.fixture
async def node():
    async with LocalNode({"desk": desk, "other": other}) as node:
        yield node


async def run(node, text, subject=None, name="desk"):
    asked = command(name, json.dumps(text).encode(), wants="later", subject=subject)
    return (await node.wait((await start_run(node.world, asked)).run.id)).id


async def say(node, run, kind="thumb", value=1, **more):
    return await example.give_feedback(node.world, LOCAL, run, example.Feedback(kind=kind, value=value, **more))


async def make(node, name="d", **choice):
    return await example.make_version(node.world, LOCAL, name, Choice(**{"agent": "desk"} | choice))


async def told(node):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    return [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]


async def test_what_people_say_of_a_run_becomes_an_example_with_what_it_is_about(node):
    id = await run(node, "ann")
    up, rated = await say(node, id), await say(node, id, "rating", 4, comment="nice")
    corrected = await say(node, id, "correction", None, expected=b'"Ann"')
    assert [one.score for one in (up, rated, corrected)] == [1.0, 0.75, 0.0]
    assert (bytes(up.input), bytes(up.output), up.expected) == (b'"ann"', b'"ANN"', UNSET)
    assert bytes(corrected.expected) == b'"Ann"'
    found, _ = await example.list_examples(node.world, "default", "desk", None, 10)
    assert [one.id for one in found] == [corrected.id, rated.id, up.id]
    entries = [one for one in await told(node) if one["kind"] == "example.opened"]
    assert [(one["run"], one["source"]) for one in entries] == [(id, "thumb"), (id, "rating"), (id, "correction")]
    assert "ANN" not in json.dumps(entries)


async def test_what_makes_no_sense_is_refused(node):
    id = await run(node, "ann")
    for kind, value, expected in (
        ("thumb", 2, None), ("rating", 0, None), ("rating", None, None), ("correction", None, None),
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            await say(node, id, kind, value, expected=expected)
    with pytest.raises(RunNotFound):
        await say(node, "run_x")
    live = await node.start("desk", "wait")
    with pytest.raises(RunActive):
        await say(node, live.id)
    robot = Principal("x", "agent", "default", frozenset({"*"}))
    for refused in (
        example.give_feedback(node.world, robot, id, example.Feedback(kind="thumb", value=1)),
        example.make_version(node.world, robot, "d", Choice(agent="desk")),
        erasure.erase_subject(node.world, robot, "s"),
    ):
        with pytest.raises(Forbidden):
            await refused


async def test_an_override_of_an_outcome_opens_an_example(node):
    """G4: the mistake is kept as a case for the next release, in the Change of the override."""
    id = await run(node, "ann")
    await override_run(node.world, LOCAL, id, Correction(reason="wrong case", value=b'"Ann"'))
    (one,), _ = await example.list_examples(node.world, "default", "desk", None, 10)
    assert (one.source, bytes(one.output), bytes(one.expected)) == ("override", b'"ANN"', b'"Ann"')


async def test_a_version_never_changes_and_the_same_examples_make_no_second_one(node):
    await say(node, await run(node, "a"))
    first = await make(node)
    assert (await make(node)).version == first.version
    await say(node, await run(node, "b"))
    second = await make(node)
    assert (second.version.number, len(second.items)) == (2, 2)
    assert (await example.read_version(node.world, "default", "d", 1)).items == first.items
    assert (await example.read_version(node.world, "default", "d", None)).version == second.version
    with pytest.raises(NotOnRecord):
        await example.read_version(node.world, "default", "d", 3)
    with pytest.raises(InvalidInput):
        await make(node, agent="other")


async def test_versions_made_at_the_same_moment_have_numbers_of_their_own_or_are_one(node):
    await say(node, await run(node, "a"))
    came = await asyncio.gather(*(make(node) for _ in range(5)), return_exceptions=True)
    assert any(not isinstance(one, BaseException) for one in came)
    versions = await example.list_versions(node.world, "default", "d")
    assert [one.number for one in versions] == list(range(1, len(versions) + 1))
    assert len({one.digest for one in versions}) == 1


async def test_a_version_that_is_too_large_is_refused_whole(node, monkeypatch):
    monkeypatch.setattr(example, "ITEMS_LIMIT", 1)
    for text in "ab":
        await say(node, await run(node, text))
    with pytest.raises(LimitReached):
        await make(node)


# --- G9 ---------------------------------------------------------------------------------------------------------------


async def test_erasing_a_subject_withdraws_examples_and_flags_the_versions_built_from_them(node):
    for text, subject in (("a", "ann"), ("b", "bob"), ("c", "ann"), ("d", None)):
        await say(node, await run(node, text, subject))
    before = await make(node)
    assert (await erasure.erase_subject(node.world, LOCAL, "ann")).examples == 2
    after = await example.read_version(node.world, "default", "d", 1)
    assert after.version == before.version
    assert len(after.withdrawn) == 2
    assert sorted(bytes(one.input) for _, one in after.items) == [b'"b"', b'"d"']
    for id in after.withdrawn:
        assert await node.kept.get_document("default", id) is None
    kinds = [one["kind"] for one in await told(node)]
    assert (kinds.count("example.withdrawn"), kinds.count("subject.erased")) == (2, 1)
    assert "ann" not in json.dumps(
        [one for one in await told(node) if "example" in one["kind"] or "subject" in one["id"]]
    )
    assert (await erasure.erase_subject(node.world, LOCAL, "ann")).examples == 0
    assert (await make(node)).version.number == 2


async def test_a_version_that_is_made_while_a_subject_is_erased_keeps_nothing_of_them(node):
    """A version has no copy: whatever the order, what is erased cannot be read from it."""
    for number in range(6):
        await say(node, await run(node, f"n{number}", "ann" if number % 2 else None))
    await asyncio.gather(make(node), erasure.erase_subject(node.world, LOCAL, "ann"), make(node, "e"))
    for name in ("d", "e"):
        found = await example.read_version(node.world, "default", name, 1)
        assert all(one.subject is None for _, one in found.items)
        assert len(found.items) == 3


async def test_an_export_has_nothing_of_what_was_withdrawn(node):
    await say(node, await run(node, "zebra", "ann"))
    await say(node, await run(node, "b"))
    await make(node)
    await erasure.erase_subject(node.world, LOCAL, "ann")
    found = await example.read_version(node.world, "default", "d", 1)
    items = [
        {
            "example": {
                "input": json.loads(bytes(one.input)),
                "output": json.loads(bytes(one.output)),
                "score": one.score,
            }
        }
        for _, one in found.items
    ]
    written, _ = lines(items, "openai", None)
    assert [json.loads(one)["messages"][0]["content"] for one in written] == ["b"]


# --- G6: a release goes on with its evaluation ------------------------------------------------------------------------


async def evaluated(node, scores, **more):
    contents = await example.read_version(node.world, "default", "d", 1)
    scored = []
    for (item, one), score in zip(contents.items, scores, strict=True):
        again = await run(node, json.loads(bytes(one.input)))
        scored.append(evaluation.Scored(item.example, again, (score,)))
    facts = {"agent": "desk", "dataset": "d", "number": 1, "part": None, "evaluators": ("exact",)}
    handed = evaluation.Handed(**facts | {"scored": tuple(scored)} | more)
    return await evaluation.keep_evaluation(node.world, LOCAL, handed)


@pytest.fixture
async def judged(node):
    for text in "abcdefgh":
        await say(node, await run(node, text))
    await make(node)
    return node


async def test_an_evaluation_is_of_one_release_and_stands_in_the_log(judged):
    kept = await evaluated(judged, [1.0] * 8)
    assert kept.release == judged.world.worker.find("desk").release
    assert (kept.scores[0].mean, kept.digest[:7], kept.left_out) == (1.0, "sha256:", 0)
    (entry,) = [one for one in await told(judged) if one["kind"] == "release.evaluated"]
    assert (entry["release"], entry["scores"]) == (kept.release, {"exact": 1.0})


async def test_evaluations_are_compared_on_what_both_have_scored(judged):
    first, second = await evaluated(judged, [1.0] * 8), await evaluated(judged, [1.0, *([0.0] * 7)])
    found = evaluation.compare_evaluations(first, second)
    assert found["exact"].is_worse
    assert (found["exact"].worse, found["exact"].count) == (7, 8)
    assert await evaluation.get_evaluation(judged.world, "default", second.id) == second
    with pytest.raises(NotOnRecord):
        await evaluation.get_evaluation(judged.world, "default", "dataset:d:1")


async def test_scores_of_anything_else_are_not_taken(judged):
    node = judged
    contents = await example.read_version(node.world, "default", "d", 1)
    item = contents.items[0][0].example
    text = json.loads(bytes(contents.items[0][1].input))
    own, foreign, another = await run(node, text), await run(node, text, name="other"), await run(node, "z")
    handed = {"agent": "desk", "dataset": "d", "number": 1, "part": None, "evaluators": ("exact",)}
    for scored in (
        [evaluation.Scored("exm_x", own, (1.0,))],
        [evaluation.Scored(item, foreign, (1.0,))],
        [evaluation.Scored(item, "run_x", (1.0,))],
        [evaluation.Scored(item, another, (1.0,))],
        [evaluation.Scored(item, own, (1.0, 1.0))],
        [evaluation.Scored(item, own, (1.0,))] * 2,
        [],
    ):
        with pytest.raises(InvalidInput):
            await evaluation.keep_evaluation(node.world, LOCAL, evaluation.Handed(**handed | {"scored": tuple(scored)}))
    robot = Principal("x", "agent", "default", frozenset({"*"}))
    with pytest.raises(Forbidden):
        await evaluation.keep_evaluation(node.world, robot, evaluation.Handed(**handed | {"scored": ()}))


# --- formats ----------------------------------------------------------------------------------------------------------

BOTH = {"example": {"input": "q", "output": "bad", "expected": {"a": 1}, "score": 0.0}}
LIKED = {"example": {"input": {"q": 1}, "output": "good", "score": 1.0}}
DISLIKED = {"example": {"input": "q", "output": "bad", "score": 0.0}}


def test_an_export_has_the_shape_that_training_takes():
    chat, left_out = lines([BOTH, LIKED, DISLIKED], "openai", "Be kind.")
    assert left_out == 1
    assert json.loads(chat[0]) == {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": '{"a": 1}'},
        ]
    }
    (messages,), _ = lines([LIKED], "messages", "Be kind.")
    assert json.loads(messages) == {
        "system": "Be kind.",
        "messages": [{"role": "user", "content": '{"q": 1}'}, {"role": "assistant", "content": "good"}],
    }
    pairs, left_out = lines([BOTH, LIKED], "dpo", None)
    assert (len(pairs), left_out) == (1, 1)
    assert json.loads(pairs[0]) == {
        "prompt": [{"role": "user", "content": "q"}],
        "chosen": [{"role": "assistant", "content": '{"a": 1}'}],
        "rejected": [{"role": "assistant", "content": "bad"}],
    }
    (preference,), _ = lines([BOTH], "openai-preference", None)
    assert set(json.loads(preference)) == {"input", "preferred_output", "non_preferred_output"}
    assert json.loads(lines([BOTH], "examples", None)[0][0]) == BOTH["example"]
