"""The signals of an autoscaler as metrics: the same figures that `GET /v1/scale` gives, of all nodes of these records.

Every node shows the same ones, so an autoscaler takes the greatest and never the sum. Names of agents are those of the
settings, so the label is bounded.
"""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from pilothouse.domain.scale import Scale, agent_busy


def about_scale(scale: Scale | None) -> Iterator[Metric]:
    """None: nobody has counted yet."""
    wanted = GaugeMetricFamily("pilothouse_workers_wanted", "Workers that the work of all nodes wants.")
    there = GaugeMetricFamily("pilothouse_workers", "Workers that there are.")
    runs = GaugeMetricFamily("pilothouse_backlog_runs", "Runs of all nodes.", labels=["agent", "state"])
    waits = GaugeMetricFamily(
        "pilothouse_backlog_oldest_wait_seconds", "For how long the oldest ready run has waited.", labels=["agent"]
    )
    busy = GaugeMetricFamily("pilothouse_busy_share", "The share of its places that is taken.", labels=["agent"])
    if scale is not None:
        wanted.add_metric([], scale.wanted)
        there.add_metric([], scale.workers)
        for load in scale.agents:
            runs.add_metric([load.agent, "ready"], load.ready)
            runs.add_metric([load.agent, "running"], load.running)
            waits.add_metric([load.agent], load.oldest_wait)
            busy.add_metric([load.agent], agent_busy(load, scale.workers))
    yield from (wanted, there, runs, waits, busy)
