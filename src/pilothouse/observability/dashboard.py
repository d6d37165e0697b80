"""Grafana dashboards as plain values: what an operator looks at first, made from the metrics of this room.

One dashboard answers the questions of the person on call in their order: is anything wrong, for whom, since when, and
is it us or what we call. `pilothouse dashboards export` writes them, `deploy/grafana` has them as files, and a test
asks promtool about every expression. The format is Grafana's dashboard JSON model (schema version 39).
"""

from typing import Any

from msgspec import Struct

SCHEMA = 39
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH = 24
Panel = dict[str, Any]


class Query(Struct, frozen=True):
    expr: str
    legend: str = ""


def rate(metric: str, by: str, where: str = "") -> str:
    return f'sum by ({by}) (rate({metric}{{job="pilothouse",agent=~"$agent"{where}}}[$__rate_interval]))'


def plain_rate(metric: str, by: str) -> str:
    return f'sum by ({by}) (rate({metric}{{job="pilothouse"}}[$__rate_interval]))'


def quantile(share: float, metric: str) -> str:
    return f"histogram_quantile({share:g}, {rate(f'{metric}_bucket', 'le')})"


def three(metric: str) -> tuple[Query, ...]:
    return tuple(Query(quantile(share, metric), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99))


ENDED = "pilothouse_runs_ended_total"
IS_FAILED = ',status="failed"'
FAILED = f"sum({rate(ENDED, 'agent', IS_FAILED)}) / sum({rate(ENDED, 'agent')})"

ROWS: tuple[tuple[str, tuple[tuple[str, str, str, tuple[Query, ...]], ...]], ...] = (
    (
        "Is anything wrong?",
        (
            ("stat", "Runs a second", "reqps", (Query(f"sum({rate('pilothouse_runs_started_total', 'agent')})"),)),
            ("stat", "Failed", "percentunit", (Query(FAILED),)),
            ("stat", "Waiting to start", "short",
             (Query('sum(pilothouse_queue_runs{job="pilothouse",state="ready"})'),)),
            ("stat", "Nodes", "short", (Query('count(up{job="pilothouse"} == 1)'),)),
            ("stat", "Cost in 24 hours", "currencyUSD",
             (Query('sum(increase(pilothouse_cost_usd_total{job="pilothouse",agent=~"$agent"}[1d]))'),)),
        ),
    ),
    (
        "For whom?",
        (
            ("timeseries", "Runs started, by agent", "reqps",
             (Query(rate("pilothouse_runs_started_total", "agent"), "{{agent}}"),)),
            ("timeseries", "Runs that failed, by agent", "reqps",
             (Query(rate(ENDED, "agent", IS_FAILED), "{{agent}}"),)),
            ("timeseries", "Objectives: share that misses, 1 h", "percentunit",
             (Query('pilothouse:objective_missed:ratio_rate1h{agent=~"$agent"}', "{{agent}} {{objective}}"),)),
        ),
    ),
    (
        "How long does it take?",
        (
            ("timeseries", "Run, creation to end", "s", three("pilothouse_run_duration_seconds")),
            ("timeseries", "Creation to first output", "s", three("pilothouse_run_first_output_seconds")),
            ("timeseries", "Wait for a worker", "s", three("pilothouse_run_wait_seconds")),
        ),
    ),
    (
        "Is it what we call?",
        (
            ("timeseries", "Steps, by kind and end", "ops",
             (Query(rate("pilothouse_steps_ended_total", "kind, status"), "{{kind}} {{status}}"),)),
            ("timeseries", "Model call (p95)", "s",
             (Query('histogram_quantile(0.95, sum by (le) (rate(pilothouse_step_duration_seconds_bucket'
                    '{job="pilothouse",kind="model"}[$__rate_interval])))', "model"),
              Query('histogram_quantile(0.95, sum by (le) (rate(pilothouse_step_duration_seconds_bucket'
                    '{job="pilothouse",kind="tool"}[$__rate_interval])))', "tool"))),
            ("timeseries", "Tokens", "ops",
             (Query(rate("pilothouse_tokens_total", "agent, direction"), "{{agent}} {{direction}}"),)),
        ),
    ),
    (
        "Is it us?",
        (
            ("timeseries", "Requests, by status", "reqps",
             (Query(plain_rate("pilothouse_http_requests_total", "status"), "{{status}}"),)),
            ("timeseries", "Runs that have not ended", "short",
             (Query('sum by (state) (pilothouse_queue_runs{job="pilothouse"})', "{{state}}"),)),
            ("timeseries", "Commit (p99)", "s",
             (Query('histogram_quantile(0.99, sum by (le, instance) (rate(pilothouse_commit_duration_seconds_bucket'
                    '{job="pilothouse"}[$__rate_interval])))', "{{instance}}"),)),
            ("timeseries", "Memory", "bytes",
             (Query('process_resident_memory_bytes{job="pilothouse"}', "node {{instance}}"),
              Query('pilothouse_host_memory_bytes{job="pilothouse"}', "host {{instance}}/{{host}}"))),
            ("timeseries", "Lost hosts and takeovers", "short",
             (Query('increase(pilothouse_hosts_lost_total{job="pilothouse"}[$__rate_interval])', "lost {{instance}}"),
              Query('increase(pilothouse_leases_taken_over_total{job="pilothouse"}[$__rate_interval])',
                    "taken over {{instance}}"))),
            ("timeseries", "Open streams", "short",
             (Query('sum by (instance) (pilothouse_http_streams{job="pilothouse"})', "{{instance}}"),)),
        ),
    ),
)  # fmt: skip


def overview() -> dict[str, Any]:
    """The dashboard `Pilothouse`, for import or provisioning."""
    return {
        "uid": "pilothouse-overview",
        "title": "Pilothouse",
        "tags": ["pilothouse"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source(), _agents()]},
        "annotations": {"list": []},
        "panels": _panels(),
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}


def _agents() -> dict[str, Any]:
    query = 'label_values(pilothouse_runs_started_total{job="pilothouse"}, agent)'
    return {
        "name": "agent",
        "label": "Agent",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "agents"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> list[Panel]:
    found: list[Panel] = []
    y = 0
    for title, panels in ROWS:
        found.append({"id": len(found) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                      "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})  # fmt: skip
        y += 1
        across = len(panels) if len(panels) <= 5 else 3
        width, height = WIDTH // across, 4 if panels[0][0] == "stat" else 8
        for at, (kind, name, unit, queries) in enumerate(panels):
            place = {"x": at % across * width, "y": y + at // across * height, "w": width, "h": height}
            found.append(_panel(len(found) + 1, kind, name, unit, queries, place))
        y += -(-len(panels) // across) * height
    return found


def _panel(id: int, kind: str, name: str, unit: str, queries: tuple[Query, ...], place: dict[str, int]) -> Panel:
    return {
        "id": id,
        "type": kind,
        "title": name,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend}
            for at, query in enumerate(queries)
        ],
    }


DASHBOARDS = {"pilothouse.json": overview}
