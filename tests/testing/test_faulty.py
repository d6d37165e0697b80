"""Records that fail or kill at a call, and a bus that does its worst: the faults do what they say."""

import asyncio

import pytest

from pilothouse.domain.event import Segment
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import Change, Conflict, InsertIdempotency
from pilothouse.ports.records import Records
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing import FaultyRecords, LossyBus


@pytest.fixture
async def kept():
    records = SqliteRecords(":memory:", options=SqliteOptions(wal_size=0))
    await records.open()
    yield records
    await records.close()


def bind(key: str) -> Change:
    return Change((InsertIdempotency("default", key, b"digest", "run_1", 1, 1000),))


async def is_bound(kept: SqliteRecords, key: str) -> bool:
    return await kept.find_idempotency("default", key, 5) is not None


async def hangs(act) -> bool:
    done, _ = await asyncio.wait((asyncio.ensure_future(act),), timeout=0.02)
    return not done


async def test_without_a_fault_everything_passes_and_is_counted(kept):
    faulty = FaultyRecords(kept)
    await faulty.commit(bind("a"))
    with pytest.raises(Conflict):
        await faulty.commit(bind("a"))
    assert await faulty.get_run("default", "run_1") is None
    assert (faulty.calls, faulty.names) == (3, ["submit", "submit", "get_run"])


async def test_before_kills_and_nothing_arrives(kept):
    killed = []
    faulty = FaultyRecords(kept, at=2, mode="before", on_kill=lambda: killed.append(1))
    await faulty.commit(bind("a"))
    assert await hangs(faulty.commit(bind("b")))
    assert killed == [1]
    assert await hangs(faulty.get_run("default", "run_1"))
    assert await is_bound(kept, "a")
    assert not await is_bound(kept, "b")


async def test_after_kills_when_it_is_durable_and_nobody_hears(kept):
    died = asyncio.Event()
    faulty = FaultyRecords(kept, at=1, mode="after", on_kill=died.set)
    answer = faulty.commit(bind("a"))
    await died.wait()
    assert faulty.is_dead
    assert await hangs(answer)
    assert await is_bound(kept, "a")


async def test_fail_is_told_and_life_goes_on(kept):
    faulty = FaultyRecords(kept, at=1, mode="fail")
    with pytest.raises(RecordsUnavailable):
        await faulty.commit(bind("a"))
    await faulty.commit(bind("a"))
    assert not faulty.is_dead


async def test_a_strike_counts_from_now_and_may_name_a_method(kept):
    faulty = FaultyRecords(kept)
    await faulty.commit(bind("a"))
    faulty.strike(2, "fail", "get_run")
    await faulty.commit(bind("b"))
    await faulty.get_run("default", "run_1")
    with pytest.raises(RecordsUnavailable):
        await faulty.get_run("default", "run_1")
    await faulty.get_run("default", "run_1")


async def test_a_full_disk_refuses_writes_and_answers_reads(kept):
    faulty = FaultyRecords(kept)
    faulty.is_full = True
    for act in (faulty.commit(bind("a")), faulty.wake_due(1, 1), faulty.renew_leases("me", 1, 2)):
        with pytest.raises(RecordsUnavailable):
            await act
    assert await faulty.get_run("default", "run_1") is None
    faulty.is_full = False
    await faulty.commit(bind("a"))


def test_every_method_of_the_port_goes_through():
    """What a wrapper forgets would fall through to the Protocol's empty body."""
    wanted = {name for name in vars(Records) if not name.startswith("_")}
    assert wanted <= set(vars(FaultyRecords))


async def test_a_lossy_bus_drops_repeats_and_reorders():
    heard: list[int] = []
    bus = LossyBus(seed=1)
    bus.watch("default", "run_1", lambda segment: heard.append(segment.seq))
    for seq in range(200):
        bus.publish("default", Segment("run_1", seq, 1, 0, b""))
    await asyncio.sleep(0.03)
    assert len(set(heard)) < 200
    assert len(heard) > len(set(heard))
    assert heard != sorted(heard)
