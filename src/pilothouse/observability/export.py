"""What `pilothouse alerts export` and `dashboards export` write: {path: text}, made from the objectives that are set.

The texts are the same for the same settings, so that they can be kept in a repository and compared.
"""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from pilothouse.domain.objective import Objectives
from pilothouse.observability.dashboard import DASHBOARDS
from pilothouse.observability.objective import RUNBOOKS, alertmanager_config, prometheus_rules

HEAD = "# Made by `pilothouse alerts export`; a change here is overwritten by the next one.\n"
SCRAPE = """\
# One job for all nodes: the rules and dashboards look for job="pilothouse".
scrape_configs:
  - job_name: pilothouse
    scrape_interval: 15s
    static_configs:
      - targets: ["127.0.0.1:8700"]
"""


def alert_files(agents: Mapping[str, Objectives], webhook: str, runbooks: str = RUNBOOKS) -> dict[str, str]:
    return {
        "pilothouse-rules.yml": HEAD + _yaml(prometheus_rules(agents, runbooks)),
        "alertmanager.yml": HEAD + _yaml(alertmanager_config(webhook)),
        "scrape.yml": SCRAPE,
    }


def dashboard_files() -> dict[str, str]:
    return {name: json.dumps(make(), indent=1) + "\n" for name, make in DASHBOARDS.items()}


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, so that an expression reads as it was meant."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(value: dict[str, Any]) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1_000_000, allow_unicode=True)
