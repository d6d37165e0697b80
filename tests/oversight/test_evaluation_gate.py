"""G6 at the door: a release of which an evaluation is asked takes no runs before it has passed, however they come."""

import json

import pytest
from msgspec import Raw, structs

from pilothouse import Context, agent
from pilothouse.domain.delivery import Delivery
from pilothouse.domain.evaluation import Requirement
from pilothouse.domain.example import Choice
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.source import Message, SourceRule
from pilothouse.domain.topic import Published
from pilothouse.engine import evaluation, example
from pilothouse.engine.direct import Ask
from pilothouse.engine.encoding import encode
from pilothouse.engine.obstacle import find_obstacle
from pilothouse.engine.run import Idempotent, place_run, start_run
from pilothouse.engine.source import Intake, take_in
from pilothouse.engine.subscriber import start_subscriber
from pilothouse.errors import NotEvaluated
from pilothouse.testing import LocalNode
from tests.engine.agents import command
from tests.oversight.people import hire

ASKED = Requirement(dataset="words", at_least=0.6)
"""Eight right answers of eight are surely at least 0.676."""
EVALUATES = {"evaluates": "exm_x"}


@agent(mode="event")
async def source(text: str) -> str:
    return text.upper()


@agent(mode="event")
async def desk(text: str) -> str:
    return text.upper()


@agent
async def quick(text: str) -> str:
    return text.upper()


@agent(mode="event")
async def caller(ctx: Context, name: str) -> str:
    return await ctx.call(name, "a")


@agent(mode="event")
async def deep(ctx: Context, text: str) -> str:
    return await ctx.call("deep", text[1:]) if text else "deep"


AGENTS = {"source": source, "desk": desk, "quick": quick, "caller": caller, "deep": deep}
GATED = {name: {"evaluation": ASKED} for name in ("desk", "quick", "deep")}


@pytest.fixture
async def node():
    async with LocalNode(AGENTS, options=GATED) as node:
        for text in "abcdefgh":
            run = await node.run("source", text)
            await example.give_feedback(node.world, LOCAL, run.id, example.Feedback(kind="thumb", value=1))
        await example.make_version(node.world, LOCAL, "words", Choice(agent="source"))
        yield node


async def score(node, name="desk", right=8, evaluator="exact", leave_out=0, part=None):
    """Evaluates the release as the command line does, and hands in scores of which so many are right."""
    contents = await example.read_version(node.world, "default", "words", 1)
    items = [(item, one) for item, one in contents.items if part in (None, item.part)]
    scored = []
    for place, (item, one) in enumerate(items[: len(items) - leave_out]):
        text = json.loads(bytes(one.input))
        run = await node.wait(await node.start(name, text, metadata={"evaluates": item.example}))
        scored.append(evaluation.Scored(item.example, run.id, (float(place < right),)))
    handed = evaluation.Handed(
        agent=name, dataset="words", number=1, part=part, evaluators=(evaluator,), scored=tuple(scored)
    )
    return await evaluation.keep_evaluation(node.world, LOCAL, handed)


async def test_a_release_takes_runs_once_it_has_passed_and_not_before(node):
    with pytest.raises(NotEvaluated, match="not evaluated on words") as refused:
        await node.start("desk", "x")
    assert "pilothouse eval run desk --dataset words --evaluator exact --at-least 0.6" in refused.value.hint
    await score(node, right=4)
    with pytest.raises(NotEvaluated, match=r"exact may be 0\.215, under 0\.6"):
        await node.start("desk", "x")
    await score(node)
    assert (await node.run("desk", "x")).output == "X"


async def test_a_release_that_has_passed_costs_no_read_of_the_records_from_then_on(node, monkeypatch):
    reads = []
    listed = node.kept.list_documents

    async def counted(*given, **named):
        reads.append(given)
        return await listed(*given, **named)

    await score(node)
    monkeypatch.setattr(node.kept, "list_documents", counted)
    for _ in range(3):
        await node.run("desk", "x")
        await node.run("source", "x")
    assert len(reads) == 1


async def test_a_closed_gate_reads_the_records_once_a_second_however_many_knock(node, monkeypatch):
    reads = []
    listed = node.kept.list_documents

    async def counted(*given, **named):
        reads.append(given)
        return await listed(*given, **named)

    monkeypatch.setattr(node.kept, "list_documents", counted)
    for _ in range(3):
        with pytest.raises(NotEvaluated):
            await node.start("desk", "x")
    assert len(reads) == 1
    await node.advance(seconds=2)
    with pytest.raises(NotEvaluated):
        await node.start("desk", "x")
    assert len([one for one in reads if one[1] == "evaluation"]) == 2


async def test_an_evaluation_of_another_release_opens_nothing(node):
    await score(node)
    served = node.world.worker.find("desk")
    node.worker._agents["desk"] = structs.replace(served, release="another")
    with pytest.raises(NotEvaluated, match="another"):
        await node.start("desk", "x")


async def test_the_last_evaluation_counts_and_one_that_was_not_of_everything_does_not(node):
    await score(node, leave_out=1)
    with pytest.raises(NotEvaluated, match="1 examples of words were not scored"):
        await node.start("desk", "x")
    await score(node)
    await score(node, right=0)
    with pytest.raises(NotEvaluated, match="under"):
        await node.start("desk", "x")


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"dataset": "words:2"}, "not evaluated on words:2"),
        ({"dataset": "word"}, "not evaluated on word"),
        ({"evaluators": ("exact", "contains")}, "not scored by contains"),
        ({"part": "test"}, "not evaluated"),
    ],
)
async def test_what_is_asked_is_what_must_have_been_scored(node, asked, text):
    await score(node)
    served = node.world.worker.find("desk")
    node.worker._agents["desk"] = structs.replace(served, evaluation=structs.replace(ASKED, **asked))
    with pytest.raises(NotEvaluated, match=text):
        await node.start("desk", "x")


async def test_when_missing_allow_lets_in_what_was_never_scored_and_not_what_failed():
    lenient = structs.replace(ASKED, when_missing="allow")
    async with LocalNode(AGENTS, options={"desk": {"evaluation": lenient}}) as node:
        run = await node.run("desk", "x")
        await example.give_feedback(node.world, LOCAL, run.id, example.Feedback(kind="thumb", value=1))
        await example.make_version(node.world, LOCAL, "words", Choice(agent="desk"))
        await score(node, right=0)
        with pytest.raises(NotEvaluated, match="under"):
            await node.start("desk", "x")


async def test_only_who_may_evaluate_is_let_in_by_saying_so(node):
    said = encode(EVALUATES)
    may = Principal("ci", "service", "default", frozenset({"runs:write", "examples:write"}))
    started = await start_run(node.world, command("desk", wants="later", metadata=said, principal=may))
    assert (await node.wait(started.run.id)).status == "succeeded"
    for who in (
        None,
        Principal("ann", "human", "default", frozenset({"runs:write"})),
        Principal("bot", "agent", "default", frozenset({"*"})),
    ):
        with pytest.raises(NotEvaluated):
            await start_run(node.world, command("desk", wants="later", metadata=said, principal=who))
    for metadata in (b"{}", b'{"evaluates": true}'):
        with pytest.raises(NotEvaluated):
            await start_run(node.world, command("desk", wants="later", metadata=metadata, principal=may))
    elsewhere = Principal("eve", "human", "other", frozenset({"*"}))
    with pytest.raises(NotEvaluated, match="has not passed its evaluation"):
        await start_run(
            node.world,
            structs.replace(command("desk", wants="later", metadata=said, principal=elsewhere), tenant="other"),
        )


async def test_a_request_that_was_taken_in_before_finds_its_run_also_when_the_gate_is_shut(node):
    await score(node)
    key = Idempotent("k", b"d")
    first = await start_run(node.world, command("desk", wants="later", idempotency=key))
    await node.wait(first.run.id)
    served = node.world.worker.find("desk")
    node.worker._agents["desk"] = structs.replace(served, release="another")
    again = await start_run(node.world, command("desk", wants="later", idempotency=key))
    assert (again.fresh, again.run.id) == (False, first.run.id)


async def test_what_was_taken_in_before_a_release_waits_until_that_has_passed(node):
    """A deployment must not bring the whole backlog onto code that nobody has looked at."""
    await score(node)
    waits = [await node.start("desk", text, delay=3600) for text in ("x", "y")]
    served = node.world.worker.find("desk")
    node.worker._agents["desk"] = structs.replace(served, release="another")
    await node.advance(hours=1, seconds=1)
    for run in waits:
        found = await node.kept.get_run("default", run.id)
        assert (found.status, found.ready) == ("queued", False)
        obstacle = await find_obstacle(node.world, found)
        assert (obstacle.kind, obstacle.on) == ("release", "another")
    assert await node.kept.list_holding() == ["evaluation:desk"]
    before = len((await node.get(waits[0])).events)
    await node.advance(minutes=5)
    assert len((await node.get(waits[0])).events) == before, "it costs nothing to wait"
    await node.cancel(waits[1])
    await score(node)
    await node.settle()
    assert (await node.wait(waits[0])).output == "X"
    assert (await node.get(waits[1])).status == "cancelled"


async def test_a_shut_gate_outlives_a_restart_and_opens_when_the_setting_is_gone(node):
    run = await node.start("desk", "x", metadata=EVALUATES, delay=3600)
    node.world.standings.clear()
    await hire(node, "ann")  # from now on there are keys, and whoever started it has none
    await node.advance(hours=1, seconds=1)
    assert (await node.get(run)).status == "succeeded", "who is at the node itself may evaluate"
    other = await start_run(
        node.world,
        command("desk", b'"y"', wants="later", metadata=encode(EVALUATES), principal=LOCAL, by="eve", delay_seconds=60),
    )
    await node.advance(seconds=61)
    assert await node.kept.list_holding() == ["evaluation:desk"]
    await node.restart()
    await node.settle()
    assert await node.kept.list_holding() == ["evaluation:desk"]
    served = node.world.worker.find("desk")
    node.worker._agents["desk"] = structs.replace(served, evaluation=None)
    await node.settle()
    assert (await node.wait(other.run.id)).output == "Y"


async def test_a_stateless_run_passes_the_gate_too_and_so_does_one_that_comes_from_another_node(node):
    with pytest.raises(NotEvaluated):
        await node.ask("quick", "x")
    with pytest.raises(NotEvaluated):
        await place_run(node.world, _asked_by_another_node())
    await score(node, "quick")
    assert (await node.ask("quick", "x")).output == "X"


def _asked_by_another_node():
    known = dict.fromkeys(Ask.__struct_fields__)
    given = {"tenant": "default", "agent": "quick", "input": b'"x"', "metadata": b"{}", "run": "run_x", "waits": False}
    return Ask(**known | given | {"started_by": "", "is_stream": False})


async def test_a_call_of_a_release_that_has_not_passed_fails_and_one_of_itself_is_let_in(node):
    refused = await node.run("caller", "desk")
    assert (refused.status, "may not go on" in json.dumps(refused.error)) == ("failed", True)
    inside = await node.wait(await node.start("deep", "ab", metadata=EVALUATES))
    assert inside.output == "deep"


async def test_messages_and_events_wait_for_the_evaluation_and_are_no_dead_letters(node):
    intake = Intake(SourceRule(name="s", agent="desk"), "default")
    message = Message(key="k", body=b'"x"')
    event = Published(topic="t", event="evt_1", publisher="run_p", payload=Raw(b'"x"'))
    told = Delivery(
        tenant="default", id="d", run="run_p", agent="source", type="t", receiver="agent:desk", body=encode(event),
        created_at=0,
    )  # fmt: skip
    assert (await take_in(node.world, intake, message)).outcome == "again"
    assert (await start_subscriber(node.world, told)).verdict == "again"
    await score(node)
    assert (await take_in(node.world, intake, message)).outcome == "run"
    assert (await start_subscriber(node.world, told)).verdict == "delivered"
