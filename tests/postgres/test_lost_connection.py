"""What becomes of Changes when the connection to PostgreSQL, or PostgreSQL itself, is lost at the worst moment.

A commit of which the node did not hear is looked up after the reconnect: what was committed is told as committed, what
was not is done again, and nothing is done twice.
"""

import asyncio

import pytest

from pilothouse.errors import RecordsInvalid, RecordsUnavailable
from pilothouse.storage.records.postgres.options import PostgresOptions
from pilothouse.storage.records.postgres.records import PostgresRecords
from pilothouse.testing.postgres import USER, PostgresServer
from pilothouse.testing.proxy import Proxy
from pilothouse.testing.records.build import (
    TENANT,
    all_events,
    born,
    ended,
    fence,
    finish,
    is_gapless,
    put,
    queued,
    read,
    step,
    told,
)

pytestmark = pytest.mark.slow
QUICK = PostgresOptions(answer_within=1.0, connect_within=1.0, hold_for=5.0, doubt_for=1.0)


@pytest.fixture
async def proxy(postgres_server):
    proxy = Proxy("127.0.0.1", postgres_server.port)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def records(postgres_server, database, proxy):
    records = PostgresRecords(postgres_server.url(database, proxy.port), options=QUICK)
    await records.open()
    yield records
    proxy.heal()
    await records.close()


@pytest.fixture
def committed(postgres_server, database):
    """Waits until a query, asked past the proxy, finds something."""

    async def wait(query):
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(postgres_server.query, database, query):
                await asyncio.sleep(0.01)

    return wait


def attempt():
    return fence("run_a"), step("run_a", ended("s")), told("run_a", "step.finished")


async def warm(records):
    """A run with one step and two events; the statement of the hot path is prepared."""
    await put(records, born("run_a"), told("run_a", "run.started"))
    await put(records, fence("run_a"), step("run_a", ended("warm")), told("run_a", "step.finished"))


async def test_a_commit_whose_answer_was_lost_is_told_and_not_made_twice(records, proxy, committed):
    await warm(records)
    proxy.answers = False
    change = put(records, *attempt())
    await asyncio.sleep(0)
    await committed("select 1 from step where key = 's'")
    proxy.cut()
    proxy.heal()
    assert (await change).seq == 3
    assert len(await records.load_journal(TENANT, "run_a")) == 2
    assert len(await all_events(records, "run_a")) == 3


async def test_of_a_transaction_of_several_statements_the_end_is_known_as_well(records, proxy, committed):
    """The answer to its commit alone is lost."""
    await put(records, born("run_a"), told("run_a", "run.started"))
    connection = records._link._writing
    execute = connection.execute

    def deaf_at_the_end(statements):
        proxy.answers = statements != "commit"
        return execute(statements)

    connection.execute = deaf_at_the_end
    change = put(records, finish("run_a"), step("run_a", ended("s")), told("run_a", "run.succeeded"))
    await asyncio.sleep(0)
    await committed("select 1 from run where status = 'succeeded'")
    proxy.cut()
    proxy.heal()
    receipt = await change
    assert (receipt.seq, receipt.status) == (2, "succeeded")
    assert len(await all_events(records, "run_a")) == 2


async def test_what_did_not_reach_the_server_is_done_after_the_reconnect(records, proxy):
    await put(records, born("run_a"))
    proxy.hears = False
    change = put(records, *attempt())
    for _ in range(20):
        await asyncio.sleep(0)
    proxy.cut()
    proxy.heal()
    assert (await change).seq == 1
    assert len(await records.load_journal(TENANT, "run_a")) == 1


async def test_a_network_that_swallows_everything_is_noticed_and_nobody_waits_for_ever(records, proxy):
    await put(records, born("run_a"))
    proxy.swallow()
    with pytest.raises(RecordsUnavailable):
        await put(records, queued("run_new"))
    with pytest.raises(RecordsUnavailable):
        await records.get_run(TENANT, "run_a")
    proxy.heal()
    proxy.cut()
    async with asyncio.timeout(60):
        while True:
            try:
                await put(records, queued("run_after"))
            except RecordsUnavailable:
                await asyncio.sleep(0.05)
            else:
                break
    assert (await read(records, "run_after")).status == "queued"


async def test_behind_a_commit_in_doubt_callers_are_refused_soon_and_what_attempts_say_is_kept(
    postgres_server, database, proxy, committed
):
    """A network that stays silent: who comes second must not wait for as long as it is."""
    quick = PostgresOptions(answer_within=1.0, connect_within=1.0, hold_for=0.5, doubt_for=1.0, readers=1)
    records = PostgresRecords(postgres_server.url(database, proxy.port), options=quick)
    await records.open()
    try:
        await warm(records)
        proxy.answers = False
        change = asyncio.ensure_future(put(records, *attempt()))
        await asyncio.sleep(0)
        await committed("select 1 from step where key = 's'")
        proxy.swallow()
        late = asyncio.ensure_future(put(records, fence("run_a"), step("run_a", ended("t"))))
        for number in range(3):
            async with asyncio.timeout(60):
                answers = await asyncio.gather(
                    *(put(records, queued(f"run_{number}_{one}")) for one in range(3)),
                    records.renew_leases("nobody", 1, 2),
                    *(records.list_steps(TENANT, "run_a", 0, 10) for _ in range(8)),
                    return_exceptions=True,
                )
            assert {type(answer) for answer in answers} == {RecordsUnavailable}
        assert not change.done()
        assert not late.done()
        proxy.heal()
        proxy.cut()
        assert (await change).seq == 3
        await late
        assert [row.key for row in await records.load_journal(TENANT, "run_a")] == ["warm", "s", "t"]
    finally:
        proxy.heal()
        await records.close()


async def test_what_was_on_its_way_when_the_network_fell_silent_is_made_once_although_it_arrives_late(records, proxy):
    """TCP sends again what was not confirmed, also when the node has long given up the connection."""
    await warm(records)
    proxy.delay()
    change = asyncio.ensure_future(put(records, *attempt()))
    await asyncio.sleep(QUICK.answer_within * 2)  # the span itself is the case
    assert not change.done()
    proxy.heal()
    assert (await change).seq == 3
    assert proxy.late > 0
    assert len(await records.load_journal(TENANT, "run_a")) == 2
    assert len(await all_events(records, "run_a")) == 3


async def test_an_attempt_waits_until_it_is_known_whether_its_step_was_kept(records, proxy, committed):
    """A caller from outside is told that nobody knows; an attempt would write the same again."""
    await warm(records)
    proxy.answers = False
    change = put(records, *attempt())
    await asyncio.sleep(0)
    await committed("select 1 from step where key = 's'")
    proxy.swallow()
    proxy.accepts = False
    proxy.cut()
    late = put(records, queued("run_late"))
    await asyncio.sleep(QUICK.doubt_for + 1.0)
    proxy.heal()
    assert (await change).seq == 3
    await asyncio.gather(late, return_exceptions=True)
    assert len(await records.load_journal(TENANT, "run_a")) == 2


async def test_a_transaction_of_a_lost_connection_that_comes_late_is_given_up(records, postgres_server, database):
    """Another connection has raised the mark of the lane: what the first one had begun touches nothing."""
    await put(records, born("run_a"))
    postgres_server.query(database, "update lane set batch = batch + 100")
    receipt = await put(records, *attempt())
    assert receipt.seq == 1
    assert len(await records.load_journal(TENANT, "run_a")) == 1


class Load:
    """Twenty attempts that write forty steps each, side by side; `written` counts what was acknowledged."""

    def __init__(self, records):
        self._records = records
        self.written = 0
        self._attempts = [asyncio.ensure_future(self._attempt(f"run_{number}")) for number in range(20)]

    async def _attempt(self, run):
        records = self._records
        await put(records, born(run), told(run, "run.started"))
        for number in range(40):
            await put(records, fence(run), step(run, ended(f"s-{number}")), told(run, "step.finished"))
            self.written += 1
        await put(records, finish(run), told(run, "run.succeeded"))

    async def write(self, steps):
        """Until so many more are acknowledged, or all."""
        goal = self.written + steps
        while self.written < goal and not all(one.done() for one in self._attempts):
            await asyncio.sleep(0.005)

    async def end(self):
        """All of it, each step once and in order."""
        await asyncio.gather(*self._attempts)
        for number in range(20):
            run = f"run_{number}"
            journal = await self._records.load_journal(TENANT, run)
            assert [row.key for row in journal] == [f"s-{one}" for one in range(40)]
            segments = await all_events(self._records, run)
            assert is_gapless(segments)
            assert segments[-1].last == 42
            assert (await read(self._records, run)).status == "succeeded"

    async def stop(self):
        for one in self._attempts:
            one.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)


async def test_a_server_that_is_stopped_at_once_again_and_again_loses_and_repeats_nothing():
    server = PostgresServer()
    server.start()
    records = PostgresRecords(server.url(), options=PostgresOptions(hold_for=60.0))
    try:
        await records.open()
        load = Load(records)
        for _ in range(3):
            await load.write(60)
            await asyncio.to_thread(server.stop, "immediate")
            await asyncio.to_thread(server.start)
        await load.end()
    finally:
        await records.close()
        server.remove()


async def test_a_replica_that_is_promoted_has_all_that_was_acknowledged_and_goes_on():
    """The first server is gone for good in the middle of commits. It acknowledged only what its replica had synced
    (`synchronous_standby_names`), and of a commit that nobody was told of the mark of the lane tells there as well."""
    first, second = PostgresServer(), PostgresServer()
    try:
        await asyncio.to_thread(first.start)
        await asyncio.to_thread(second.follow, first)
        await asyncio.to_thread(second.start)
        for statement in ("alter system set synchronous_standby_names = '*'", "select pg_reload_conf()"):
            first.query("postgres", statement)
        async with asyncio.timeout(60):
            while first.query("postgres", "select sync_state from pg_stat_replication") != "sync":
                await asyncio.sleep(0.05)
        hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
        url = f"postgresql://{USER}@{hosts}/postgres?target_session_attrs=read-write"
        records = PostgresRecords(url, options=PostgresOptions(hold_for=60.0, answer_within=20.0))
        await records.open()
        load = Load(records)
        try:
            await load.write(60)
            await asyncio.to_thread(first.stop, "immediate")
            await asyncio.to_thread(second.promote)
            await load.end()
        finally:
            await load.stop()
            await records.close()
        assert second.query("postgres", "select count(*) from step") == "800"
    finally:
        first.remove()
        second.remove()


async def test_a_server_that_is_not_there_says_what_to_do():
    records = PostgresRecords("postgresql://pilothouse@127.0.0.1:1/runs", options=QUICK)
    with pytest.raises(RecordsInvalid, match="does not serve them"):
        await records.open()


async def test_a_database_that_is_not_there_says_what_to_do(postgres_server):
    records = PostgresRecords(postgres_server.url("nowhere"), options=QUICK)
    with pytest.raises(RecordsInvalid, match="PostgreSQL refuses"):
        await records.open()
