"""Spans of runs and steps to an OpenTelemetry collector, made from what the journal keeps anyway.

A span is made when its step or run has ended, with the ids that `domain.trace` gives it; so no context is carried
around, what is replayed is not recorded, and an attempt on another node goes on in the same trace. Names and attributes
are those of the GenAI conventions of OpenTelemetry (semantic-conventions-genai, status Development: hence constants).
No content is recorded: no input, no output, no argument.

A run is recorded when its share is drawn or its caller records the trace; otherwise its spans wait, up to a bound, and
go out after all when it failed or was slow. Whatever the collector does, nobody waits for it: of more spans than can be
sent the newest are dropped, and each one that was not sent is counted.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from pilothouse.domain.journal import StepRow
from pilothouse.domain.run import Run
from pilothouse.domain.trace import TraceContext, context_of, is_drawn, span_of
from pilothouse.observability.log import code_of
from pilothouse.ports.meter import Tracer

SCOPE = InstrumentationScope("pilothouse")
FLAGS = TraceFlags(TraceFlags.SAMPLED)
WAITING_RUNS = 1000
"""Runs whose spans wait for their end; of more the oldest are given up."""
WAITING_SPANS = 200
"""Of one run; of more the first ones are kept."""
QUEUE = 8192
"""Spans that wait to be sent, or are being sent; of more the newest are dropped."""
SEND_WITHIN = 5.0
STOP_WITHIN = 5.0
"""Seconds for what is left at the end; what was not sent by then is given up, but for the request under way."""
OPERATIONS = {"model": "chat", "tool": "execute_tool"}


class _Usage(Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


_read_usage = msgspec.json.Decoder(_Usage).decode


class StepFact(Struct):
    """What a span says of a step. It waits for the end of its run where that decides whether there are spans at all, so
    it holds no payload, and the span is made when it goes out."""

    key: str
    kind: str
    name: str
    attempt: int
    tries: int
    used: dict[str, Any]
    instants: tuple[int, int]
    fault: str | None


class CountedExporter(SpanExporter):
    """Counts what was sent and what was not. Called by the sender's thread alone."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.sent, self.failed = 0, 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self.sent += len(spans)
            else:
                self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class OtlpTracer(Tracer):
    """`endpoint`: the address of a collector, without /v1/traces. What cannot be sent within `within` seconds is given
    up; nobody waits for it. `stop` sends what is left."""

    def __init__(
        self,
        endpoint: str,
        share: float,
        slow_seconds: float,
        service: str = "pilothouse",
        within: float = SEND_WITHIN,
        stop_within: float = STOP_WITHIN,
    ) -> None:
        self._share, self._slow, self._stop_within = share, slow_seconds, stop_within
        self._resource = Resource.create({"service.name": service})
        address = f"{endpoint.rstrip('/')}/v1/traces"
        self._exporter = CountedExporter(OTLPSpanExporter(endpoint=address, timeout=within))
        self._sender = BatchSpanProcessor(self._exporter, max_queue_size=QUEUE)
        self._handed, self._dropped = 0, 0
        self._waiting: OrderedDict[tuple[str, str], list[StepFact]] = OrderedDict()

    def stop(self) -> None:
        """Blocks for `stop_within` and one request at most."""
        ender = threading.Timer(self._stop_within, self._exporter.shutdown)
        ender.start()
        try:
            self._sender.shutdown()  # type: ignore[no-untyped-call]
        finally:
            ender.cancel()
            ender.join()

    def spans(self) -> Mapping[str, int]:
        """How many spans were `sent`, `failed` (the collector did not take them) and `dropped` (too many waited)."""
        return {"sent": self._exporter.sent, "failed": self._exporter.failed, "dropped": self._dropped}

    def _has_place(self) -> bool:
        """Whether one more span may wait to be sent; counts it either way."""
        if self._handed - self._exporter.sent - self._exporter.failed >= QUEUE:
            self._dropped += 1
            return False
        self._handed += 1
        return True

    # --- told by compute --------------------------------------------------------------------------------------------

    def step_ended(self, run: Run, traceparent: str | None, row: StepRow) -> None:
        context = context_of(run.id, traceparent)
        key = (run.tenant, run.id)
        is_recorded = self._is_recorded(context)
        if not is_recorded and len(self._waiting.get(key, ())) >= WAITING_SPANS:
            return
        fault = None if row.error is None else code_of(row.error)
        instants = (row.started_at, row.finished_at or row.started_at)
        fact = StepFact(row.key, row.kind, row.name, run.attempt, row.tries, _used(row.usage), instants, fault)
        if is_recorded:
            self._send_step(run, context, fact)
            return
        self._waiting.setdefault(key, []).append(fact)
        if len(self._waiting) > WAITING_RUNS:
            self._waiting.popitem(last=False)

    def _send_step(self, run: Run, context: TraceContext, fact: StepFact) -> None:
        if not self._has_place():
            return
        name = f"{OPERATIONS.get(fact.kind, 'step')} {fact.name}"
        kind = SpanKind.CLIENT if fact.kind == "model" else SpanKind.INTERNAL
        ids = span_of(run.id, fact.key), span_of(run.id)
        self._sender.on_end(self._span(name, context, *ids, kind, _about_step(run.id, fact), fact.instants, fact.fault))

    def run_ended(self, run: Run, traceparent: str | None) -> None:
        context = context_of(run.id, traceparent)
        waiting: Sequence[StepFact] = self._waiting.pop((run.tenant, run.id), ())
        finished_at = run.finished_at or run.created_at
        is_slow = finished_at - run.created_at >= self._slow * 1e6
        if not (self._is_recorded(context) or is_slow or run.status == "failed"):
            return
        for fact in waiting:
            self._send_step(run, context, fact)
        if not self._has_place():
            return
        name = f"invoke_agent {run.agent}"
        instants = (run.created_at, finished_at)
        kind = SpanKind.SERVER if run.parent is None else SpanKind.INTERNAL
        fault = None if run.error is None or run.status == "succeeded" else code_of(run.error)
        self._sender.on_end(
            self._span(name, context, span_of(run.id), context.above, kind, _about_run(run), instants, fault)
        )

    def _is_recorded(self, context: TraceContext) -> bool:
        return context.is_sampled or is_drawn(context.trace, self._share)

    def _span(
        self,
        name: str,
        context: TraceContext,
        id: int,
        above: int | None,
        kind: SpanKind,
        attributes: dict[str, Any],
        instants: tuple[int, int],
        fault: str | None,
    ) -> ReadableSpan:
        status = Status(StatusCode.UNSET)
        if fault is not None:
            attributes["error.type"] = fault
            status = Status(StatusCode.ERROR, attributes["error.type"])
        return ReadableSpan(
            name=name,
            context=SpanContext(context.trace, id, is_remote=False, trace_flags=FLAGS),
            parent=None if above is None else SpanContext(context.trace, above, is_remote=True, trace_flags=FLAGS),
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            status=status,
            start_time=instants[0] * 1000,
            end_time=instants[1] * 1000,
            instrumentation_scope=SCOPE,
        )


def _about_run(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": run.agent,
        "gen_ai.agent.version": run.release,
        "pilothouse.run": run.id,
        "pilothouse.tenant": run.tenant,
        "pilothouse.mode": run.mode,
        "pilothouse.status": run.status,
        "pilothouse.attempts": run.attempt,
    }
    if run.session is not None:
        found["gen_ai.conversation.id"] = run.session
    return found | _used(run.usage)


def _about_step(run: str, fact: StepFact) -> dict[str, Any]:
    found: dict[str, Any] = {
        "pilothouse.run": run,
        "pilothouse.step": fact.key,
        "pilothouse.step.kind": fact.kind,
        "pilothouse.attempt": fact.attempt,
        "pilothouse.tries": fact.tries,
    }
    operation = OPERATIONS.get(fact.kind)
    if operation is not None:
        found["gen_ai.operation.name"] = operation
    if fact.kind == "tool":
        found["gen_ai.tool.name"] = fact.name
    return found | fact.used


def _used(usage: bytes | None) -> dict[str, Any]:
    if usage is None:
        return {}
    try:
        used = _read_usage(usage)
    except msgspec.MsgspecError:  # a host wrote it
        return {}
    found: dict[str, Any] = {}
    if used.input_tokens or used.output_tokens:
        found["gen_ai.usage.input_tokens"] = used.input_tokens
        found["gen_ai.usage.output_tokens"] = used.output_tokens
    if used.cost_usd:
        found["pilothouse.cost_usd"] = used.cost_usd
    return found
