"""The metrics of a node: what the rooms tell while they work, as Prometheus text.

Counting is an addition to a plain number and adding up is left to the scrape: a counter of the client library costs
four times as much on the hot path, for a lock that nobody needs here (each method has one calling thread). A label has
a bounded number of values: routes and statuses come from tables, and of agents the first 200 names are told apart and
the others counted together. Every metric is explained in DESIGN.md of this room, and a test compares.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from pilothouse.domain.limit import LimitState
from pilothouse.domain.objective import ENDED, FIRST_OUTPUT, Alert, Objectives
from pilothouse.domain.provider import ProviderState
from pilothouse.domain.scale import Scale
from pilothouse.observability.alert import UNUSUAL, Totals
from pilothouse.observability.family import Spread, counter, gauge, histogram
from pilothouse.observability.provider import about_limits, about_providers
from pilothouse.observability.scale import about_scale
from pilothouse.ports.meter import CommitMeter, DeliveryMeter, MetricsPage, RunMeter

KIND = re.compile(rb'"kind":"([a-z_.]{1,64})"')
"""Of an entry of the audit log: which kinds there are is the engine's table, so the label is bounded."""
AGENTS_LIMIT = 200
OTHER = "other"

REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
RUN_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
COMMIT_CHANGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


STEP_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
WAIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)


class Used(Struct):
    """What ended runs used, as their `usage` tells it."""

    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    cost_usd: float = 0.0


read_used = msgspec.json.Decoder(Used).decode


class Metrics(MetricsPage, RunMeter, DeliveryMeter, CommitMeter, Collector):
    """One registry for one node. `render` gives the page that Prometheus reads."""

    def __init__(self) -> None:
        self.objectives: Mapping[str, Objectives] = {}
        """By agent. Set before the first run is told."""
        self.providers: Callable[[], tuple[list[ProviderState], dict[str, int]]] = lambda: ([], {})
        """Gives the models that agents call, and how many calls were not allowed, by the code of the error."""
        self.firing: Callable[[], list[Alert]] = list
        """Gives the alerts of this node."""
        self.limits: Callable[[], LimitState] = lambda: LimitState(False, 0, 0)
        """Gives how limits on calls are shared."""
        self.spans: Callable[[], Mapping[str, int]] = dict
        """Gives what became of the spans of this node, by outcome."""
        self.objective_counts: dict[tuple[str, str], tuple[int, int]] = {}
        """By agent and objective: runs that counted, and those of them that missed."""
        self.scale: Callable[[], Scale | None] = lambda: None
        """Gives how much work there is and how many workers it wants."""
        self.registry = CollectorRegistry()
        self._requests: dict[tuple[str, int], int] = {}
        self._request_seconds: dict[str, Spread] = {}
        self._streams = 0
        self._agents: set[str] = set()
        self._started: dict[str, int] = {}
        self._ended: dict[tuple[str, str], int] = {}
        self._run_seconds: dict[str, Spread] = {}
        self._wait_seconds: dict[str, Spread] = {}
        self._speak_seconds: dict[str, Spread] = {}
        self._used: dict[str, Used] = {}
        self._steps: dict[tuple[str, str, str], int] = {}
        self._step_seconds: dict[str, Spread] = {}
        self._taken_over = 0
        self._hosts_lost = 0
        self._host_memory: dict[str, int] = {}
        self._tries: dict[tuple[str, str], int] = {(verdict, "dead"): 0 for verdict in ("again", "dead", "gone")}
        """With those that an alert counts: for Prometheus a counter that appears has not risen."""
        self._queue = {"ready": 0, "held": 0, "running": 0, "waiting": 0}
        self.reviews: Mapping[str, tuple[int, float]] = {}
        """By agent: how many are open, and for how many seconds the oldest has been."""
        self._entries: dict[str, int] = {}
        self._commit_seconds = Spread(COMMIT_SECONDS)
        self._commit_changes = Spread(COMMIT_CHANGES)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(self)

    def render(self) -> bytes:
        return generate_latest(self.registry)

    # --- told by communication -------------------------------------------------------------------------------------

    def request_ended(self, route: str, status: int, seconds: float) -> None:
        key = (route, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        spread = self._request_seconds.get(route)
        if spread is None:
            spread = self._request_seconds[route] = Spread(REQUEST_SECONDS)
        spread.observe(seconds)

    def stream_opened(self) -> None:
        self._streams += 1

    def stream_closed(self) -> None:
        self._streams -= 1

    def delivery_tried(self, verdict: str, status: str) -> None:
        key = (verdict, status)
        self._tries[key] = self._tries.get(key, 0) + 1

    # --- told by compute -------------------------------------------------------------------------------------------

    def run_started(self, agent: str, waited: float) -> None:
        if agent not in self._agents:
            agent = self._label(agent)
        self._started[agent] = self._started.get(agent, 0) + 1
        spread = self._wait_seconds.get(agent)
        if spread is None:
            spread = self._wait_seconds[agent] = Spread(WAIT_SECONDS)
        spread.observe(waited)

    def run_spoke(self, agent: str, seconds: float) -> None:
        if agent not in self._agents:
            agent = self._label(agent)
        spread = self._speak_seconds.get(agent)
        if spread is None:
            spread = self._speak_seconds[agent] = Spread(RUN_SECONDS)
        spread.observe(seconds)
        promised = self.objectives.get(agent)
        if promised is not None and promised.first_output_within_seconds is not None:
            self._judge(agent, FIRST_OUTPUT, seconds <= promised.first_output_within_seconds)

    def run_ended(self, agent: str, status: str, seconds: float, usage: bytes | None) -> None:
        if agent not in self._agents:
            agent = self._label(agent)
        key = (agent, status)
        self._ended[key] = self._ended.get(key, 0) + 1
        spread = self._run_seconds.get(agent)
        if spread is None:
            spread = self._run_seconds[agent] = Spread(RUN_SECONDS)
        spread.observe(seconds)
        if usage is not None:
            with suppress(msgspec.MsgspecError):  # a host wrote it
                self._add_used(agent, read_used(usage))

        promised = self.objectives.get(agent)
        if promised is not None and status != "cancelled":
            within = promised.ended_within_seconds
            self._judge(agent, ENDED, status == "succeeded" and (within is None or seconds <= within))

    def totals(self, agent: str) -> Totals:
        """Of the runs of an agent that ended here."""
        spread, used = self._run_seconds.get(agent), self._used.get(agent)
        cost = used.cost_usd if used is not None else 0.0
        return Totals(sum(spread.counts), spread.total, cost) if spread is not None else Totals()

    def _judge(self, agent: str, objective: str, is_met: bool) -> None:
        total, missed = self.objective_counts.get((agent, objective), (0, 0))
        self.objective_counts[agent, objective] = (total + 1, missed + (not is_met))

    def _add_used(self, agent: str, more: Used) -> None:
        used = self._used.setdefault(agent, Used())
        used.input_tokens += more.input_tokens
        used.output_tokens += more.output_tokens
        used.model_calls += more.model_calls
        used.tool_calls += more.tool_calls
        used.cost_usd += more.cost_usd

    def step_ended(self, agent: str, kind: str, status: str, seconds: float) -> None:
        if agent not in self._agents:
            agent = self._label(agent)
        key = (agent, kind, status)
        self._steps[key] = self._steps.get(key, 0) + 1
        spread = self._step_seconds.get(kind)
        if spread is None:
            spread = self._step_seconds[kind] = Spread(STEP_SECONDS)
        spread.observe(seconds)

    def leases_taken_over(self, count: int) -> None:
        self._taken_over += count

    def _label(self, agent: str) -> str:
        """The name under which a new agent is counted."""
        if len(self._agents) >= AGENTS_LIMIT:
            return OTHER
        self._agents.add(agent)
        return agent

    def host_lost(self) -> None:
        self._hosts_lost += 1

    def host_held(self, host: str, used: int) -> None:
        if used:
            self._host_memory[host] = used
        else:
            self._host_memory.pop(host, None)

    def queue_counted(self, ready: int, held: int, running: int, waiting: int) -> None:
        self._queue = {"ready": ready, "held": held, "running": running, "waiting": waiting}

    def reviews_counted(self, open: Mapping[str, tuple[int, float]]) -> None:
        self.reviews = open

    # --- told by storage, on its own thread ------------------------------------------------------------------------

    def committed(self, changes: int, seconds: float) -> None:
        self._commit_changes.observe(changes)
        self._commit_seconds.observe(seconds)

    def audited(self, entry: bytes) -> None:
        found = KIND.search(entry)
        if found is not None:
            kind = found[1].decode()
            self._entries[kind] = self._entries.get(kind, 0) + 1

    # --- asked by a scrape -----------------------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        yield from self._about_requests()
        yield from self._about_runs()
        yield from self._about_use()
        yield from self._about_objectives()
        yield from self._about_node()
        yield from about_providers(*self.providers())
        yield from about_scale(self.scale())
        yield from about_limits(self.limits())
        spans = (((outcome,), count) for outcome, count in self.spans().items())
        yield counter("pilothouse_spans", "Spans of this node, by what became of them.", ["outcome"], spans)

    def _about_requests(self) -> Iterator[Metric]:
        yield counter(
            "pilothouse_http_requests",
            "HTTP requests that were answered.",
            ["route", "status"],
            (((route, str(status)), count) for (route, status), count in self._requests.items()),
        )
        yield histogram(
            "pilothouse_http_request_duration_seconds",
            "From the head of a request to the last byte of its answer.",
            ["route"],
            (((route,), spread) for route, spread in self._request_seconds.items()),
        )
        yield gauge("pilothouse_http_streams", "Open event streams.", [], [((), self._streams)])

    def _about_runs(self) -> Iterator[Metric]:
        yield counter(
            "pilothouse_runs_started",
            "Runs that started on this node.",
            ["agent"],
            (((agent,), count) for agent, count in self._started.items()),
        )
        yield counter(
            "pilothouse_runs_ended", "Runs that this node gave their end.", ["agent", "status"], self._ended.items()
        )
        yield histogram(
            "pilothouse_run_duration_seconds",
            "From the creation of a run to its end.",
            ["agent"],
            (((agent,), spread) for agent, spread in self._run_seconds.items()),
        )
        yield histogram(
            "pilothouse_run_wait_seconds",
            "From the creation of a run to its start, delays that were asked for included.",
            ["agent"],
            (((agent,), spread) for agent, spread in self._wait_seconds.items()),
        )
        yield histogram(
            "pilothouse_run_first_output_seconds",
            "From the creation of a run to the first piece of output that it emitted.",
            ["agent"],
            (((agent,), spread) for agent, spread in self._speak_seconds.items()),
        )
        yield counter(
            "pilothouse_steps_ended",
            "Steps that were executed on this node; replayed ones are not.",
            ["agent", "kind", "status"],
            self._steps.items(),
        )
        yield histogram(
            "pilothouse_step_duration_seconds",
            "From the beginning of a step to its end.",
            ["kind"],
            (((kind,), spread) for kind, spread in self._step_seconds.items()),
        )

    def _about_use(self) -> Iterator[Metric]:
        tokens = [
            ((agent, direction), count)
            for agent, used in self._used.items()
            for direction, count in (("input", used.input_tokens), ("output", used.output_tokens))
        ]
        yield counter("pilothouse_tokens", "Tokens that ended runs sent and got.", ["agent", "direction"], tokens)
        yield counter(
            "pilothouse_model_calls",
            "Calls of language models by ended runs.",
            ["agent"],
            (((agent,), used.model_calls) for agent, used in self._used.items()),
        )
        yield counter(
            "pilothouse_tool_calls",
            "Calls of tools by ended runs.",
            ["agent"],
            (((agent,), used.tool_calls) for agent, used in self._used.items()),
        )
        yield counter(
            "pilothouse_cost_usd",
            "What ended runs cost, in US dollars.",
            ["agent"],
            (((agent,), used.cost_usd) for agent, used in self._used.items()),
        )

    def _about_objectives(self) -> Iterator[Metric]:
        counts = self.objective_counts
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
            for alert in self.firing()
            if alert.objective.startswith(UNUSUAL)
        ]
        yield gauge("pilothouse_unusual", "What is far from usual of an agent.", ["agent", "quantity"], unusual)

    def _about_node(self) -> Iterator[Metric]:
        yield counter(
            "pilothouse_leases_taken_over",
            "Runs of lost workers that went back to the queue.",
            [],
            [((), self._taken_over)],
        )
        yield gauge(
            "pilothouse_host_memory_bytes",
            "Resident memory of a host process.",
            ["host"],
            (((host,), used) for host, used in self._host_memory.items()),
        )
        yield counter(
            "pilothouse_hosts_lost",
            "Host processes that ended without being asked to.",
            [],
            [((), self._hosts_lost)],
        )
        yield counter(
            "pilothouse_delivery_tries",
            "Tries to deliver, by what came of each and the status it left.",
            ["verdict", "status"],
            self._tries.items(),
        )
        yield gauge(
            "pilothouse_queue_runs",
            "Runs that have not ended.",
            ["state"],
            (((state,), count) for state, count in self._queue.items()),
        )
        yield gauge(
            "pilothouse_reviews_open",
            "Reviews that nobody has decided yet.",
            ["agent"],
            (((agent,), count) for agent, (count, _) in self.reviews.items()),
        )
        yield gauge(
            "pilothouse_review_oldest_seconds",
            "How long the oldest open review has been open.",
            ["agent"],
            (((agent,), seconds) for agent, (_, seconds) in self.reviews.items()),
        )
        yield counter(
            "pilothouse_audit_entries",
            "What happened, as the audit log tells it.",
            ["kind"],
            (((kind,), count) for kind, count in self._entries.items()),
        )
        yield histogram(
            "pilothouse_commit_duration_seconds",
            "One transaction of the records, until it was durable.",
            [],
            [((), self._commit_seconds)],
        )
        yield histogram("pilothouse_commit_changes", "Changes in one transaction.", [], [((), self._commit_changes)])
