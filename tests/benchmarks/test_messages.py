"""The bench of messages runs, briefly, so that it does not rot."""

import pytest

from benchmarks.messages import BROKERS, measure


@pytest.mark.slow
@pytest.mark.parametrize("broker", BROKERS)
async def test_the_bench_of_messages_measures_both_ways(broker, tmp_path):
    row = await measure(broker, 20, tmp_path)
    assert row["by hand"] > 0
    assert row["a second"] > 0
    assert row["p95 ms"] >= row["p50 ms"] > 0
