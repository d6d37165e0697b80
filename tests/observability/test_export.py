"""The exported rules and dashboards: promtool accepts every expression, and the rules fire when they should.

promtool, prometheus and alertmanager come from Debian (`prometheus`, `prometheus-alertmanager`); where they are missing
these tests say so and are left out, and .ci/run installs them.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pilothouse.domain.objective import Objectives
from pilothouse.observability import dashboard
from pilothouse.observability.export import alert_files, dashboard_files
from pilothouse.observability.objective import prometheus_rules, span
from tests.observability.test_metric import families, told_of_everything

ROOT = Path(__file__).parents[2]
AGENTS = {
    "desk": Objectives(share=0.99, ended_within_seconds=30, first_output_within_seconds=2, cost_usd_a_day=50),
    "audit": Objectives(share=0.9),
}
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: apt install prometheus"
)


def promtool(*arguments):
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)


def expressions():
    rules = [rule["expr"] for group in prometheus_rules(AGENTS)["groups"] for rule in group["rules"]]
    boards = [make() for make in dashboard.DASHBOARDS.values()]
    panels = [target["expr"] for one in boards for panel in one["panels"] for target in panel.get("targets", [])]
    return rules + [one.replace("$__rate_interval", "5m").replace("$agent", ".*") for one in panels]


@needs_promtool
def test_promtool_accepts_the_rules_and_every_expression_of_a_dashboard(tmp_path):
    (tmp_path / "rules.yml").write_text(alert_files(AGENTS, "http://127.0.0.1:1/x")["pilothouse-rules.yml"])
    shown = {"groups": [{"name": "all", "rules": [
        {"record": f"shown:{at}", "expr": expr} for at, expr in enumerate(expressions())]}]}  # fmt: skip
    (tmp_path / "shown.yml").write_text(json.dumps(shown))
    for name in ("rules.yml", "shown.yml"):
        checked = promtool("check", "rules", str(tmp_path / name))
        assert checked.returncode == 0, checked.stderr


def test_every_metric_that_is_asked_for_exists():
    there = set(families(told_of_everything()))
    for expression in expressions():
        for name in re.findall(r"\b(pilothouse_\w+)", expression):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in there, name


def series(metric, agent, values, objective="ended", node="a"):
    labels = f'agent="{agent}",objective="{objective}",job="pilothouse",instance="{node}"'
    return {"series": f"{metric}{{{labels}}}", "values": values}


def outage(agent):
    """Ten runs a minute for twenty hours, all of which miss in the last quarter of an hour."""
    return [
        series("pilothouse_objective_runs_total", agent, "0+10x1215"),
        series("pilothouse_objective_missed_total", agent, "0+0x1200 10+10x14"),
    ]


BOTH = 'pilothouse:objective_missed:ratio_rate1h{agent="audit",objective="ended"}'
TROUBLES = ("PilothouseDeliveriesDead", "PilothouseHostsLost", "PilothouseProviderAway", "PilothouseSpansLost")


def troubles():
    """Half an hour of peace, and then a provider that is away, and spans, deliveries and hosts that are lost."""
    return [
        {"series": 'pilothouse_provider_breaker{provider="p",model="m",instance="a"}', "values": "0x30 2x40"},
        {"series": 'pilothouse_provider_breaker{provider="p",model="m",instance="b"}', "values": "0x70"},
        {"series": 'pilothouse_spans_total{outcome="failed",instance="a"}', "values": "0x30 1+9x40"},
        {"series": 'pilothouse_spans_total{outcome="sent",instance="b"}', "values": "0+9x70"},
        {"series": 'pilothouse_delivery_tries_total{verdict="again",status="dead",instance="a"}',
         "values": "0x30 1x40"},
        {"series": 'pilothouse_delivery_tries_total{verdict="again",status="pending",instance="a"}',
         "values": "0+1x70"},
        {"series": 'pilothouse_hosts_lost_total{instance="a"}', "values": "0x30 0+1x40"},
        {"series": 'pilothouse_hosts_lost_total{instance="b"}', "values": "2x70"},
    ]  # fmt: skip


@needs_promtool
def test_an_outage_pages_and_a_quiet_agent_does_not(tmp_path):
    (tmp_path / "rules.yml").write_text(alert_files(AGENTS, "http://127.0.0.1:1/x")["pilothouse-rules.yml"])
    quiet = [series("pilothouse_objective_runs_total", "audit", "0+10x1215"),
             series("pilothouse_objective_missed_total", "audit", "0+2x1215"),
             series("pilothouse_objective_runs_total", "audit", "0+30x1215", node="b"),
             series("pilothouse_objective_missed_total", "audit", "0+0x1215", node="b")]  # fmt: skip
    cases = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {"interval": "1m", "input_series": outage("desk") + quiet, "promql_expr_test": [
                {"expr": 'count(ALERTS{alertname="PilothouseObjectiveBurns",severity="page",alertstate="firing"})',
                 "eval_time": "1213m", "exp_samples": [{"labels": "{}", "value": 1}]},
                {"expr": 'count(ALERTS{severity="page"})', "eval_time": "1199m", "exp_samples": []},
                {"expr": 'count(ALERTS{agent="audit"})', "eval_time": "1213m", "exp_samples": []},
                {"expr": 'pilothouse:objective_missed:ratio_rate1h{agent="audit"}', "eval_time": "1213m",
                 "exp_samples": [{"labels": BOTH, "value": 0.05}]},  # 2 of 10 on one node, 0 of 30 on the other
            ]},
            {"interval": "1m", "input_series": troubles(), "promql_expr_test": [
                {"expr": "count by (alertname) (ALERTS{alertstate='firing'})", "eval_time": "29m", "exp_samples": []},
                {"expr": "count by (alertname) (ALERTS{alertstate='firing'})", "eval_time": "60m", "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1} for name in TROUBLES]},
            ]},
        ],
    }  # fmt: skip
    (tmp_path / "test.yml").write_text(json.dumps(cases))
    tested = promtool("test", "rules", str(tmp_path / "test.yml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_promtool
def test_the_promtool_test_can_fail(tmp_path):
    (tmp_path / "rules.yml").write_text(alert_files(AGENTS, "http://127.0.0.1:1/x")["pilothouse-rules.yml"])
    cases = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [
        {"interval": "1m", "input_series": outage("desk"), "promql_expr_test": [
            {"expr": 'count(ALERTS{severity="page"})', "eval_time": "1213m", "exp_samples": []}]}]}  # fmt: skip
    (tmp_path / "test.yml").write_text(json.dumps(cases))
    assert promtool("test", "rules", str(tmp_path / "test.yml")).returncode == 1


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is missing: apt install prometheus-alertmanager")
def test_alertmanager_accepts_its_file(tmp_path):
    path = tmp_path / "alertmanager.yml"
    path.write_text(alert_files(AGENTS, "http://127.0.0.1:9/alerts")["alertmanager.yml"])
    checked = subprocess.run(["amtool", "check-config", str(path)], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_committed_files_are_those_that_would_be_made_now():
    for folder, files in (
        ("grafana", dashboard_files()),
        ("prometheus", alert_files({}, "http://127.0.0.1:9099/alerts")),
    ):
        for name, text in files.items():
            assert (ROOT / "deploy" / folder / name).read_text() == text, (
                f"pilothouse ... export --into deploy/{folder}"
            )


def test_each_metric_is_on_a_dashboard():
    shown = " ".join(expressions())
    missing = [name for name in families(told_of_everything()) if name.startswith("pilothouse_") and name not in shown]
    assert missing == []


@pytest.mark.parametrize("name", dashboard.DASHBOARDS)
def test_a_dashboard_has_no_panel_over_another_and_each_has_a_query(name):
    panels = dashboard.DASHBOARDS[name]()["panels"]
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["targets"]
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_rules_read_back_as_they_were_made():
    text = alert_files(AGENTS, "http://127.0.0.1:1/x")["pilothouse-rules.yml"]
    assert yaml.safe_load(text) == prometheus_rules(AGENTS)


@pytest.mark.parametrize(("seconds", "said"), [(300, "5m"), (3600, "1h"), (259200, "3d"), (21600, "6h"), (15, "15s")])
def test_spans_are_written_as_prometheus_writes_them(seconds, said):
    assert span(seconds) == said
