"""Grafana dashboards as plain values, made from the metrics of this room.

One that answers the questions of the person on call in their order (is anything wrong, for whom, since when, is it us
or what we call), and three that go deeper where it leads (`dashboard_rows`). `pilothouse dashboards export` writes
them, `deploy/grafana` has them as files, and a test asks promtool about every expression. The format is Grafana's
dashboard JSON model (schema version 39).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from pilothouse.observability.dashboard_rows import CLUSTER, OVERSIGHT, OVERVIEW, WORLD, Query, Rows

SCHEMA = 39
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH = 24
Panel = dict[str, Any]


def make(uid: str, title: str, rows: Rows) -> dict[str, Any]:
    """A dashboard, for import or provisioning; each has links to the others."""
    return {
        "uid": f"pilothouse-{uid}",
        "title": title,
        "tags": ["pilothouse"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source(), _agents()]},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["pilothouse"], "title": "Pilothouse", "keepTime": True,
                   "includeVars": True, "asDropdown": True}],
        "panels": _panels(rows),
    }  # fmt: skip


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


def _panels(rows: Rows) -> list[Panel]:
    found: list[Panel] = []
    y = 0
    for title, panels in rows:
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


DASHBOARDS: dict[str, Callable[[], dict[str, Any]]] = {
    "pilothouse.json": partial(make, "overview", "Pilothouse", OVERVIEW),
    "pilothouse-world.json": partial(make, "world", "Pilothouse: requests, deliveries, model providers", WORLD),
    "pilothouse-oversight.json": partial(make, "oversight", "Pilothouse: reviews, decisions, holds", OVERSIGHT),
    "pilothouse-cluster.json": partial(make, "cluster", "Pilothouse: nodes, queue, records", CLUSTER),
}
