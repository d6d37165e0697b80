"""Spans of runs and steps to an OpenTelemetry collector, made from what the journal keeps anyway.

A span stands for a step or run that has ended, with the ids that `domain.trace` gives it; so no context is carried
around, what is replayed is not recorded, and an attempt on another node goes on in the same trace. Names and attributes
are those of the GenAI conventions of OpenTelemetry (semantic-conventions-genai, status Development: hence constants).
No content is recorded: no input, no output, no argument.

A run is recorded when its share is drawn or its caller records the trace; otherwise the facts of its steps wait, up to
a bound, and go out after all when it failed or was slow. On the node's loop a span is a fact handed over; it becomes
bytes on the thread that sends it (`collector`), and nobody waits for either.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial

import msgspec
from msgspec import Struct

from pilothouse.domain.journal import StepRow
from pilothouse.domain.run import Run
from pilothouse.domain.trace import context_of, is_recorded, span_of
from pilothouse.observability import otlp
from pilothouse.observability.collector import Collector, Place
from pilothouse.observability.log import code_of
from pilothouse.ports.meter import Tracer

SCOPE = "pilothouse"
WAITING_RUNS = 1000
"""Runs whose spans wait for their end; of more the oldest are given up."""
WAITING_SPANS = 200
"""Of one run; of more the first ones are kept."""
SEND_WITHIN = 5.0
STOP_WITHIN = 5.0
"""Seconds for what is left at the end; what was not sent by then is given up, but for the request under way."""
_about_run = otlp.text_attribute("pilothouse.run")
_about_step = otlp.text_attribute("pilothouse.step")
OPERATIONS = {"model": "chat", "tool": "execute_tool"}


class _Usage(Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


_read_usage = msgspec.json.Decoder(_Usage).decode


class StepFact(Struct, gc=False):
    """What a span says of a step. It may wait, so it holds no payload."""

    run: str
    traceparent: str | None
    key: str
    kind: str
    name: str
    attempt: int
    tries: int
    usage: bytes | None
    begun_at: int
    ended_at: int
    fault: str | None


class RunFact(Struct, gc=False):
    """What a span says of a run, without its payloads."""

    id: str
    traceparent: str | None
    agent: str
    release: str
    tenant: str
    mode: str
    status: str
    session: str | None
    is_called: bool
    attempt: int
    usage: bytes | None
    begun_at: int
    ended_at: int
    fault: str | None


class OtlpTracer(Tracer):
    """What cannot be sent within `within` seconds is given up; nobody waits for it. `stop` sends what is left. Raises
    `OSError` for a certificate that cannot be read."""

    def __init__(
        self,
        place: Place,
        share: float,
        slow_seconds: float,
        within: float = SEND_WITHIN,
        stop_within: float = STOP_WITHIN,
    ) -> None:
        self._share, self._slow, self._stop_within = share, round(slow_seconds * 1e6), stop_within
        self.collector: Collector[StepFact | RunFact] = Collector(
            place, _encode, partial(otlp.request, place.attributes, SCOPE), within
        )
        self._is_recorded: Callable[[str, str | None], bool] = lru_cache(WAITING_RUNS)(partial(is_recorded, share))
        """Asked of each step of a run."""
        self._waiting: OrderedDict[tuple[str, str], list[StepFact]] = OrderedDict()

    def stop(self) -> None:
        """Blocks for `stop_within` and one request at most."""
        self.collector.stop(self._stop_within)

    def spans(self) -> Mapping[str, int]:
        """How many spans were `sent`, `failed` (the collector did not take them) and `dropped` (too many waited)."""
        found = self.collector
        return {"sent": found.sent, "failed": found.failed, "dropped": found.dropped}

    # --- told by compute --------------------------------------------------------------------------------------------

    def step_ended(self, run: Run, traceparent: str | None, row: StepRow) -> None:
        if self._is_recorded(run.id, traceparent):
            if self.collector.has_place():
                self.collector.hand(_fact_of(run, traceparent, row))
            return
        key = (run.tenant, run.id)
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = []
            if len(self._waiting) > WAITING_RUNS:
                self._waiting.popitem(last=False)
        if len(waiting) < WAITING_SPANS:
            waiting.append(_fact_of(run, traceparent, row))

    def run_ended(self, run: Run, traceparent: str | None) -> None:
        waiting: Sequence[StepFact] = self._waiting.pop((run.tenant, run.id), ()) if self._waiting else ()
        begun_at, ended_at = run.created_at, run.finished_at or run.created_at
        is_slow = ended_at - begun_at >= self._slow
        if not (is_slow or run.status == "failed" or is_recorded(self._share, run.id, traceparent)):
            return
        for fact in waiting:
            if self.collector.has_place():
                self.collector.hand(fact)
        if not self.collector.has_place():
            return
        fault = None if run.error is None or run.status == "succeeded" else code_of(run.error)
        self.collector.hand(
            RunFact(
                run.id, traceparent, run.agent, run.release, run.tenant, run.mode, run.status, run.session,
                run.parent is not None, run.attempt, run.usage, begun_at, ended_at, fault,
            )
        )  # fmt: skip


def _fact_of(run: Run, traceparent: str | None, row: StepRow) -> StepFact:
    fault = None if row.error is None else code_of(row.error)
    return StepFact(
        run.id, traceparent, row.key, row.kind, row.name, run.attempt, row.tries, row.usage, row.started_at,
        row.finished_at or row.started_at, fault,
    )  # fmt: skip


# --- on the thread of the sender -------------------------------------------------------------------------------------


def _encode(fact: StepFact | RunFact) -> bytes:
    return _run_span(fact) if type(fact) is RunFact else _step_span(fact)  # type: ignore[arg-type]


@lru_cache(256)
def _place_of(run: str, traceparent: str | None) -> tuple[bytes, bytes, bytes | None]:
    """The trace of a run, its own span and the one above."""
    context = context_of(run, traceparent)
    above = None if context.above is None else context.above.to_bytes(8)
    return context.trace.to_bytes(16), span_of(run).to_bytes(8), above


def _run_span(fact: RunFact) -> bytes:
    trace, own, above = _place_of(fact.id, fact.traceparent)
    attributes = otlp.same(
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", fact.agent),
        ("gen_ai.agent.version", fact.release),
        ("pilothouse.tenant", fact.tenant),
        ("pilothouse.mode", fact.mode),
        ("pilothouse.status", fact.status),
        ("pilothouse.attempts", fact.attempt),
    ) + _about_run(fact.id)
    if fact.session is not None:
        attributes += otlp.attribute("gen_ai.conversation.id", fact.session)
    title = otlp.title(f"invoke_agent {fact.agent}", otlp.INTERNAL if fact.is_called else otlp.SERVER)
    attributes += _about_end(fact)
    return otlp.span(trace, own, above, title, (fact.begun_at, fact.ended_at), attributes, fact.fault is not None)


def _step_span(fact: StepFact) -> bytes:
    trace, above, _ = _place_of(fact.run, fact.traceparent)
    operation = OPERATIONS.get(fact.kind, "step")
    attributes = (
        _about_kind(fact.kind, fact.name, fact.attempt, fact.tries)
        + _about_run(fact.run)
        + _about_step(fact.key)
        + _about_end(fact)
    )
    title = otlp.title(f"{operation} {fact.name}", otlp.CLIENT if fact.kind == "model" else otlp.INTERNAL)
    own, instants = span_of(fact.run, fact.key).to_bytes(8), (fact.begun_at, fact.ended_at)
    return otlp.span(trace, own, above, title, instants, attributes, fact.fault is not None)


@lru_cache(otlp.MADE)
def _about_kind(kind: str, name: str, attempt: int, tries: int) -> bytes:
    """What steps have alike, as attributes."""
    found: list[tuple[str, otlp.Value]] = [
        ("pilothouse.step.kind", kind),
        ("pilothouse.attempt", attempt),
        ("pilothouse.tries", tries),
    ]
    operation = OPERATIONS.get(kind)
    if operation is not None:
        found.append(("gen_ai.operation.name", operation))
    if kind == "tool":
        found.append(("gen_ai.tool.name", name))
    return b"".join([otlp.attribute(*one) for one in found])


def _about_end(fact: StepFact | RunFact) -> bytes:
    """What was used, and what went wrong."""
    if fact.usage is None and fact.fault is None:
        return b""
    found: list[tuple[str, otlp.Value]] = []
    if fact.usage is not None:
        try:
            used = _read_usage(fact.usage)
        except msgspec.MsgspecError:  # a host wrote it
            used = _Usage()
        if used.input_tokens or used.output_tokens:
            found += (
                ("gen_ai.usage.input_tokens", used.input_tokens),
                ("gen_ai.usage.output_tokens", used.output_tokens),
            )
        if used.cost_usd:
            found.append(("pilothouse.cost_usd", used.cost_usd))
    if fact.fault is not None:
        found.append(("error.type", fact.fault))
    return b"".join([otlp.attribute(*one) for one in found])
