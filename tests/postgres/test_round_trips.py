"""How often a node speaks with the server for what nodes do all the time: once, or thrice to keep others out.

More than that is a batch that was done in detail, which is right and slow; these tests say which Changes need not be.
"""

import asyncio

import pytest

from pilothouse.ports.change import (
    AddSpend,
    AdvanceSession,
    AppendAudit,
    InsertIdempotency,
    InsertReview,
    ParkRun,
    RequeueRun,
    ResolveStep,
    WakeRun,
)
from pilothouse.testing.records.build import (
    AGENT,
    AT,
    LONG,
    SECOND,
    TENANT,
    all_events,
    born,
    cancels,
    claim,
    ended,
    fence,
    finish,
    is_gapless,
    put,
    queued,
    read,
    step,
    takes,
    told,
    turn,
    wish,
)

pytestmark = pytest.mark.slow


def noted(text="{}"):
    return AppendAudit(TENANT, "x", text.encode())


def spends(tokens=1):
    return AddSpend(TENANT, AGENT, "agent", "2026-11", tokens, 1, 1, 1, 1, 1, AT)


@pytest.fixture
async def records(nodes):
    [records] = await nodes(1)
    return records


@pytest.fixture
def trips(records):
    """What was said to the server since it was asked last."""
    said = []
    connection = records._link._writing
    fetch, execute = connection.fetch, connection.execute
    connection.fetch = lambda text, *values: (said.append(text), fetch(text, *values))[1]
    connection.execute = lambda text: (said.append(text), execute(text))[1]

    def count():
        found = [text for text in said if "session_of_run" not in text]
        said.clear()
        return len(found)

    return count


async def test_what_an_attempt_tells_is_one_round_trip(records, trips):
    await put(records, born("run_a"), told("run_a", "run.started"), noted())
    await put(records, born("run_b"))
    trips()
    await put(records, fence("run_a"), step("run_a", ended("s")), told("run_a", "step.finished"), noted(), spends())
    assert trips() == 1
    many = [put(records, fence("run_a"), step("run_a", ended(f"s-{n}")), told("run_a", "x"), noted()) for n in range(9)]
    await asyncio.gather(*many)
    assert trips() == 1
    asks = InsertReview(TENANT, "rev_1", "run_a", "s", AGENT, "ask", "?", b"{}", AT, None)
    await put(records, ParkRun(TENANT, "run_a", 1, 0, None), asks, told("run_a", "run.waiting"), noted())
    assert trips() == 1
    await put(records, finish("run_b"), step("run_b", ended("s", output=LONG)), told("run_b", "x"), noted(),
              cancels("run_b"))  # fmt: skip
    assert trips() <= 2  # its last number was not known
    assert is_gapless(await all_events(records, "run_a"))
    assert (await read(records, "run_a")).status == "waiting"
    assert [row.output for row in await records.load_journal(TENANT, "run_b")] == [LONG]


async def test_runs_are_born_in_three_round_trips_however_many(records, trips):
    """Whoever remembers a cancel of one that is not there yet is kept out."""
    changes = [put(records, InsertIdempotency(TENANT, f"k-{n}", b"d", f"run_{n}", AT, AT + SECOND), queued(f"run_{n}"),
                   told(f"run_{n}", "run.queued"), noted()) for n in range(20)]  # fmt: skip
    receipts = await asyncio.gather(*changes)
    assert trips() == 3
    assert {(one.seq, one.status) for one in receipts} == {(1, "queued")}
    await records.claim(claim(wish(20)))
    trips()
    await asyncio.gather(*(put(records, finish(f"run_{n}"), told(f"run_{n}", "run.succeeded")) for n in range(20)))
    assert trips() <= 2


async def test_a_turn_begins_and_ends_in_three_round_trips_each(records, trips):
    receipts = await asyncio.gather(*(put(records, turn(f"run_{n}"), told(f"run_{n}", "run.queued")) for n in (1, 2)))
    assert [one.status for one in receipts] == ["running", "queued"]
    trips()
    end = put(records, finish("run_1"), takes("run_1"), told("run_1", "run.succeeded"), noted(),
              AdvanceSession(TENANT, "chat", AGENT, AT), cancels("run_1"))  # fmt: skip
    assert (await end).status == "succeeded"
    assert trips() <= 4
    [found] = await records.list_turns(TENANT, AGENT, "chat", None, 10)
    assert (found.number, found.run, found.status, found.output) == (1, "run_1", "succeeded", b'{"done":true}')
    assert [run.id for run in await records.claim(claim(wish(5)))] == ["run_2"]
    trips()
    await put(records, finish("run_2", output=LONG), takes("run_2"), AdvanceSession(TENANT, "chat", AGENT, AT))
    assert trips() == 3
    turns = await records.list_turns(TENANT, AGENT, "chat", None, 10)
    assert [(one.number, one.output == LONG) for one in turns] == [(1, False), (2, True)]


async def test_an_answer_from_outside_is_one_round_trip_and_tells_what_became_of_the_run(records, trips):
    await put(records, born("run_a"))
    await put(records, ParkRun(TENANT, "run_a", 1, 0, None))
    trips()
    receipt = await put(records, ResolveStep(TENANT, "run_a", ended("signal.x-1")), WakeRun(TENANT, "run_a"))
    assert trips() == 1
    assert receipt.status == "queued"
    [run] = await records.claim(claim(wish(5)))
    trips()
    receipt = await put(records, ParkRun(TENANT, "run_a", run.epoch, 0, None), noted())
    assert trips() == 1
    assert receipt.status == "queued"  # it had one wake more than the attempt saw


async def test_what_falls_hurts_nobody_beside_it(records, trips):
    await put(records, born("run_a"), born("run_b"))
    trips()
    late = put(records, fence("run_a", epoch=7), step("run_a", ended("s")), noted("late"))
    other = put(records, RequeueRun(TENANT, "run_b", 1, 2, 0, None), told("run_b", "run.queued"), noted("other"))
    fell, stood = await asyncio.gather(late, other, return_exceptions=True)
    assert str(fell).startswith("fence")
    assert stood.status == "queued"
    assert trips() > 3
    assert [one.lines for one in await records.read_audit(TENANT, 0, 9)] == [b"other"]
