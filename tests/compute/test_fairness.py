"""One tenant's flood does not move another's tail: claims on real records, counted in ticks of a clock that is held.

Each tick ends the runs whose time has come, claims for the places that are free, and moves on. A run of the quiet
tenant takes its wait and its run time; the worst hundredth of these must not grow by more than a fifth beside a flood.
Excluded: what the flood costs the processor and the disk.
"""

from collections import Counter

import pytest

from pilothouse.compute.sharing import PlaceShares
from pilothouse.ports.records import Claim
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import AGENT, AT, RELEASE, put, queued

PLACES, RUN_TICKS, TICKS, QUIET_EVERY = 20, 10, 150, 7
FLOOD = PLACES * TICKS // RUN_TICKS * 2
"""Twice what all places can do meanwhile."""

pytestmark = pytest.mark.slow


@pytest.fixture
async def records():
    records = SqliteRecords("sqlite:///:memory:", options=SqliteOptions(wal_size=0))
    await records.open()
    yield records
    await records.close()


class Ticks:
    """A worker of PLACES places, without hosts: only who gets which place, and when."""

    def __init__(self, records: SqliteRecords, share: float, concurrency: int = 0) -> None:
        self.records, self.places = records, concurrency or PLACES
        self.shares = PlaceShares(share, {AGENT: "own"}, {AGENT: concurrency})
        self.running: list[tuple[int, str]] = []
        self.waits: dict[str, list[int]] = {"quiet": [], "flood": []}
        self.order: list[str] = []
        self.came: dict[str, int] = {}

    async def play(self, flood: int, quiet_every: int = QUIET_EVERY, name: str = "run") -> None:
        self.shares.meet(["quiet", "flood"])
        await put(self.records, *(queued(f"run_{n}", tenant="flood") for n in range(flood)))
        for tick in range(TICKS):
            if tick % quiet_every == 0:
                await put(self.records, queued(f"{name}_{tick}", tenant="quiet"))
                self.came[f"{name}_{tick}"] = tick
            await self.turn(tick)

    async def turn(self, tick: int) -> None:
        over = [one for one in self.running if one[0] <= tick]
        for one in over:
            self.running.remove(one)
            self.shares.let_go(AGENT, one[1])
        free = self.places - len(self.running)
        if free == 0:
            return
        wish = self.shares.wish(AGENT, RELEASE, free, PLACES - len(self.running), PLACES, len(self.running))
        for run in await self.records.claim(Claim("node-1", AT + tick, AT + tick + 10**7, (wish,))):
            self.shares.hold(run.agent, run.tenant)
            self.running.append((tick + RUN_TICKS, run.tenant))
            self.waits[run.tenant].append(tick - self.came.get(run.id, 0))
            self.order.append(run.tenant)
        assert len(self.running) <= self.places

    def tail(self) -> int:
        """p99 of wait and run time of the quiet tenant, in ticks."""
        waits = sorted(self.waits["quiet"])
        return RUN_TICKS + waits[max(0, -(-len(waits) * 99 // 100) - 1)]


async def test_a_flood_does_not_move_the_tail_of_a_quiet_tenant(records):
    alone, beside = Ticks(records, 0.8), Ticks(records, 0.8)
    await alone.play(flood=0, name="alone")
    await beside.play(FLOOD, name="beside")
    assert beside.tail() <= alone.tail() * 1.2
    assert len(beside.waits["quiet"]) == len(beside.came)
    assert len(beside.waits["flood"]) > 0.7 * PLACES * TICKS / RUN_TICKS  # and the flood has nearly all there is


async def test_without_kept_places_the_tail_moves_and_this_test_sees_it(records):
    careless = Ticks(records, 1.0)
    await careless.play(FLOOD)
    assert careless.tail() > RUN_TICKS * 1.2


async def test_places_of_an_agent_with_a_limit_are_kept_too(records):
    limited = Ticks(records, 0.8, concurrency=10)
    await limited.play(FLOOD, quiet_every=20)
    assert limited.tail() <= RUN_TICKS * 1.2
    assert Counter(limited.order)["flood"] > 50


async def test_tenants_take_turns_while_places_come_free_one_by_one(records):
    ticks = Ticks(records, 1.0)
    ticks.places = 1
    for tenant in ("flood", "quiet"):
        await put(records, *(queued(f"run_{tenant}_{n}", tenant=tenant) for n in range(4)))
    for tick in range(0, 8 * RUN_TICKS, RUN_TICKS):
        await ticks.turn(tick)
    assert ticks.order == ["flood", "quiet"] * 4
