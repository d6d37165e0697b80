"""I1, I2, I3, I5, I6 and I7 over a crash at every call of the records, before it arrives and after it was carried out.

A scenario that does everything is played once to count its calls. Then it is played again for each of them and dies
there; a client that knows nothing of it brings the run to its end. What happens inside of a commit is in
`tests/storage` and `tests/faults`; real processes are in `tests/compute` and `tests/faults`.
"""

import asyncio
from collections import Counter

import pytest

from tests.engine.scenario import OUTPUT, Everything, play

READS_EACH = 1
"""A read changes nothing: to die at one is to die after the write before it. So one of each kind is enough."""


async def seams() -> list[tuple[str, int]]:
    """(method, which call of it) of every seam of the scenario."""
    everything = Everything()
    async with everything.node:
        before = len(everything.node.records.names)
        ended = await play(everything)
        names = Counter(everything.node.records.names[before:])
        assert ended.output == OUTPUT
        assert await everything.breaches(ended) == []
    return [
        (name, nth)
        for name, count in sorted(names.items())
        for nth in range(1, (count if name == "submit" else min(count, READS_EACH)) + 1)
    ]


async def test_the_scenario_ends_without_any_fault():
    assert len(await seams()) > 30


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["before", "after", "fail"])
async def test_every_invariant_holds_when_the_node_dies_at_any_call_of_the_records(mode):
    found = {}
    for name, nth in await seams():
        everything = Everything()
        async with everything.node, asyncio.timeout(120):
            everything.node.records.strike(nth, mode, name)
            ended = await play(everything)
            if breaches := await everything.breaches(ended):
                found[name, nth] = breaches
    assert found == {}


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after_effect", "after_commit"])
@pytest.mark.parametrize(("step", "occurrence"), [("effect", 1), ("effect", 2), ("effect", 3), ("pay", 1)])
async def test_every_invariant_holds_when_the_node_dies_at_any_step(when, step, occurrence):
    everything = Everything()
    async with everything.node:
        everything.node.crash_at_step(step, when, occurrence)
        ended = await play(everything)
        assert await everything.breaches(ended) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_every_invariant_holds_when_the_node_dies_again_and_again(seed):
    everything = Everything()
    async with everything.node:
        run = await everything.take_in()
        for at in (5 + seed, 9 + 2 * seed, 14 + seed, 20 + 3 * seed):
            everything.node.records.strike(at, "before" if at % 2 else "after")
            for _ in range(4):
                if not everything.node.is_dead:
                    await everything.node.settle()
            await everything.node.restart()
        ended = await everything.bring_to_end(run)
        assert await everything.breaches(ended) == []
