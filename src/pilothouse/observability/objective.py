"""The rules of Prometheus for the objectives of agents and for the node itself, as plain values that become YAML.

Every alert has a severity (`page`: somebody must act now, `ticket`: this week), a sentence that says what is wrong for
whom, a `runbook` that names the next step, and a `runbook_url`: its section of docs/howto/runbooks.md.
`pilothouse alerts export` writes them; a test runs them in promtool. Which windows and rates count is
`domain.objective`; nothing here decides.
"""

from collections.abc import Mapping
from typing import Any

from pilothouse.domain.objective import BURNS, Objectives

RUNS = "pilothouse_objective_runs_total"
MISSED = "pilothouse_objective_missed_total"
RATIO = "pilothouse:objective_missed:ratio_rate"
EVERY = "30s"

WHAT = {
    "ended": "runs of {agent} that do not end well in time",
    "first_output": "runs of {agent} whose first output comes late",
}
Rule = dict[str, Any]


RUNBOOKS = "docs/howto/runbooks.md"


def prometheus_rules(agents: Mapping[str, Objectives], runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """The content of a rules file. Without objectives it holds the alerts of the node alone. `runbooks`: where that
    page is to be read."""
    groups: list[dict[str, Any]] = [{"name": "pilothouse-node", "interval": EVERY, "rules": node_alerts()}]
    if agents:
        groups.append({"name": "pilothouse-ratios", "interval": EVERY, "rules": ratios()})
        alerts = [rule for agent, objectives in sorted(agents.items()) for rule in agent_alerts(agent, objectives)]
        groups.append({"name": "pilothouse-objectives", "interval": EVERY, "rules": alerts})
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        rule["annotations"]["runbook_url"] = f"{runbooks}#{rule['alert'].lower()}"
    return {"groups": groups}


def ratios() -> list[Rule]:
    """The share that missed, for each window of the table, over all nodes."""
    windows = sorted({window for burn in BURNS for window in (burn.long, burn.short)})
    return [
        {
            "record": f"{RATIO}{span(window)}",
            "expr": f"sum by (agent, objective) (rate({MISSED}[{span(window)}]))"
            f" / (sum by (agent, objective) (rate({RUNS}[{span(window)}])) > 0)",
        }
        for window in windows
    ]


def agent_alerts(agent: str, objectives: Objectives) -> list[Rule]:
    found = [burn_alert(agent, name, objectives.share, severity) for name in objectives.names
             for severity in ("page", "ticket")]  # fmt: skip
    if objectives.cost_usd_a_day is not None:
        found.append(
            alert(
                "PilothouseCostHigh",
                f'sum(increase(pilothouse_cost_usd_total{{agent="{agent}"}}[1d])) > {objectives.cost_usd_a_day:g}',
                "0m",
                "ticket",
                f"{agent} cost {{{{ $value | printf `%.2f` }}}} USD in 24 hours; "
                f"{objectives.cost_usd_a_day:g} are planned.",
                "Look at the dearest runs of the day; set a budget for the agent, or plan more.",
                agent=agent,
            )
        )
    if objectives.review_within_seconds is not None:
        found.append(
            alert(
                "PilothouseReviewWaits",
                f'max(pilothouse_review_oldest_seconds{{agent="{agent}"}}) > {objectives.review_within_seconds:g}',
                "2m",
                "ticket",
                f"A review of {agent} has been open for {{{{ $value | humanizeDuration }}}}.",
                "`pilothouse reviews list` shows who is asked; delegate, or decide.",
                agent=agent,
            )
        )
    if objectives.anomalies:
        found.append(
            alert(
                "PilothouseUnusual",
                f'max by (agent, quantity) (pilothouse_unusual{{agent="{agent}"}}) > 0',
                "0m",
                "ticket",
                f"The {{{{ $labels.quantity }}}} of {agent} are far from usual.",
                "`pilothouse alerts` says how far; `pilothouse runs list` shows what ran since.",
                agent=agent,
            )
        )
    return found


def burn_alert(agent: str, name: str, share: float, severity: str) -> Rule:
    chosen = [burn for burn in BURNS if burn.severity == severity]
    series = f'{{agent="{agent}",objective="{name}"}}'

    def burns(window: int, rate: float) -> str:
        return f"{RATIO}{span(window)}{series} >= {rate:g} * {1 - share:.6g}"

    expr = "\nor\n".join(
        f"({burns(burn.long, burn.rate)} and {burns(burn.short, burn.rate)})" for burn in chosen
    )  # fmt: skip
    what = WHAT[name].format(agent=agent)
    return alert(
        "PilothouseObjectiveBurns",
        expr,
        "0m",
        severity,
        f"Too many {what}: {{{{ $value | humanizePercentage }}}} miss, {1 - share:.4g} of all may.",
        "`pilothouse runs list --status failed` shows what failed, `pilothouse doctor` what is wrong with the node.",
        agent=agent,
        objective=name,
    )


def node_alerts() -> list[Rule]:
    return [
        alert("PilothouseNodeDown", 'up{job="pilothouse"} == 0', "1m", "page",
              "The node {{ $labels.instance }} does not answer.",
              "Look at its supervisor and its log; runs that it held go on elsewhere, or when it is back."),
        alert("PilothouseRefuses",
              'sum(rate(pilothouse_http_requests_total{status=~"429|503"}[5m]))'
              " / sum(rate(pilothouse_http_requests_total[5m])) > 0.05", "5m", "page",
              "{{ $value | humanizePercentage }} of the requests are refused for overload.",
              "Add workers, or raise `limits.queue` and `worker.slots` when there is memory left."),
        alert("PilothouseFaults",
              'sum(rate(pilothouse_http_requests_total{status="500"}[5m])) > 0', "5m", "page",
              "Requests end with a fault of the node.", "The log has the traceback with the request's id."),
        alert("PilothouseQueueWaits",
              "histogram_quantile(0.95, sum by (le, agent) (rate(pilothouse_run_wait_seconds_bucket[10m]))) > 60",
              "10m", "ticket", "Runs of {{ $labels.agent }} wait {{ $value | humanizeDuration }} for a worker (p95).",
              "Add workers, or raise the agent's `concurrency`."),
        alert("PilothouseHostsLost", "increase(pilothouse_hosts_lost_total[15m]) > 3", "0m", "page",
              "Host processes of {{ $labels.instance }} end again and again.",
              "`pilothouse runs list --status failed` names `host_lost` runs; the log has what the host said last."),
        alert("PilothouseCommitsSlow",
              "histogram_quantile(0.99, sum by (le, instance) (rate(pilothouse_commit_duration_seconds_bucket[5m])))"
              " > 0.5", "10m", "ticket", "One commit takes {{ $value | humanizeDuration }} (p99).",
              "Look at the disk or the database of the records."),
        alert("PilothouseTakeovers", "increase(pilothouse_leases_taken_over_total[30m]) > 20", "0m", "ticket",
              "{{ $value | printf `%.0f` }} runs lost their worker in half an hour.",
              "Look for workers that are restarted, frozen or cut off."),
        alert("PilothouseProviderAway", "max by (provider, model) (pilothouse_provider_breaker) == 2", "5m", "ticket",
              "Calls of {{ $labels.model }} at {{ $labels.provider }} are not sent: too many failed.",
              "Look at its status page and at your limits there; a fallback takes over without a deploy."),
        alert("PilothouseDeliveriesDead",
              'sum(increase(pilothouse_delivery_tries_total{status="dead"}[1h])) > 0', "0m", "ticket",
              "{{ $value | printf `%.0f` }} notifications were given up in an hour.",
              "`pilothouse deliveries list --status dead` says whose and why; `deliveries retry` sends one again."),
        alert("PilothouseSpansLost",
              'sum by (instance) (increase(pilothouse_spans_total{outcome=~"failed|dropped"}[15m])) > 0', "15m",
              "ticket", "{{ $value | printf `%.0f` }} spans of {{ $labels.instance }} did not reach the collector.",
              "Look whether the collector answers at `traces.endpoint`, and whether it is too slow."),
    ]  # fmt: skip


def alert(name: str, expr: str, after: str, severity: str, summary: str, runbook: str, **labels: str) -> Rule:
    return {
        "alert": name,
        "expr": expr,
        "for": after,
        "labels": {"severity": severity, **labels},
        "annotations": {"summary": summary, "runbook": runbook},
    }


def alertmanager_config(webhook: str) -> dict[str, Any]:
    """A route that tells pages at once and tickets twice a day, both to one webhook; a start to build on."""
    return {
        "route": {
            "receiver": "pilothouse",
            "group_by": ["alertname", "agent"],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": [{"matchers": ['severity="ticket"'], "receiver": "pilothouse", "repeat_interval": "12h"}],
        },
        "inhibit_rules": [
            {
                "source_matchers": ['severity="page"'],
                "target_matchers": ['severity="ticket"'],
                "equal": ["alertname", "agent", "objective"],
            }
        ],
        "receivers": [{"name": "pilothouse", "webhook_configs": [{"url": webhook, "send_resolved": True}]}],
    }


def span(seconds: int) -> str:
    """As Prometheus writes it: 300 is 5m."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
