"""Several nodes write to one database at the same time, and it is as if one had written.

Each clause of the conformance suite is about one node. What is here has two or three on the same rows, and hands over
to all of them at once, many times: a race that can be lost is lost in some of the rounds.
"""

import asyncio
from collections import Counter

import asyncpg
import pytest

from pilothouse.domain.retention import Retention
from pilothouse.ports.change import (
    AdvanceSession,
    AppendAudit,
    Conflict,
    InsertIdempotency,
    RememberCancel,
    RequestCancel,
    RequeueRun,
    ResolveStep,
    WakeRun,
    WriteDocument,
)
from pilothouse.storage.records.postgres.options import PostgresOptions
from pilothouse.testing.records.build import (
    AGENT,
    AT,
    LEASE,
    LONG,
    SECOND,
    TENANT,
    all_events,
    born,
    claim,
    delayed,
    ended,
    falls,
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


async def outcomes(changes):
    return await asyncio.gather(*changes, return_exceptions=True)


async def test_each_run_is_claimed_by_one_node(nodes):
    some = await nodes(3)
    for records in some:
        await asyncio.gather(*(put(records, queued(f"run_{id(records)}_{number}")) for number in range(100)))
    taken = Counter()
    while len(taken) < 300:
        found = await asyncio.gather(
            *(records.claim(claim(wish(7), owner=f"node-{at}")) for at, records in enumerate(some) for _ in range(5))
        )
        taken.update(run.id for runs in found for run in runs)
    assert set(taken.values()) == {1}


async def test_events_of_one_run_from_several_nodes_have_no_gap_and_no_repeat(nodes):
    some = await nodes(3)
    await put(some[0], born("run_a"), told("run_a", "run.started"))
    told_of = await outcomes(
        put(records, fence("run_a"), step("run_a", ended(f"s-{at}-{number}")), told("run_a", "step.finished"))
        for number in range(60)
        for at, records in enumerate(some)
    )
    seqs = sorted(receipt.seq for receipt in told_of)
    assert seqs == list(range(2, 182))
    for records in some:
        assert is_gapless(await all_events(records, "run_a"))
    assert len(await some[1].load_journal(TENANT, "run_a")) == 180


async def test_two_nodes_that_insert_turns_of_one_session_start_one_of_them(nodes):
    first, second = await nodes(2)
    for number in range(30):
        key = f"chat-{number}"
        both = await asyncio.gather(put(first, turn(f"run_{number}_a", key)), put(second, turn(f"run_{number}_b", key)))
        assert sorted(receipt.status for receipt in both) == ["queued", "running"]


async def test_an_end_on_one_node_and_a_new_turn_on_another_leave_nobody_behind(nodes):
    first, second = await nodes(2)
    for number in range(40):
        key = f"chat-{number}"
        await put(first, turn(f"run_{number}_a", key))
        await asyncio.gather(
            put(first, finish(f"run_{number}_a"), AdvanceSession(TENANT, key, AGENT, AT)),
            put(second, turn(f"run_{number}_b", key)),
        )
        run = await read(first, f"run_{number}_b")
        assert run.status == "running" or run.ready


async def test_the_turns_of_a_session_that_nodes_take_in_turns_are_numbered_once(nodes):
    some = await nodes(3)
    for number in range(30):
        records = some[number % 3]
        await put(records, turn(f"run_{number}"))
        await put(records, finish(f"run_{number}"), takes(f"run_{number}", version=number, state=b'{"n":%d}' % number))
    turns = await some[0].list_turns(TENANT, AGENT, "chat", None, 100)
    assert [one.number for one in turns] == list(range(1, 31))
    late = put(some[1], born("run_x"), finish("run_x"), takes("run_x", version=7, state=b"{}"))
    assert await falls(late) == "take_turn"


async def test_an_attempt_whose_run_another_node_took_over_writes_nothing_more(nodes):
    first, second = await nodes(2)
    for number in range(30):
        run = f"run_{number}"
        await put(first, born(run))
        writes = [put(first, fence(run), step(run, ended(f"s-{one}")), told(run, "step.finished")) for one in range(5)]
        over = put(second, RequeueRun(TENANT, run, 1, 2, 0, None), told(run, "run.queued"))
        stood = [isinstance(one, Conflict) for one in await outcomes(writes)]
        await over
        assert stood == sorted(stood)
        journal = await second.load_journal(TENANT, run)
        assert len(journal) == stood.count(False)
        assert await falls(put(first, fence(run), step(run, ended("late")))) == "fence"
        assert is_gapless(await all_events(second, run))


async def test_a_run_has_one_end_whichever_node_is_faster(nodes):
    first, second = await nodes(2)
    for number in range(30):
        run = f"run_{number}"
        await put(first, born(run))
        both = await outcomes(
            [put(first, finish(run)), put(second, finish(run, status="failed")), put(second, WakeRun(TENANT, run))]
        )
        assert sum(not isinstance(one, Exception) for one in both[:2]) == 1


async def test_of_the_ends_of_a_wait_from_two_nodes_one_wins(nodes):
    first, second = await nodes(2)
    await put(first, born("run_a"))
    for number in range(30):
        ends = [
            put(records, ResolveStep(TENANT, "run_a", ended(f"signal.x-{number}")), WakeRun(TENANT, "run_a"))
            for records in (first, second)
        ]
        assert sum(isinstance(one, Conflict) for one in await outcomes(ends)) == 1
    assert (await read(first, "run_a")).wakes == 30


async def test_a_key_is_bound_to_one_run_whichever_node_is_asked(nodes):
    some = await nodes(3)
    for number in range(20):
        asked = await outcomes(
            put(
                records,
                InsertIdempotency(TENANT, f"key-{number}", b"d", f"run_{number}_{at}", AT, AT + SECOND),
                queued(f"run_{number}_{at}"),
            )
            for at, records in enumerate(some)
        )
        assert sum(not isinstance(one, Exception) for one in asked) == 1


async def test_a_cancel_that_comes_before_its_run_on_another_node_is_never_forgotten(nodes):
    first, second = await nodes(2)
    for number in range(40):
        run = f"run_{number}"
        inserted, remembered = await outcomes(
            [put(first, born(run)), put(second, RememberCancel(TENANT, run, AT, AT + SECOND))]
        )
        assert inserted.status in ("running", "queued")
        if not isinstance(remembered, Conflict):
            assert (await read(first, run)).cancel_at == AT


async def test_changes_that_touch_the_same_rows_in_other_orders_all_come_through(nodes):
    """No two nodes ever wait for each other: locks are taken in one order."""
    first, second = await nodes(2)
    runs = [f"run_{number}" for number in range(20)]
    for run in runs:
        await put(first, born(run, lease_until=LEASE))
    for _ in range(10):
        wakes = [put(first, WakeRun(TENANT, run)) for run in runs]
        wakes += [put(second, WakeRun(TENANT, run)) for run in reversed(runs)]
        wakes += [put(second, RequestCancel(TENANT, runs[3], AT, "enough", False))]
        await asyncio.gather(*wakes, first.renew_leases("node-1", AT, LEASE))
    assert {(await read(second, run)).wakes for run in runs} == {20}
    assert (await deadlocks(first)) == 0


async def test_who_still_wants_the_payload_of_another_holds_no_log_that_others_wait_for(
    nodes, postgres_server, database
):
    """A batch in detail locked the heads of its logs first, and then wanted payloads; a batch in one statement does it
    the other way round. Two nodes that brought the same content waited for each other until PostgreSQL ended one."""
    [node] = await nodes(1, options=PostgresOptions(answer_within=60.0))
    shared = b'"' + b"x" * 20_000 + b'"'
    entry = AppendAudit(TENANT, "run_a", b'{"kind":"step"}')
    await put(node, born("run_a", input=shared), entry)
    other = await asyncpg.connect(postgres_server.url(database))
    try:
        async with other.transaction():
            await other.execute("select 1 from payload for update")
            bringing = put(node, fence("run_a"), step("run_a", ended("s", shared)), entry)
            in_detail = put(node, WriteDocument(TENANT, "doc", "kind", 0, "", b"{}", AT))
            async with asyncio.timeout(60):
                while not await other.fetchval("select count(*) from pg_locks where not granted"):
                    await asyncio.sleep(0.01)
            await other.execute("select 1 from audit_head for update nowait")
        await asyncio.gather(bringing, in_detail)
    finally:
        await other.close()
    assert [(one.seq, one.count) for one in await node.read_audit(TENANT, 0, 10)] == [(1, 1), (2, 1)]


async def deadlocks(records):
    asked = "select deadlocks from pg_stat_database where datname = current_database()"
    return await records._few(lambda connection: connection.fetch(asked)[0][0])


async def test_timers_of_several_nodes_wake_each_run_once(nodes):
    some = await nodes(3)
    changes = [put(some[0], delayed(f"run_{number}", AT + 10)) for number in range(60)]
    changes += [put(some[0], delayed(f"run_s{number}", AT + 10, "chat")) for number in range(10)]
    await asyncio.gather(*changes)
    await asyncio.gather(*(records.wake_due(AT + 10, 100) for records in some))
    taken = [run.id for run in await some[1].claim(claim(wish(100)))]
    assert len(taken) == len(set(taken)) == 61
    assert await deadlocks(some[0]) == 0


async def test_a_long_payload_that_one_node_drops_while_another_brings_it_is_there(nodes):
    first, second = await nodes(2)
    for number in range(15):
        await put(first, born(f"run_old_{number}", input=LONG), finish(f"run_old_{number}", finished_at=AT))
        brought, _ = await asyncio.gather(
            put(second, born(f"run_new_{number}", input=LONG, metadata=LONG)),
            first.prune(Retention(AT + 1, AT + 1), 10),
        )
        assert brought.status == "running"
        assert (await read(first, f"run_new_{number}")).input == LONG
        await put(second, finish(f"run_new_{number}", finished_at=AT))


async def test_what_one_node_acknowledged_another_reads_at_once(nodes):
    first, second = await nodes(2)
    for number in range(20):
        await put(first, queued(f"run_{number}"))
        assert await second.get_run(TENANT, f"run_{number}") is not None


async def test_a_faulty_change_hurts_nobody_else_on_any_node(nodes):
    first, second = await nodes(2)
    await put(first, born("run_a"), born("run_b"))
    await put(first, fence("run_a"), step("run_a", ended("s")))
    changes = []
    for number in range(20):
        records = second if number % 2 else first
        key = "s" if number % 5 == 0 else f"t-{number}"
        changes.append(put(records, fence("run_a"), step("run_a", ended(key)), told("run_a", "step.finished")))
    found = await outcomes(changes)
    assert [isinstance(one, Exception) for one in found] == [number % 5 == 0 for number in range(20)]
    assert is_gapless(await all_events(first, "run_a"))
