"""Blobs: long payloads of ended runs in a folder or in S3 (a real server of its protocol), read back and swept."""

import asyncio

import pytest

from pilothouse.domain.retention import Retention
from pilothouse.errors import RecordsInvalid, RecordsUnavailable
from pilothouse.storage.blobs.mover import IDLE_FOR, Mover
from pilothouse.storage.blobs.objects import ObjectBlobs
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.postgres.records import PostgresRecords
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import AT, TENANT, born, ended, fence, finish, put, read, step, takes, told, turn
from tests.databases import database, postgres_server
from tests.objects import bucket, s3

__all__ = ["bucket", "database", "postgres_server", "s3"]

pytestmark = pytest.mark.slow

LONG = b'"' + b"x" * 40_000 + b'"'
OTHER = b'"' + b"y" * 40_000 + b'"'
SIZE = 32 * 1024
LATER = AT + 10 * IDLE_FOR
EVER = 2**52


@pytest.fixture(params=["folder", "s3"])
def blobs(request, tmp_path):
    if request.param == "folder":
        return ObjectBlobs(f"file://{tmp_path}/blobs")
    return ObjectBlobs(f"s3://{request.getfixturevalue('bucket')}/some/prefix")


@pytest.fixture(params=["sqlite", "postgres"])
async def records(request, tmp_path):
    found: SqliteRecords | PostgresRecords
    if request.param == "sqlite":
        found = SqliteRecords(f"{tmp_path}/records.db", options=SqliteOptions(wal_size=0))
    else:
        server, name = request.getfixturevalue("postgres_server"), request.getfixturevalue("database")
        found = PostgresRecords(server.url(name))
        await found.migrate(has_post=True)
    await found.open()
    yield found
    await found.close()


@pytest.fixture
def folder(tmp_path):
    return ObjectBlobs(f"file://{tmp_path}/blobs")


def mover_of(records, blobs, at=LATER):
    records.blobs = blobs
    return Mover(records, blobs, SIZE, lambda: at, lambda text: None)


async def everything(blobs):
    return await blobs.list_old(EVER, "", 1000)


async def moved(mover, blobs):
    """All that is idle is a blob now; the names of all blobs."""
    while await mover.move_round():
        pass
    return await everything(blobs)


async def test_a_blob_is_written_once_read_listed_and_deleted(blobs):
    assert await blobs.get("acme/none") is None
    await blobs.put("acme/one", LONG)
    with pytest.raises(FileExistsError):
        await blobs.put("acme/one", OTHER)
    await blobs.put("acme/two", OTHER)
    assert [await blobs.get(name) for name in ("acme/one", "acme/two")] == [LONG, OTHER]
    assert await everything(blobs) == ["acme/one", "acme/two"]
    assert await blobs.list_old(EVER, "acme/one", 10) == ["acme/two"]
    assert await blobs.list_old(EVER, "", 1) == ["acme/one"]
    assert await blobs.list_old(LATER, "", 10) == []
    await blobs.delete(["acme/one", "acme/one", "acme/none"])
    assert await everything(blobs) == ["acme/two"]


async def test_a_store_that_cannot_be_reached_says_so(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    away = ObjectBlobs("s3://bucket")
    with pytest.raises(RecordsUnavailable):
        await away.get("acme/one")


async def test_what_ended_is_moved_and_read_as_before(records, blobs):
    await put(records, born("run_a", input=LONG))
    await put(records, fence("run_a"), step("run_a", ended("s", OTHER)), told("run_a", "run.started"))
    await put(records, finish("run_a", output=OTHER))
    mover = mover_of(records, blobs)
    names = await moved(mover, blobs)
    assert [name.split("/")[0] for name in names] == [TENANT, TENANT]
    assert await moved(mover, blobs) == names
    run = await read(records, "run_a")
    assert (run.input, run.output) == (LONG, OTHER)
    [row] = await records.load_journal(TENANT, "run_a")
    assert row.output == OTHER
    assert [one.output for _, one in await records.list_steps(TENANT, "run_a", 0, 10)] == [OTHER]


async def test_what_lives_or_ended_just_now_or_belongs_to_a_session_stays(records, folder):
    await put(records, born("run_live", input=LONG))
    await put(records, born("run_new", input=OTHER), finish("run_new", finished_at=LATER - 1))
    await put(records, turn("run_t", input=b'"' + b"t" * 40_000 + b'"'))
    await put(records, finish("run_t"), takes("run_t"))
    assert await moved(mover_of(records, folder), folder) == []


async def test_a_new_run_that_brings_what_was_moved_finds_it_in_the_database(records, folder):
    await put(records, born("run_a", input=LONG), finish("run_a"))
    await moved(mover_of(records, folder), folder)
    await put(records, born("run_b", input=LONG))
    records.blobs = None  # whoever needed a blob would fail
    assert (await read(records, "run_b")).input == LONG
    assert (await read(records, "run_a")).input == LONG


async def test_what_came_to_life_between_the_copy_and_the_move_stays(records, folder):
    await put(records, born("run_a", input=LONG), finish("run_a"))
    mover = mover_of(records, folder)
    copy = folder.put

    async def put_late(name, content):
        await copy(name, content)
        await put(records, born("run_b", input=LONG))

    folder.put = put_late
    assert await mover.move_round() == 1
    records.blobs = None
    assert (await read(records, "run_b")).input == LONG


async def test_two_nodes_that_move_at_once_lose_nothing(records, folder):
    for number in range(20):
        content = b'"%b"' % (b"%02d" % number * 20_000)
        await put(records, born(f"run_{number}", input=content), finish(f"run_{number}"))
    movers = [mover_of(records, folder) for _ in range(2)]
    await asyncio.gather(*(moved(mover, folder) for mover in movers))
    for number in range(20):
        assert (await read(records, f"run_{number}")).input == b'"%b"' % (b"%02d" % number * 20_000)


async def test_only_blobs_that_nothing_names_are_swept_and_only_old_ones(records, folder, monkeypatch):
    await put(records, born("run_a", input=LONG), finish("run_a", finished_at=AT))
    await put(records, born("run_b", input=OTHER), finish("run_b", finished_at=AT + 1))
    mover = mover_of(records, folder)
    names = await moved(mover, folder)
    await folder.put(f"{TENANT}/{'0' * 64}-died", b"a node died before it was named")
    await folder.put("somebody/elses.txt", b"not ours")
    await records.prune(Retention(LATER, AT + 1), 100)
    sweeper = mover_of(records, folder, EVER)  # its own clock is far ahead: the wall's counts
    await sweeper.sweep_round()
    assert len(await everything(folder)) == 4
    monkeypatch.setattr("pilothouse.storage.blobs.mover.GRACE", 0.0)
    await mover.sweep_round()  # the wall's clock is far ahead of that of this node, which counts
    assert len(await everything(folder)) == 4
    await sweeper.sweep_round()
    left = await everything(folder)
    assert len(left) == 2
    assert "somebody/elses.txt" in left
    assert set(left) - {"somebody/elses.txt"} <= set(names)
    assert (await read(records, "run_b")).input == OTHER


async def test_a_blob_that_is_changed_or_gone_is_an_error_and_never_another_content(records, folder, tmp_path):
    await put(records, born("run_a", input=LONG), finish("run_a"))
    [name] = await moved(mover_of(records, folder), folder)
    (tmp_path / "blobs" / name).write_bytes(OTHER)
    with pytest.raises(RecordsInvalid, match="not what was written"):
        await read(records, "run_a")
    await folder.delete([name])
    with pytest.raises(RecordsInvalid, match="missing"):
        await read(records, "run_a")


async def test_without_its_blobs_a_node_says_what_it_needs(records, folder):
    await put(records, born("run_a", input=LONG), finish("run_a"))
    await moved(mover_of(records, folder), folder)
    records.blobs = None
    with pytest.raises(RecordsInvalid, match="is needed"):
        await read(records, "run_a")
