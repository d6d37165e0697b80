"""What the dashboards show: rows of panels, each with the question that it answers as its title.

Expressions are of the metrics in DESIGN.md of this room, and of the recording rules that `pilothouse alerts export`
writes. `$agent` and `$__rate_interval` are Grafana's. Only what has an agent is filtered by it.
"""

from msgspec import Struct


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

PanelRow = tuple[str, str, str, tuple[Query, ...]]
"""Kind, title, unit, queries."""
Rows = tuple[tuple[str, tuple[PanelRow, ...]], ...]

OVERVIEW: Rows = (
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

WORLD: Rows = (
    (
        "Who asks, and how are they answered?",
        (
            ("timeseries", "Requests, by route", "reqps",
             (Query(plain_rate("pilothouse_http_requests_total", "route"), "{{route}}"),)),
            ("timeseries", "Refused and failed requests, by status", "reqps",
             (Query('sum by (status) (rate(pilothouse_http_requests_total{job="pilothouse",status=~"[45].."}'
                    "[$__rate_interval]))", "{{status}}"),)),
            ("timeseries", "Request, head to last byte (p99), by route", "s",
             (Query("histogram_quantile(0.99, sum by (le, route) (rate(pilothouse_http_request_duration_seconds_bucket"
                    '{job="pilothouse"}[$__rate_interval])))', "{{route}}"),)),
        ),
    ),
    (
        "Does what is to go out arrive?",
        (
            ("stat", "Tries that did not deliver, 1 h", "percentunit",
             (Query('1 - sum(increase(pilothouse_delivery_tries_total{job="pilothouse",verdict="delivered"}[1h]))'
                    ' / sum(increase(pilothouse_delivery_tries_total{job="pilothouse"}[1h]))'),)),
            ("stat", "Given up in 24 hours", "short",
             (Query('sum(increase(pilothouse_delivery_tries_total{job="pilothouse",verdict=~"dead|gone"}[1d]))'),)),
            ("timeseries", "Tries, by what came of them", "ops",
             (Query(plain_rate("pilothouse_delivery_tries_total", "verdict"), "{{verdict}}"),)),
        ),
    ),
    (
        "How are the model providers?",
        (
            ("timeseries", "Calls, by model and outcome", "ops",
             (Query(plain_rate("pilothouse_provider_calls_total", "provider, model, outcome"),
                    "{{provider}} {{model}} {{outcome}}"),)),
            ("timeseries", "Breakers (2 is open)", "short",
             (Query('max by (provider, model) (pilothouse_provider_breaker{job="pilothouse"})',
                    "{{provider}} {{model}}"),)),
            ("timeseries", "Under way, and in line", "short",
             (Query('sum by (provider, model) (pilothouse_provider_in_flight{job="pilothouse"})',
                    "under way {{provider}} {{model}}"),
              Query('sum by (provider, model) (pilothouse_provider_waiting{job="pilothouse"})',
                    "in line {{provider}} {{model}}"))),
            ("timeseries", "Tokens, as the providers count them", "ops",
             (Query(plain_rate("pilothouse_provider_tokens_total", "provider, model, direction"),
                    "{{provider}} {{model}} {{direction}}"),)),
            ("timeseries", "US dollars an hour, by model", "currencyUSD",
             (Query('3600 * sum by (provider, model) (rate(pilothouse_provider_cost_usd_total{job="pilothouse"}'
                    "[$__rate_interval]))", "{{provider}} {{model}}"),)),
            ("timeseries", "Calls that were not allowed, by reason", "ops",
             (Query(plain_rate("pilothouse_calls_denied_total", "code"), "{{code}}"),)),
        ),
    ),
    (
        "What is used, by whom?",
        (
            ("timeseries", "Model calls, by agent", "ops",
             (Query(rate("pilothouse_model_calls_total", "agent"), "{{agent}}"),)),
            ("timeseries", "Tool calls, by agent", "ops",
             (Query(rate("pilothouse_tool_calls_total", "agent"), "{{agent}}"),)),
            ("timeseries", "US dollars an hour, by agent", "currencyUSD",
             (Query(f"3600 * {rate('pilothouse_cost_usd_total', 'agent')}", "{{agent}}"),)),
        ),
    ),
)  # fmt: skip


def entries(kinds: str) -> str:
    """Entries of the audit log a second, of kinds that match a regular expression."""
    return f'sum by (kind) (rate(pilothouse_audit_entries_total{{job="pilothouse",kind=~"{kinds}"}}[$__rate_interval]))'


OVERSIGHT: Rows = (
    (
        "Does anybody wait for a person?",
        (
            ("stat", "Open reviews", "short",
             (Query('sum(max by (agent) (pilothouse_reviews_open{job="pilothouse",agent=~"$agent"}))'),)),
            ("stat", "The oldest has been open for", "s",
             (Query('max(pilothouse_review_oldest_seconds{job="pilothouse",agent=~"$agent"})'),)),
            ("stat", "Holds placed in 24 hours", "short",
             (Query('sum(increase(pilothouse_audit_entries_total{job="pilothouse",kind="hold.placed"}[1d]))'),)),
        ),
    ),
    (
        "Where do reviews stand?",
        (
            ("timeseries", "Open reviews, by agent", "short",
             (Query('max by (agent) (pilothouse_reviews_open{job="pilothouse",agent=~"$agent"})', "{{agent}}"),)),
            ("timeseries", "The oldest open review, by agent", "s",
             (Query('max by (agent) (pilothouse_review_oldest_seconds{job="pilothouse",agent=~"$agent"})',
                    "{{agent}}"),)),
            ("timeseries", "Reviews and votes", "ops", (Query(entries(r"review\\..*"), "{{kind}}"),)),
        ),
    ),
    (
        "What do policies and people decide?",
        (
            ("timeseries", "Actions, by what was decided", "ops", (Query(entries(r"action\\..*"), "{{kind}}"),)),
            ("timeseries", "Share of actions that are denied", "percentunit",
             (Query('sum(rate(pilothouse_audit_entries_total{job="pilothouse",kind="action.denied"}[$__rate_interval]))'
                    ' / sum(rate(pilothouse_audit_entries_total{job="pilothouse",'
                    'kind=~"action\\\\.(allowed|denied|asked)"}[$__rate_interval]))'),)),
            ("timeseries", "Holds, policies, keys and overrides", "ops",
             (Query(entries(r"(hold|policy|policies|key|override)\\..*"), "{{kind}}"),)),
        ),
    ),
    (
        "Are promises kept?",
        (
            ("timeseries", "Objectives: share that misses, 6 h", "percentunit",
             (Query('pilothouse:objective_missed:ratio_rate6h{agent=~"$agent"}', "{{agent}} {{objective}}"),)),
            ("timeseries", "Objectives: share that misses, 3 days", "percentunit",
             (Query('pilothouse:objective_missed:ratio_rate3d{agent=~"$agent"}', "{{agent}} {{objective}}"),)),
            ("timeseries", "Far from usual", "short",
             (Query('max by (agent, quantity) (pilothouse_unusual{job="pilothouse",agent=~"$agent"})',
                    "{{agent}} {{quantity}}"),)),
        ),
    ),
)  # fmt: skip

CLUSTER: Rows = (
    (
        "Are there enough workers?",
        (
            ("stat", "Workers", "short", (Query('max(pilothouse_workers{job="pilothouse"})'),)),
            ("stat", "Workers wanted", "short", (Query('max(pilothouse_workers_wanted{job="pilothouse"})'),)),
            ("stat", "Oldest wait for a first start", "s",
             (Query('max(pilothouse_backlog_oldest_wait_seconds{job="pilothouse",agent=~"$agent"})'),)),
            ("stat", "Limits hold for all nodes", "short", (Query('min(pilothouse_limits_shared{job="pilothouse"})'),)),
        ),
    ),
    (
        "What waits?",
        (
            ("timeseries", "Workers, and those wanted", "short",
             (Query('max(pilothouse_workers{job="pilothouse"})', "there are"),
              Query('max(pilothouse_workers_wanted{job="pilothouse"})', "wanted"))),
            ("timeseries", "Runs of all nodes, by agent and state", "short",
             (Query('max by (agent, state) (pilothouse_backlog_runs{job="pilothouse",agent=~"$agent"})',
                    "{{agent}} {{state}}"),)),
            ("timeseries", "Share of the places that is taken", "percentunit",
             (Query('max by (agent) (pilothouse_busy_share{job="pilothouse",agent=~"$agent"})', "{{agent}}"),)),
        ),
    ),
    (
        "How is each node?",
        (
            ("timeseries", "Runs started, by node", "reqps",
             (Query(rate("pilothouse_runs_started_total", "instance"), "{{instance}}"),)),
            ("timeseries", "Processor, by node", "percentunit",
             (Query('rate(process_cpu_seconds_total{job="pilothouse"}[$__rate_interval])', "{{instance}}"),)),
            ("timeseries", "Open files, by node", "short",
             (Query('process_open_fds{job="pilothouse"}', "{{instance}}"),)),
            ("timeseries", "Memory of nodes and hosts", "bytes",
             (Query('process_resident_memory_bytes{job="pilothouse"}', "node {{instance}}"),
              Query('sum by (instance) (pilothouse_host_memory_bytes{job="pilothouse"})', "hosts {{instance}}"))),
            ("timeseries", "Lost hosts, by node", "short",
             (Query('increase(pilothouse_hosts_lost_total{job="pilothouse"}[$__rate_interval])', "{{instance}}"),)),
            ("timeseries", "Runs taken over, by node", "short",
             (Query('increase(pilothouse_leases_taken_over_total{job="pilothouse"}[$__rate_interval])',
                    "{{instance}}"),)),
            ("timeseries", "Claims, by what they found", "ops",
             (Query(plain_rate("pilothouse_claims_total", "found"), "{{found}}"),)),
            ("timeseries", "Spans to the collector", "ops",
             (Query(plain_rate("pilothouse_spans_total", "outcome"), "{{outcome}}"),)),
        ),
    ),
    (
        "How are the records?",
        (
            ("timeseries", "Commits a second, by node", "ops",
             (Query(plain_rate("pilothouse_commit_duration_seconds_count", "instance"), "{{instance}}"),)),
            ("timeseries", "Changes in one commit, on average", "short",
             (Query(f"{plain_rate('pilothouse_commit_changes_sum', 'instance')}"
                    f" / {plain_rate('pilothouse_commit_changes_count', 'instance')}", "{{instance}}"),)),
            ("timeseries", "Commit, all nodes", "s",
             tuple(Query(f"histogram_quantile({share:g}, "
                         f"{plain_rate('pilothouse_commit_duration_seconds_bucket', 'le')})", f"p{share * 100:g}")
                   for share in (0.5, 0.95, 0.99))),
            ("timeseries", "Audit entries a second", "ops",
             (Query(plain_rate("pilothouse_audit_entries_total", "instance"), "{{instance}}"),)),
            ("timeseries", "Draws on shared limits", "ops",
             (Query(plain_rate("pilothouse_limit_draws_total", "outcome"), "{{outcome}}"),)),
        ),
    ),
)  # fmt: skip
