"""The metrics: bounded labels, honest numbers, and each one explained."""

import re
from pathlib import Path

from pilothouse.domain.objective import Alert, Objectives
from pilothouse.domain.price import Tokens
from pilothouse.domain.provider import ProviderState
from pilothouse.domain.scale import AgentLoad, ScaleRule, scale_of
from pilothouse.observability import metric
from pilothouse.observability.metric import Metrics
from pilothouse.observability.tally import AGENTS_LIMIT

DESIGN = Path(metric.__file__).with_name("DESIGN.md").read_text()


def told_of_everything() -> Metrics:
    metrics = Metrics()
    metrics.objectives = {"echo": Objectives(ended_within_seconds=0.5, first_output_within_seconds=0.05)}
    metrics.firing = lambda: [
        Alert(agent="echo", objective="usual_runs", severity="ticket", since=1, measured=0, expected=30, window=300)
    ]
    metrics.request_ended("/v1/runs", 200, 0.02)
    metrics.stream_opened()
    metrics.run_started("echo", 0.002)
    metrics.run_spoke("echo", 0.1)
    metrics.run_ended("echo", "succeeded", 0.3, b'{"input_tokens":7,"output_tokens":5,"model_calls":1,"cost_usd":0.25}')
    metrics.step_ended("echo", "model", "succeeded", 0.2)
    metrics.leases_taken_over(2)
    for count in (3, 0, 0):
        metrics.claimed(count)
    metrics.host_held("0", 4096)
    metrics.host_lost()
    metrics.reviews_counted({"echo": (2, 61.5)})
    metrics.audited(b'{"at":"2026-01-01T00:00:00Z","kind":"action.denied","id":"x"}')
    metrics.delivery_tried("again", "pending")
    metrics.queue_counted(1, 2, 3, 4)
    metrics.spans = lambda: {"sent": 5}
    metrics.committed(20, 0.004)
    state = ProviderState("openai", "m", "open", 3.0, 1, 2, {"ok": 3}, Tokens(7, 5), 0.5, None)
    metrics.providers = lambda: ([state], {"limit_reached": 1})
    desk = AgentLoad(agent="echo", ready=3, running=2, oldest_wait=1.5, places=4, run_seconds=None)
    metrics.scale = lambda: scale_of((desk,), 2, 8, ScaleRule())
    return metrics


def families(metrics: Metrics) -> dict[str, str]:
    """Name -> type of each metric of ours on the page."""
    return dict(re.findall(r"^# TYPE (pilothouse_\w+) (\w+)$", metrics.render().decode(), re.MULTILINE))


def test_every_metric_is_explained_and_every_explained_metric_is_there():
    explained = dict(re.findall(r"^\| `(pilothouse_\w+)` \| (\w+) \|", DESIGN, re.MULTILINE))
    assert families(told_of_everything()) == explained


def test_the_labels_are_those_that_are_explained():
    page = told_of_everything().render().decode()
    for name, labels in re.findall(r"^\| `(pilothouse_\w+)` \| \w+ \| ([^|]*)\|", DESIGN, re.MULTILINE):
        sample = re.search(rf"^{name}(?:_bucket|_sum)?(?:{{(.*)}})? ", page, re.MULTILINE)
        assert sample is not None, name
        found = set(re.findall(r"(\w+)=", sample[1] or "")) - {"le"}
        assert found == set(re.findall(r"`(\w+)`", labels)), name


def test_numbers_add_up():
    metrics = told_of_everything()
    metrics.request_ended("/v1/runs", 200, 100.0)
    metrics.request_ended("/v1/runs", 404, 0.001)
    metrics.stream_closed()
    page = metrics.render().decode()
    assert 'pilothouse_http_requests_total{route="/v1/runs",status="200"} 2.0' in page
    assert 'pilothouse_http_requests_total{route="/v1/runs",status="404"} 1.0' in page
    assert 'pilothouse_http_request_duration_seconds_bucket{le="0.001",route="/v1/runs"} 1.0' in page
    assert 'pilothouse_http_request_duration_seconds_bucket{le="0.025",route="/v1/runs"} 2.0' in page
    assert 'pilothouse_http_request_duration_seconds_bucket{le="+Inf",route="/v1/runs"} 3.0' in page
    assert 'pilothouse_http_request_duration_seconds_count{route="/v1/runs"} 3.0' in page
    assert "pilothouse_http_streams 0.0" in page
    assert 'pilothouse_queue_runs{state="held"} 2.0' in page
    assert 'pilothouse_run_wait_seconds_bucket{agent="echo",le="0.0025"} 1.0' in page
    assert 'pilothouse_steps_ended_total{agent="echo",kind="model",status="succeeded"} 1.0' in page
    assert 'pilothouse_tokens_total{agent="echo",direction="input"} 7.0' in page
    assert 'pilothouse_cost_usd_total{agent="echo"} 0.25' in page
    assert "pilothouse_leases_taken_over_total 2.0" in page
    assert 'pilothouse_claims_total{found="runs"} 1.0' in page
    assert 'pilothouse_claims_total{found="nothing"} 2.0' in page
    metrics.host_held("0", 0)
    assert 'host="0"' not in metrics.render().decode()
    assert 'pilothouse_commit_changes_bucket{le="32.0"} 1.0' in page


def test_an_objective_counts_who_met_it_and_leaves_out_who_was_cancelled():
    metrics = told_of_everything()
    for status, seconds in (("succeeded", 0.5), ("succeeded", 0.6), ("failed", 0.1), ("cancelled", 0.1)):
        metrics.run_ended("echo", status, seconds, None)
    metrics.run_ended("other", "failed", 9.0, None)
    page = metrics.render().decode()
    assert 'pilothouse_objective_runs_total{agent="echo",objective="ended"} 4.0' in page
    assert 'pilothouse_objective_missed_total{agent="echo",objective="ended"} 2.0' in page
    assert 'pilothouse_objective_missed_total{agent="echo",objective="first_output"} 1.0' in page
    assert 'objective_runs_total{agent="other"' not in page


def test_usage_that_cannot_be_read_is_left_out_and_stops_nobody():
    metrics = told_of_everything()
    metrics.run_ended("echo", "succeeded", 0.3, b'{"input_tokens":"many"}')
    assert 'pilothouse_runs_ended_total{agent="echo",status="succeeded"} 2.0' in metrics.render().decode()
    assert 'pilothouse_tokens_total{agent="echo",direction="input"} 7.0' in metrics.render().decode()


def test_more_agents_than_the_limit_are_counted_together():
    metrics = Metrics()
    for number in range(AGENTS_LIMIT + 50):
        metrics.run_started(f"agent{number}", 0.0)
        metrics.run_ended(f"agent{number}", "failed", 1.0, None)
    page = metrics.render().decode()
    assert page.count("pilothouse_runs_started_total{") == AGENTS_LIMIT + 1
    assert 'pilothouse_runs_started_total{agent="other"} 50.0' in page
    assert 'pilothouse_runs_ended_total{agent="other",status="failed"} 50.0' in page


def test_an_agent_that_was_known_in_time_keeps_its_name():
    metrics = Metrics()
    metrics.run_started("first", 0.0)
    for number in range(AGENTS_LIMIT + 10):
        metrics.run_started(f"agent{number}", 0.0)
    metrics.run_started("first", 0.0)
    assert 'pilothouse_runs_started_total{agent="first"} 2.0' in metrics.render().decode()
