"""What a node counts: what the rooms tell while they work.

Counting is an addition to a plain number and adding up is left to the scrape: a counter of the client library costs
four times as much on the hot path, for a lock that nobody needs here (each method has one calling thread). A label has
a bounded number of values: routes and statuses come from tables, and of agents the first 200 names are told apart and
the others counted together. Every metric is explained in DESIGN.md of this room, and a test compares.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from pilothouse.domain.limit import LimitState
from pilothouse.domain.objective import ENDED, FIRST_OUTPUT, Alert, Objectives
from pilothouse.domain.provider import ProviderState
from pilothouse.domain.scale import Scale
from pilothouse.observability.alert import Totals
from pilothouse.observability.spread import Spread
from pilothouse.ports.meter import CommitMeter, DeliveryMeter, RequestMeter, RunMeter

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


class Tally(RequestMeter, RunMeter, DeliveryMeter, CommitMeter):
    """What one node counts, and where it finds what others know. `scrape` reads it."""

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
        self.requests: dict[tuple[str, int], int] = {}
        self.request_seconds: dict[str, Spread] = {}
        self.streams = 0
        self._agents: set[str] = set()
        self.started: dict[str, int] = {}
        self.ended: dict[tuple[str, str], int] = {}
        self.run_seconds: dict[str, Spread] = {}
        self.wait_seconds: dict[str, Spread] = {}
        self.speak_seconds: dict[str, Spread] = {}
        self.used: dict[str, Used] = {}
        self.steps: dict[tuple[str, str, str], int] = {}
        self.step_seconds: dict[str, Spread] = {}
        self.taken_over = 0
        self.claims = {"runs": 0, "nothing": 0}
        """By what they found."""
        self.hosts_lost = 0
        self.host_memory: dict[str, int] = {}
        self.tries: dict[tuple[str, str], int] = {(verdict, "dead"): 0 for verdict in ("again", "dead", "gone")}
        """With those that an alert counts: for Prometheus a counter that appears has not risen."""
        self.queue = {"ready": 0, "held": 0, "running": 0, "waiting": 0}
        self.reviews: Mapping[str, tuple[int, float]] = {}
        """By agent: how many are open, and for how many seconds the oldest has been."""
        self.entries: dict[str, int] = {}
        self.commit_seconds = Spread(COMMIT_SECONDS)
        self.commit_changes = Spread(COMMIT_CHANGES)

    # --- told by communication -------------------------------------------------------------------------------------

    def request_ended(self, route: str, status: int, seconds: float) -> None:
        key = (route, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        spread = self.request_seconds.get(route)
        if spread is None:
            spread = self.request_seconds[route] = Spread(REQUEST_SECONDS)
        spread.observe(seconds)

    def stream_opened(self) -> None:
        self.streams += 1

    def stream_closed(self) -> None:
        self.streams -= 1

    def delivery_tried(self, verdict: str, status: str) -> None:
        key = (verdict, status)
        self.tries[key] = self.tries.get(key, 0) + 1

    # --- told by compute -------------------------------------------------------------------------------------------

    def run_started(self, agent: str, waited: float) -> None:
        if agent not in self._agents:
            agent = self._label(agent)
        self.started[agent] = self.started.get(agent, 0) + 1
        spread = self.wait_seconds.get(agent)
        if spread is None:
            spread = self.wait_seconds[agent] = Spread(WAIT_SECONDS)
        spread.observe(waited)

    def run_spoke(self, agent: str, seconds: float) -> None:
        if agent not in self._agents:
            agent = self._label(agent)
        spread = self.speak_seconds.get(agent)
        if spread is None:
            spread = self.speak_seconds[agent] = Spread(RUN_SECONDS)
        spread.observe(seconds)
        promised = self.objectives.get(agent)
        if promised is not None and promised.first_output_within_seconds is not None:
            self._judge(agent, FIRST_OUTPUT, seconds <= promised.first_output_within_seconds)

    def run_ended(self, agent: str, status: str, seconds: float, usage: bytes | None) -> None:
        if agent not in self._agents:
            agent = self._label(agent)
        key = (agent, status)
        self.ended[key] = self.ended.get(key, 0) + 1
        spread = self.run_seconds.get(agent)
        if spread is None:
            spread = self.run_seconds[agent] = Spread(RUN_SECONDS)
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
        spread, used = self.run_seconds.get(agent), self.used.get(agent)
        cost = used.cost_usd if used is not None else 0.0
        return Totals(sum(spread.counts), spread.total, cost) if spread is not None else Totals()

    def _judge(self, agent: str, objective: str, is_met: bool) -> None:
        total, missed = self.objective_counts.get((agent, objective), (0, 0))
        self.objective_counts[agent, objective] = (total + 1, missed + (not is_met))

    def _add_used(self, agent: str, more: Used) -> None:
        used = self.used.setdefault(agent, Used())
        used.input_tokens += more.input_tokens
        used.output_tokens += more.output_tokens
        used.model_calls += more.model_calls
        used.tool_calls += more.tool_calls
        used.cost_usd += more.cost_usd

    def step_ended(self, agent: str, kind: str, status: str, seconds: float) -> None:
        if agent not in self._agents:
            agent = self._label(agent)
        key = (agent, kind, status)
        self.steps[key] = self.steps.get(key, 0) + 1
        spread = self.step_seconds.get(kind)
        if spread is None:
            spread = self.step_seconds[kind] = Spread(STEP_SECONDS)
        spread.observe(seconds)

    def claimed(self, count: int) -> None:
        self.claims["runs" if count else "nothing"] += 1

    def leases_taken_over(self, count: int) -> None:
        self.taken_over += count

    def _label(self, agent: str) -> str:
        """The name under which a new agent is counted."""
        if len(self._agents) >= AGENTS_LIMIT:
            return OTHER
        self._agents.add(agent)
        return agent

    def host_lost(self) -> None:
        self.hosts_lost += 1

    def host_held(self, host: str, used: int) -> None:
        if used:
            self.host_memory[host] = used
        else:
            self.host_memory.pop(host, None)

    def queue_counted(self, ready: int, held: int, running: int, waiting: int) -> None:
        self.queue = {"ready": ready, "held": held, "running": running, "waiting": waiting}

    def reviews_counted(self, open: Mapping[str, tuple[int, float]]) -> None:
        self.reviews = open

    # --- told by storage, on its own thread ------------------------------------------------------------------------

    def committed(self, changes: int, seconds: float) -> None:
        self.commit_changes.observe(changes)
        self.commit_seconds.observe(seconds)

    def audited(self, entry: bytes) -> None:
        found = KIND.search(entry)
        if found is not None:
            kind = found[1].decode()
            self.entries[kind] = self.entries.get(kind, 0) + 1
