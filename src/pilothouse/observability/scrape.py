"""The page of metrics: what a node counted, as families of Prometheus, made while somebody scrapes.

Only this file and what it imports know the client library. It is imported with the first scrape, so a node that nobody
scrapes does not hold it.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from pilothouse.observability.alert import UNUSUAL
from pilothouse.observability.family import counter, gauge, histogram
from pilothouse.observability.provider import about_limits, about_providers
from pilothouse.observability.scale import about_scale
from pilothouse.observability.tally import Tally


class Scrape(Collector):
    """One registry for one node."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._registry.register(self)

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        tally = self._tally
        yield from self._about_requests()
        yield from self._about_runs()
        yield from self._about_use()
        yield from self._about_objectives()
        yield from self._about_node()
        yield from self._about_claims()
        yield from about_providers(*tally.providers())
        yield from about_scale(tally.scale())
        yield from about_limits(tally.limits())
        spans = (((outcome,), count) for outcome, count in tally.spans().items())
        yield counter("pilothouse_spans", "Spans of this node, by what became of them.", ["outcome"], spans)

    def _about_requests(self) -> Iterator[Metric]:
        tally = self._tally
        yield counter(
            "pilothouse_http_requests",
            "HTTP requests that were answered.",
            ["route", "status"],
            (((route, str(status)), count) for (route, status), count in tally.requests.items()),
        )
        yield histogram(
            "pilothouse_http_request_duration_seconds",
            "From the head of a request to the last byte of its answer.",
            ["route"],
            (((route,), spread) for route, spread in tally.request_seconds.items()),
        )
        yield gauge("pilothouse_http_streams", "Open event streams.", [], [((), tally.streams)])

    def _about_runs(self) -> Iterator[Metric]:
        tally = self._tally
        yield counter(
            "pilothouse_runs_started",
            "Runs that started on this node.",
            ["agent"],
            (((agent,), count) for agent, count in tally.started.items()),
        )
        yield counter(
            "pilothouse_runs_ended", "Runs that this node gave their end.", ["agent", "status"], tally.ended.items()
        )
        yield histogram(
            "pilothouse_run_duration_seconds",
            "From the creation of a run to its end.",
            ["agent"],
            (((agent,), spread) for agent, spread in tally.run_seconds.items()),
        )
        yield histogram(
            "pilothouse_run_wait_seconds",
            "From the creation of a run to its start, delays that were asked for included.",
            ["agent"],
            (((agent,), spread) for agent, spread in tally.wait_seconds.items()),
        )
        yield histogram(
            "pilothouse_run_first_output_seconds",
            "From the creation of a run to the first piece of output that it emitted.",
            ["agent"],
            (((agent,), spread) for agent, spread in tally.speak_seconds.items()),
        )
        yield counter(
            "pilothouse_steps_ended",
            "Steps that were executed on this node; replayed ones are not.",
            ["agent", "kind", "status"],
            tally.steps.items(),
        )
        yield histogram(
            "pilothouse_step_duration_seconds",
            "From the beginning of a step to its end.",
            ["kind"],
            (((kind,), spread) for kind, spread in tally.step_seconds.items()),
        )

    def _about_use(self) -> Iterator[Metric]:
        tally = self._tally
        tokens = [
            ((agent, direction), count)
            for agent, used in tally.used.items()
            for direction, count in (("input", used.input_tokens), ("output", used.output_tokens))
        ]
        yield counter("pilothouse_tokens", "Tokens that ended runs sent and got.", ["agent", "direction"], tokens)
        yield counter(
            "pilothouse_model_calls",
            "Calls of language models by ended runs.",
            ["agent"],
            (((agent,), used.model_calls) for agent, used in tally.used.items()),
        )
        yield counter(
            "pilothouse_tool_calls",
            "Calls of tools by ended runs.",
            ["agent"],
            (((agent,), used.tool_calls) for agent, used in tally.used.items()),
        )
        yield counter(
            "pilothouse_cost_usd",
            "What ended runs cost, in US dollars.",
            ["agent"],
            (((agent,), used.cost_usd) for agent, used in tally.used.items()),
        )

    def _about_objectives(self) -> Iterator[Metric]:
        tally = self._tally
        counts = tally.objective_counts
        yield counter(
            "pilothouse_objective_runs",
            "Runs that count for an objective of their agent.",
            ["agent", "objective"],
            ((key, total) for key, (total, _) in counts.items()),
        )
        yield counter(
            "pilothouse_objective_missed",
            "Runs that missed an objective of their agent.",
            ["agent", "objective"],
            ((key, missed) for key, (_, missed) in counts.items()),
        )
        unusual = [
            ((alert.agent, alert.objective.removeprefix(UNUSUAL)), 1)
            for alert in tally.firing()
            if alert.objective.startswith(UNUSUAL)
        ]
        yield gauge("pilothouse_unusual", "What is far from usual of an agent.", ["agent", "quantity"], unusual)

    def _about_claims(self) -> Iterator[Metric]:
        yield counter(
            "pilothouse_claims",
            "Claims of this node, by what they found: runs or nothing.",
            ["found"],
            (((found,), count) for found, count in self._tally.claims.items()),
        )

    def _about_node(self) -> Iterator[Metric]:
        tally = self._tally
        yield counter(
            "pilothouse_leases_taken_over",
            "Runs of lost workers that went back to the queue.",
            [],
            [((), tally.taken_over)],
        )
        yield gauge(
            "pilothouse_host_memory_bytes",
            "Resident memory of a host process.",
            ["host"],
            (((host,), used) for host, used in tally.host_memory.items()),
        )
        yield counter(
            "pilothouse_hosts_lost",
            "Host processes that ended without being asked to.",
            [],
            [((), tally.hosts_lost)],
        )
        yield counter(
            "pilothouse_delivery_tries",
            "Tries to deliver, by what came of each and the status it left.",
            ["verdict", "status"],
            tally.tries.items(),
        )
        yield gauge(
            "pilothouse_queue_runs",
            "Runs that have not ended.",
            ["state"],
            (((state,), count) for state, count in tally.queue.items()),
        )
        yield gauge(
            "pilothouse_reviews_open",
            "Reviews that nobody has decided yet.",
            ["agent"],
            (((agent,), count) for agent, (count, _) in tally.reviews.items()),
        )
        yield gauge(
            "pilothouse_review_oldest_seconds",
            "How long the oldest open review has been open.",
            ["agent"],
            (((agent,), seconds) for agent, (_, seconds) in tally.reviews.items()),
        )
        yield counter(
            "pilothouse_audit_entries",
            "What happened, as the audit log tells it.",
            ["kind"],
            (((kind,), count) for kind, count in tally.entries.items()),
        )
        yield histogram(
            "pilothouse_commit_duration_seconds",
            "One transaction of the records, until it was durable.",
            [],
            [((), tally.commit_seconds)],
        )
        yield histogram("pilothouse_commit_changes", "Changes in one transaction.", [], [((), tally.commit_changes)])
