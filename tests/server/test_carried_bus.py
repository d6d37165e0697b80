"""The bus of several nodes: bells reach everybody, events reach who watches, and a bad wire costs time only."""

import asyncio
from types import SimpleNamespace

import pytest

from pilothouse.communication.bus.carried import CarriedBus
from pilothouse.domain.event import Segment, line
from pilothouse.engine.feed import Feed
from pilothouse.testing.lossy import Wire


def segment(seq, kind="output.delta", fill="", run="run_a"):
    return Segment(run, seq, 1, 1, line(kind, b'{"fill":"%b"}' % fill.encode()))


@pytest.fixture
async def buses():
    made = []

    async def make(wire, count=2, limit=6000):
        for _ in range(count):
            made.append(CarriedBus(wire.end(limit)))
            await made[-1].start()
        return made[-count:]

    yield make
    for bus in made:
        await bus.stop()


async def settle():
    for _ in range(10):
        await asyncio.sleep(0.002)


async def test_a_bell_rings_at_every_node_once(buses):
    first, second = await buses(Wire())
    rung = []
    first.answer("work", lambda key: rung.append(("first", key)))
    second.answer("work", lambda key: rung.append(("second", key)))
    first.ring("work", "desk")
    assert rung == [("first", "desk")]
    await settle()
    assert rung == [("first", "desk"), ("second", "desk")]


async def test_a_bell_for_the_own_node_does_not_leave_it(buses):
    first, second = await buses(Wire())
    first.name = "one"
    rung = []
    for name, bus in (("first", first), ("second", second)):
        bus.answer("work", lambda key, name=name: rung.append((name, key)))
    first.ring("work", "desk\none", "one")
    first.ring("work", "desk\ntwo", "two")
    await settle()
    assert rung == [("first", "desk\none"), ("first", "desk\ntwo"), ("second", "desk\ntwo")]


async def test_events_go_where_somebody_watches_and_nowhere_else(buses):
    first, second = await buses(Wire())
    heard = []
    stop = second.watch("acme", "run_a", heard.append)
    await settle()
    first.publish("acme", segment(1))
    first.publish("acme", segment(1, run="run_b"))
    first.publish("other", segment(1))
    await settle()
    assert heard == [segment(1)]
    stop()
    stop()
    first.publish("acme", segment(2))
    await settle()
    assert heard == [segment(1)]


async def test_who_begins_to_watch_hears_the_last_event_that_is_known(buses):
    """Else it would learn only at its next look that something came between its reading and its wish."""
    first, second = await buses(Wire())
    first.publish("acme", segment(1))
    first.publish("acme", segment(2, "run.succeeded"))
    heard = []
    second.watch("acme", "run_a", heard.append)
    await settle()
    assert [one.seq for one in heard] == [2]
    assert heard[0].is_terminal


async def test_a_long_segment_is_told_as_a_gap_and_an_end_stays_an_end(buses):
    first, second = await buses(Wire(), limit=1000)
    heard = []
    second.watch("acme", "run_a", heard.append)
    await settle()
    end = line("run.failed", b'{"fill":"%b"}' % (b"x" * 9000))
    first.publish("acme", Segment("run_a", 1, 2, 1, segment(1).data + end))
    await settle()
    assert [(one.seq, one.is_terminal) for one in heard] == [(3, True)]


async def test_all_of_a_tenant_may_be_watched(buses):
    first, second = await buses(Wire())
    heard = []
    second.watch_all("acme", heard.append)
    await settle()
    first.publish("acme", segment(1, run="run_x"))
    first.publish("other", segment(1, run="run_y"))
    await settle()
    assert [one.run for one in heard] == ["run_x"]


async def test_the_feed_of_a_node_hears_the_runs_of_all_nodes_while_somebody_listens(buses):
    first, second = await buses(Wire())
    world = SimpleNamespace(bus=second)
    feed = Feed(world, "acme")  # type: ignore[arg-type]
    await settle()
    first.publish("acme", segment(1, "run.queued", run="run_there"))
    second.publish("acme", segment(1, "run.queued", run="run_here"))
    first.publish("other", segment(1, "run.queued", run="run_of_another_tenant"))
    first.publish("acme", Segment("run_asks", 1, 1, 1, line("review.requested", b'{"fill":"%b"}' % (b"x" * 9000))))
    await settle()
    news = await feed.take(30)
    assert news is not None
    assert (sorted(news.runs), news.reviews) == (["run_asks", "run_here", "run_there"], True)
    feed.close()
    assert await feed.take(0) is None


async def test_what_is_said_in_one_tick_leaves_in_few_messages(buses):
    wire = Wire()
    sent = []
    carry = wire.carry

    def count(message):
        sent.append(message)
        carry(message)

    wire.carry = count  # type: ignore[method-assign]
    first, second = await buses(wire)
    rung = []
    second.answer("work", rung.append)
    for number in range(500):
        first.ring("work", f"agent-{number % 50}")
    await settle()
    assert len(sent) == 1
    assert sorted(rung) == sorted(f"agent-{number}" for number in range(50))


async def test_what_is_no_message_is_nobodys_loss(buses):
    wire = Wire()
    first, _ = await buses(wire)
    rung = []
    first.answer("work", rung.append)
    for noise in (b"", b"noise", b"\x92\xa1x\x91\x93\xa4ring\x01\x02", b"\x92\xa1x\x91\x92\xa4ring\xa4work"):
        wire.carry(noise)
    await settle()
    assert rung == []


async def test_whatever_the_wire_does_nothing_comes_that_was_not_said(buses):
    first, second = await buses(Wire(seed=3, drop=0.3, repeat=0.3, delay=0.5))
    heard = []
    second.watch("acme", "run_a", heard.append)
    said = [segment(number) for number in range(1, 200)]
    for one in said:
        first.publish("acme", one)
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert all(one in said for one in heard)


async def test_who_has_not_the_key_is_not_heard_and_hears_nothing(buses):
    wire = Wire()
    first, second, stranger = await buses(wire, 3)
    first.key = second.key = b"k" * 32
    rung, posted, overheard = [], [], []
    second.answer("work", rung.append)
    second.receive("desk", posted.append)
    stranger.answer("work", overheard.append)
    stranger.ring("work", "forged")
    stranger.post("desk", b"forged")
    first.ring("work", "true")
    first.post("desk", b"true")
    await settle()
    assert (rung, posted, overheard) == (["true"], [b"true"], ["forged"])
