"""Spans at a real receiver: the tree of a run, nothing twice after a crash, and what is left out by the share."""

import json
import time

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from pilothouse.domain.journal import ENDED, StepRow
from pilothouse.domain.run import Run
from pilothouse.observability.collector import BATCH, QUEUE, place_of
from pilothouse.observability.trace import WAITING_RUNS, WAITING_SPANS, OtlpTracer
from tests.cli.served import serve
from tests.observability.collector import Collector, attributes

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
AT = 1_800_000_000_000_000

AGENTS = """
import os
from pathlib import Path
from pilothouse import Context, agent, tool

def think(text: str) -> str:
    return text.upper()

@tool(risk="read")
async def look(text: str) -> str:
    return f"saw {text}"

@tool(risk="read")
async def fall(text: str) -> str:
    if not Path("fell").exists():
        Path("fell").write_text("")
        os._exit(9)
    return "up again"

@agent(mode="event")
async def below(ctx: Context, text: str) -> str:
    return await ctx.step(think, text)

@agent(mode="event")
async def above(ctx: Context, text: str) -> str:
    await ctx.step(think, text)
    await ctx.call_tool(look, text=text)
    await ctx.call_tool(fall, text=text)
    return await ctx.call("below", text)

@agent
async def broken(ctx: Context, text: str) -> str:
    raise ValueError("no")

@agent(mode="event")
async def patient(ctx: Context, text: str) -> str:
    await ctx.step(think, text)
    return await ctx.signal("go")

@agent
async def fine(ctx: Context, text: str) -> str:
    return await ctx.step(think, text)
"""


@pytest.fixture
def collector():
    one = Collector()
    yield one
    one.close()


def run_of(id="run_a", status="succeeded", seconds=1.0, **more):
    return Run(tenant="default", id=id, agent="desk", release="r1", mode="event", status=status, epoch=1,
               created_at=AT, finished_at=AT + round(seconds * 1e6), **more)  # fmt: skip


def step_of(key, kind="model", **more):
    return StepRow(key, kind, "gpt", ENDED, "succeeded", started_at=AT, finished_at=AT + 500_000, **more)


def tracer_to(url, share, slow_seconds, environ=(), **more):
    return OtlpTracer(place_of(url, "pilothouse", dict(environ)), share, slow_seconds, **more)


def sent(tracer, collector):
    tracer.stop()
    return {span.name: span for span in collector.spans}


def test_a_step_is_below_its_run_and_says_what_it_used_and_nothing_of_what_was_said(collector):
    tracer = tracer_to(collector.url, 1.0, 30)
    run = run_of(input=b'"secret words"')
    tracer.step_ended(run, CALLER, step_of("gpt-1", usage=b'{"input_tokens":7,"output_tokens":5}', output=b'"secret"'))
    tracer.run_ended(run, CALLER)
    spans = sent(tracer, collector)
    chat, root = spans["chat gpt"], spans["invoke_agent desk"]
    assert chat.trace_id.hex() == root.trace_id.hex() == CALLER[3:35]
    assert (root.parent_span_id.hex(), chat.parent_span_id) == (CALLER[36:52], root.span_id)
    assert attributes(chat)["gen_ai.usage.input_tokens"] == 7
    assert attributes(chat)["gen_ai.operation.name"] == "chat"
    assert (chat.start_time_unix_nano, chat.end_time_unix_nano) == (AT * 1000, AT * 1000 + 500_000_000)
    assert b"secret" not in b"".join(span.SerializeToString() for span in collector.spans)
    assert collector.paths == {"/v1/traces"}


@pytest.mark.parametrize(
    ("run", "kept"),
    [(run_of(), False), (run_of(status="failed", error=b'{"code":"agent_failed"}'), True), (run_of(seconds=31), True)],
    ids=["fine", "failed", "slow"],
)
def test_outside_of_the_share_only_what_failed_or_was_slow_is_recorded_with_its_steps(collector, run, kept):
    tracer = tracer_to(collector.url, 0.0, 30)
    tracer.step_ended(run, None, step_of("gpt-1"))
    tracer.run_ended(run, None)
    assert set(sent(tracer, collector)) == ({"chat gpt", "invoke_agent desk"} if kept else set())


def test_spans_that_wait_are_bounded(collector):
    tracer = tracer_to(collector.url, 0.0, 30)
    for number in range(WAITING_RUNS + 10):
        for step in range(3):
            tracer.step_ended(run_of(f"run_{number}"), None, step_of(f"s-{step}"))
    for step in range(WAITING_SPANS + 50):
        tracer.step_ended(run_of("run_long"), None, step_of(f"s-{step}"))
    assert len(tracer._waiting) == WAITING_RUNS
    assert len(tracer._waiting["default", "run_long"]) == WAITING_SPANS
    tracer.stop()


def test_a_span_says_what_its_run_was_in_the_words_of_the_conventions(collector):
    """Read with the classes that are generated from OpenTelemetry's files: what is written here by hand is what they
    describe, also where a value is longer than one byte can say, or is no ASCII."""
    tracer = tracer_to(collector.url, 1.0, 30)
    usage = b'{"input_tokens":300,"output_tokens":70000,"cost_usd":0.25}'
    run = run_of("run_long", status="failed", error=b'{"code":"agent_failed"}', session="Zoë " * 60, usage=usage)
    tracer.step_ended(run, None, step_of("look-" + "x" * 300, kind="tool", tries=1000, error=b'{"code":"step_failed"}'))
    tracer.run_ended(run, None)
    spans = sent(tracer, collector)
    root, step = spans["invoke_agent desk"], spans["execute_tool gpt"]
    assert attributes(root) == {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "desk", "gen_ai.agent.version": "r1",
        "gen_ai.conversation.id": "Zoë " * 60, "gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 70000,
        "pilothouse.run": "run_long", "pilothouse.tenant": "default", "pilothouse.mode": "event",
        "pilothouse.status": "failed", "pilothouse.attempts": 1, "pilothouse.cost_usd": 0.25,
        "error.type": "agent_failed",
    }  # fmt: skip
    assert attributes(step) == {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "gpt", "pilothouse.run": "run_long",
        "pilothouse.step": "look-" + "x" * 300, "pilothouse.step.kind": "tool", "pilothouse.attempt": 1,
        "pilothouse.tries": 1000, "error.type": "step_failed",
    }  # fmt: skip
    assert (root.kind, step.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_INTERNAL)
    assert root.status.code == step.status.code == Status.STATUS_CODE_ERROR
    assert (root.parent_span_id, step.parent_span_id) == (b"", root.span_id)
    assert (root.flags, step.flags) == (0x100, 0x300)
    assert attributes(collector.resources[0]) == {"service.name": "pilothouse"}


def test_what_opentelemetrys_variables_say_is_sent_along(collector):
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc, x-scope=desk,nonsense",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    tracer = tracer_to(collector.url, 1.0, 30, environ)
    tracer.run_ended(run_of(), None)
    assert set(sent(tracer, collector)) == {"invoke_agent desk"}
    headers = collector.headers[0]
    assert (headers["Authorization"], headers["X-Scope"]) == ("Basic abc", "desk")
    assert headers["Content-Encoding"] == "gzip"
    assert attributes(collector.resources[0])["deployment.environment.name"] == "test"


def test_a_receiver_that_sends_elsewhere_has_taken_nothing(collector):
    """A POST that follows a redirect arrives as a GET, and would be answered with a page."""
    tracer = tracer_to(collector.url, 1.0, 30)
    collector.status = 302
    tracer.run_ended(run_of(), None)
    tracer.stop()
    assert tracer.spans() == {"sent": 0, "failed": 1, "dropped": 0}


@pytest.mark.slow
def test_what_a_receiver_cannot_take_now_is_sent_again(collector):
    collector.status = 503
    collector.mends_after = 1
    tracer = tracer_to(collector.url, 1.0, 30, within=60, stop_within=60)
    tracer.run_ended(run_of(), None)
    assert tracer.collector.flush()
    tracer.stop()
    assert tracer.spans() == {"sent": 1, "failed": 0, "dropped": 0}
    assert collector.requests == 2


def test_a_fact_that_cannot_be_written_takes_no_other_down(collector):
    tracer = tracer_to(collector.url, 1.0, 30)
    tracer.step_ended(run_of(), None, step_of("gpt-\ud800"))
    tracer.run_ended(run_of(), None)
    tracer.stop()
    assert tracer.spans() == {"sent": 1, "failed": 1, "dropped": 0}


def test_a_receiver_that_is_gone_costs_spans_and_nothing_else():
    collector = Collector()
    url = collector.url
    collector.close()
    tracer = tracer_to(url, 1.0, 30, within=0.2)
    tracer.step_ended(run_of(), None, step_of("gpt-1"))
    tracer.run_ended(run_of(), None)
    tracer.stop()
    assert tracer.spans() == {"sent": 0, "failed": 2, "dropped": 0}


@pytest.mark.slow
def test_of_more_spans_than_a_slow_receiver_takes_the_newest_are_dropped_and_each_is_counted(collector):
    """A hang of the receiver holds up nobody who tells of a step; what waited is sent when it goes on."""
    collector.goes_on.clear()
    tracer = tracer_to(collector.url, 1.0, 30, within=60, stop_within=60)
    for number in range(QUEUE + 100):
        tracer.step_ended(run_of(), None, step_of(f"gpt-{number}"))
    assert tracer.spans() == {"sent": 0, "failed": 0, "dropped": 100}
    collector.goes_on.set()
    assert tracer.collector.flush()
    tracer.stop()
    assert tracer.spans() == {"sent": QUEUE, "failed": 0, "dropped": 100}
    assert len(collector.spans) == QUEUE
    told = {attributes(span)["pilothouse.step"] for span in collector.spans}
    assert told == {f"gpt-{number}" for number in range(QUEUE)}


def test_what_a_receiver_refuses_is_counted_and_what_comes_after_it_is_sent(collector):
    tracer = tracer_to(collector.url, 1.0, 30)
    collector.status = 400
    tracer.step_ended(run_of(), None, step_of("gpt-1"))
    assert tracer.collector.flush()
    assert tracer.spans() == {"sent": 0, "failed": 1, "dropped": 0}
    collector.status = 200
    tracer.step_ended(run_of(), None, step_of("gpt-2"))
    tracer.stop()
    assert tracer.spans() == {"sent": 1, "failed": 1, "dropped": 0}
    assert [attributes(span)["pilothouse.step"] for span in collector.spans] == ["gpt-2"]


@pytest.mark.slow
def test_a_node_that_stops_waits_for_one_request_to_a_receiver_that_hangs_and_not_for_all(collector):
    collector.goes_on.clear()
    tracer = tracer_to(collector.url, 1.0, 30, within=4, stop_within=0.05)
    for number in range(QUEUE):
        tracer.step_ended(run_of(), None, step_of(f"gpt-{number}"))
    assert collector.asked.wait(60)
    tracer.stop()
    assert tracer.spans()["sent"] == 0
    assert collector.requests < QUEUE // BATCH, "not one for each batch"


@pytest.mark.slow
def test_a_run_with_a_sub_run_is_one_tree_and_a_crash_repeats_no_span(tmp_path, collector):
    (tmp_path / "traced.py").write_text(AGENTS)
    names = ("above", "below", "broken", "fine")
    lines = [f'[agents.{name}]\ntarget = "traced:{name}"' for name in names]
    head = f'[server]\nport = 0\n[traces]\nendpoint = "{collector.url}"\nshare = 0'
    (tmp_path / "pilothouse.toml").write_text("\n".join([head, *lines]))
    with serve(tmp_path) as url, httpx2.Client(base_url=url, timeout=60) as client:
        started = client.post("/v1/agents/above/runs", json={"input": "x"}, headers={"traceparent": CALLER}).json()
        run = client.get(f"/v1/runs/{started['id']}", params={"wait": 30}).json()
        assert (run["status"], run["attempt"]) == ("succeeded", 2)
        assert client.post("/v1/agents/broken/runs", json={"input": "x"}).json()["status"] == "failed"
        assert client.post("/v1/agents/fine/runs", json={"input": "x"}).json()["status"] == "succeeded"
    spans = {span.span_id: span for span in collector.spans}
    assert len(spans) == len(collector.spans), "a span was sent twice"
    tree = {
        (span.name, spans[span.parent_span_id].name if span.parent_span_id in spans else span.parent_span_id.hex())
        for span in collector.spans
        if span.trace_id.hex() == CALLER[3:35]
    }
    assert tree == {
        ("invoke_agent above", CALLER[36:52]),
        ("step think", "invoke_agent above"),
        ("execute_tool look", "invoke_agent above"),
        ("execute_tool fall", "invoke_agent above"),
        ("invoke_agent below", "invoke_agent above"),
        ("step think", "invoke_agent below"),
    }
    rest = [span for span in collector.spans if span.trace_id.hex() != CALLER[3:35]]
    assert [span.name for span in rest] == ["invoke_agent broken"], "what went well is not in a share of nothing"
    assert attributes(rest[0])["error.type"] == "agent_failed"


def wait_counted(client, ends):
    """The page of metrics once so many runs have ended: an end is counted a moment after it can be read."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        page = client.get("/metrics").text
        counts = [line for line in page.splitlines() if line.startswith("pilothouse_runs_ended_total{")]
        if sum(float(line.rpartition(" ")[2]) for line in counts) >= ends:
            return page
        time.sleep(0.05)
    raise AssertionError(page)


@pytest.mark.slow
def test_a_run_that_nobodys_attempt_ended_has_a_span_is_counted_and_logged(tmp_path, collector):
    (tmp_path / "traced.py").write_text(AGENTS)
    head = f'[server]\nport = 0\n[worker]\npark_after_seconds = 0\n[traces]\nendpoint = "{collector.url}"'
    log = '[log]\nformat = "json"'
    (tmp_path / "pilothouse.toml").write_text("\n".join([head, log, '[agents.patient]\ntarget = "traced:patient"']))

    def begin(**more):
        answer = client.post("/v1/agents/patient/runs", json={"input": "x", **more}, headers={"traceparent": CALLER})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    with serve(tmp_path) as url, httpx2.Client(base_url=url, timeout=60) as client:
        queued, waiting, late = begin(delay_seconds=600), begin(), begin(delay_seconds=600, deadline_seconds=1)
        with client.stream("GET", f"/v1/runs/{waiting}/events", headers={"Accept": "text/event-stream"}) as events:
            assert any(line == "event: run.waiting" for line in events.iter_lines())
        for run in (queued, waiting):
            client.post(f"/v1/runs/{run}/cancel")
        ends = {run: client.get(f"/v1/runs/{run}", params={"wait": 30}).json() for run in (queued, waiting, late)}
        page = wait_counted(client, 3)
    assert [ends[run]["status"] for run in (queued, waiting, late)] == ["cancelled", "cancelled", "failed"]
    roots = {
        attributes(span)["pilothouse.run"]: span for span in collector.spans if span.name == "invoke_agent patient"
    }
    assert {id: attributes(span)["error.type"] for id, span in roots.items()} == {
        queued: "cancelled", waiting: "cancelled", late: "deadline_exceeded",
    }  # fmt: skip
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in roots.values()} == {
        (CALLER[3:35], CALLER[36:52])
    }
    steps = [span for span in collector.spans if span.name == "step think"]
    assert [span.parent_span_id for span in steps] == [roots[waiting].span_id]
    assert 'pilothouse_runs_ended_total{agent="patient",status="cancelled"} 2.0' in page
    assert 'pilothouse_runs_ended_total{agent="patient",status="failed"} 1.0' in page
    logged = [json.loads(line) for line in (tmp_path / "serve.log").read_text().splitlines() if line.startswith("{")]
    told = {one["run"]: (one["level"], one["message"], one["error"], one["trace"]) for one in logged if "error" in one}
    assert told == {
        queued: ("info", "the run was cancelled", "cancelled", CALLER[3:35]),
        waiting: ("info", "the run was cancelled", "cancelled", CALLER[3:35]),
        late: ("warning", "the run failed", "deadline_exceeded", CALLER[3:35]),
    }
