"""The hot store: the same behaviour in memory and on a real Valkey; lost, away and back again."""

import asyncio

import pytest

from pilothouse.domain.limit import Limit
from pilothouse.errors import HotStoreUnavailable
from pilothouse.ports.hot import Draw, HotFull, HotNotNumber
from pilothouse.storage.hot.memory import MemoryHotStore
from pilothouse.storage.hot.redis import RedisHotStore
from pilothouse.testing.brokers import ValkeyServer
from pilothouse.testing.clock import ManualClock

WITHIN = 120.0
ANSWERS_WITHIN = 15.0
"""Of the store: a question that was lost with a server must not take all the time of a test."""
KEYS = 3


@pytest.fixture(scope="module")
def valkey():
    server = ValkeyServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def remote(valkey, request):
    """A store whose keys are those of this test alone."""
    store = RedisHotStore(valkey.url, f"test.{abs(hash(request.node.nodeid))}", ANSWERS_WITHIN)
    yield store
    await store.stop()


@pytest.fixture(params=["memory", pytest.param("valkey", marks=pytest.mark.slow)])
def store(request):
    if request.param == "memory":
        return MemoryHotStore(ManualClock().now)
    return request.getfixturevalue("remote")


async def until(ask, expected):
    async with asyncio.timeout(WITHIN):
        while (found := await ask()) != expected:
            await asyncio.sleep(0.01)
    return found


async def test_what_is_put_is_found_in_its_place_only(store):
    await store.put("acme:a", "name", b'"Ann"', 60, KEYS)
    await store.put("acme:a", "name", b'"Bob"', 60, KEYS)
    assert await store.get("acme:a", "name") == b'"Bob"'
    assert await store.get("acme:a", "other") is None
    assert await store.get("acme:b", "name") is None


async def test_what_is_deleted_or_forgotten_is_gone(store):
    for key in ("one", "two"):
        await store.put("p", key, b"1", 60, KEYS)
    await store.delete("p", "one")
    await store.delete("p", "one")
    assert [await store.get("p", key) for key in ("one", "two")] == [None, b"1"]
    await store.forget("p")
    await store.forget("p")
    assert await store.get("p", "two") is None


async def test_a_counter_begins_at_nothing_and_counts_what_many_add_at_once(store):
    numbers = await asyncio.gather(*(store.incr("p", "n", 2, 60, KEYS) for _ in range(50)))
    assert sorted(numbers) == list(range(2, 102, 2))
    assert await store.incr("p", "n", -100, 60, KEYS) == 0
    assert await store.get("p", "n") == b"0"


async def test_a_counter_is_refused_where_no_number_is_or_where_it_would_leave_64_bits(store):
    await store.put("p", "word", b'"five"', 60, KEYS)
    await store.put("p", "large", b"9223372036854775807", 60, KEYS)
    for key in ("word", "large"):
        with pytest.raises(HotNotNumber):
            await store.incr("p", key, 1, 60, KEYS)
    assert await store.get("p", "large") == b"9223372036854775807"


async def test_a_number_that_a_float_cannot_hold_is_counted_right(store):
    await store.put("p", "n", b"9007199254740993", 60, KEYS)
    assert await store.incr("p", "n", 2, 60, KEYS) == 9007199254740995


async def test_a_place_takes_no_more_keys_than_it_may_and_those_it_has_can_be_changed(store):
    for number in range(KEYS):
        await store.put("p", f"k{number}", b"1", 60, KEYS)
    with pytest.raises(HotFull):
        await store.put("p", "one more", b"1", 60, KEYS)
    with pytest.raises(HotFull):
        await store.incr("p", "one more", 1, 60, KEYS)
    assert await store.incr("p", "k0", 1, 60, KEYS) == 2
    await store.delete("p", "k1")
    await store.put("p", "one more", b"1", 60, KEYS)


async def test_entries_in_memory_end_by_the_clock_of_the_node():
    clock = ManualClock()
    store = MemoryHotStore(clock.now)
    await store.put("p", "soon", b"1", 10, KEYS)
    await store.incr("p", "n", 1, 20, KEYS)
    clock.advance(10)
    assert await store.get("p", "soon") is None
    assert await store.incr("p", "n", 1, 500, KEYS) == 2  # its end stays as it was when it began
    clock.advance(10)
    assert await store.incr("p", "n", 1, 20, KEYS) == 1


async def test_entries_that_have_ended_make_room_in_a_full_place():
    clock = ManualClock()
    store = MemoryHotStore(clock.now)
    for number in range(KEYS):
        await store.put("p", f"k{number}", b"1", 10, KEYS)
    clock.advance(10)
    await store.put("p", "new", b"1", 10, KEYS)


async def test_memory_that_is_full_forgets_the_place_that_was_used_longest_ago():
    store = MemoryHotStore(ManualClock().now, limit_bytes=3100)
    for place in ("old", "used", "new"):
        await store.put(place, "k", b"x" * 800, 60, KEYS)
        await store.get("old" if place == "new" else "used", "k")
    await store.put("newest", "k", b"x" * 800, 60, KEYS)
    found = [await store.get(place, "k") is not None for place in ("old", "used", "new", "newest")]
    assert found == [True, False, True, True]
    assert store.bytes <= 3100
    for place in ("old", "new", "newest"):
        await store.forget(place)
    assert store.bytes == 0


@pytest.mark.slow
async def test_entries_on_a_server_end_by_its_clock_and_leave_nothing(remote, valkey):
    await remote.put("p", "soon", b"1", 0.02, KEYS)
    await remote.incr("p", "n", 1, 0.03, KEYS)
    await until(lambda: remote.get("p", "soon"), None)
    await until(lambda: remote._client.keys(f"{remote._prefix}:*"), [])


@pytest.mark.slow
async def test_entries_on_a_server_that_have_ended_make_room_in_a_full_place(remote):
    await remote.put("p", "stays", b"1", 600, KEYS)
    for number in range(KEYS - 1):
        await remote.put("p", f"k{number}", b"1", 0.02, KEYS)

    async def fits():
        try:
            await remote.put("p", "new", b"1", 60, KEYS)
        except HotFull:
            return False
        return True

    await until(fits, True)
    assert await remote.get("p", "stays") == b"1"


@pytest.mark.slow
async def test_a_flushed_server_is_empty_and_works(remote):
    await remote.put("p", "k", b"1", 60, KEYS)
    await remote._client.flushall()
    await remote._client.script_flush()
    assert await remote.get("p", "k") is None
    assert await remote.incr("p", "n", 1, 60, KEYS) == 1


@pytest.mark.slow
async def test_a_server_that_is_away_costs_little_and_is_used_again_when_it_is_back():
    server = ValkeyServer()
    server.start()
    store = RedisHotStore(server.url, "test", ANSWERS_WITHIN)
    try:
        await store.put("p", "k", b"1", 60, KEYS)
        server.stop()
        for _ in range(100):
            with pytest.raises(HotStoreUnavailable):
                await store.get("p", "k")
        assert store._breaker.opened_at is not None  # most of the hundred asked nobody
        server.start()

        async def is_back():
            try:
                await store.put("p", "k", b"2", 60, KEYS)
            except HotStoreUnavailable:
                return False
            return True

        await until(is_back, True)
        assert await store.get("p", "k") == b"2"
    finally:
        await store.stop()
        server.remove()


@pytest.mark.slow
async def test_a_server_that_does_not_answer_is_left_alone_after_the_time_that_it_is_given():
    """As behind a cable that was pulled: the connection is there, and nothing comes."""

    async def mute(reader, writer):
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    store = RedisHotStore(f"redis://127.0.0.1:{port}", "test", 0.02)
    for _ in range(10):
        with pytest.raises(HotStoreUnavailable):
            await store.get("p", "k")
    await store.stop()
    listener.close()
    await listener.wait_closed()


@pytest.mark.slow
async def test_a_server_that_refuses_is_as_one_that_is_away(valkey):
    store = RedisHotStore(f"redis://nobody:wrong@127.0.0.1:{valkey.port}", "test", ANSWERS_WITHIN)
    with pytest.raises(HotStoreUnavailable):
        await store.get("p", "k")
    await store.stop()


@pytest.mark.slow
async def test_a_limit_gives_its_burst_and_no_more_whoever_asks(remote):
    limit = Limit(per_minute=1, burst=10)
    answers = await asyncio.gather(*(remote.draw([Draw("x", limit, need=1, want=3)]) for _ in range(10)))
    granted = [one.granted for [one] in answers]
    assert sum(granted) == pytest.approx(10, abs=0.1)
    assert all(0 < one.wait <= 60 for [one] in answers if not one.granted)


@pytest.mark.slow
async def test_several_limits_are_drawn_on_in_one_round_trip_each_by_itself(remote):
    tight, wide = Limit(per_minute=1, burst=1), Limit(per_minute=1000)
    first = await remote.draw([Draw("tight", tight, need=1, want=1), Draw("wide", wide, need=5, want=5)])
    assert [one.granted for one in first] == [1, 5]
    again = await remote.draw([Draw("tight", tight, need=1, want=1), Draw("wide", wide, need=5, want=5)])
    assert [one.granted for one in again] == [0, 5]
    assert again[0].wait == pytest.approx(60, abs=10)


@pytest.mark.slow
async def test_what_was_used_beside_is_owed_and_what_is_given_back_may_be_used(remote):
    limit = Limit(per_minute=1, burst=10)
    [drawn] = await remote.draw([Draw("x", limit, change=10, need=1, want=1)])
    assert drawn.granted == 0
    [drawn] = await remote.draw([Draw("x", limit, change=-4, need=3, want=3)])
    assert drawn.granted == 3


@pytest.mark.slow
async def test_what_is_larger_than_the_burst_goes_when_nothing_is_owed(remote):
    limit = Limit(per_minute=1, burst=2)
    [drawn] = await remote.draw([Draw("x", limit, need=5, want=5)])
    assert drawn.granted == 5
    [drawn] = await remote.draw([Draw("x", limit, need=5, want=5)])
    assert (drawn.granted, drawn.wait) == (0, pytest.approx(300, abs=30))
