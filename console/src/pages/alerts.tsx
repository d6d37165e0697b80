// Objectives that are being missed, and how fast.

import { useAlerts } from "../api/pages";
import type { Alert } from "../api/types";
import { Ago, Empty, Facts, Head, Loading, Trouble } from "../parts/parts";
import { share, span } from "../pure/words";
import { to } from "../shell/place";

const UNITS: Record<string, string> = {
    cost_a_day: "USD",
    review: "s",
    usual_runs: "runs",
    usual_seconds: "s a run",
    usual_cost: "USD a run",
};

function amount(alert: Alert, value: number): string {
    const unit = UNITS[alert.objective];
    return unit ? `${Number(value.toPrecision(3))} ${unit}` : share(value, 1);
}

export function AlertsPage() {
    const found = useAlerts();
    const firing = found.data?.items ?? [];
    return (
        <div className="page">
            <Head
                title="Alerts"
                about="Objectives of agents that are being missed, and what is far from usual, as this node sees them."
            />
            {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
            {found.isPending && <Loading what="alerts" />}
            {found.data && firing.length === 0 && (
                <Empty title="Nothing is missed" command="pilothouse alerts export">
                    <p>
                        An agent is promised something by <code>objectives</code> in pilothouse.toml. The same rules run
                        in Prometheus: the command below writes them.
                    </p>
                </Empty>
            )}
            <ul className="agents">
                {firing.map((one) => (
                    <li key={`${one.agent} ${one.objective} ${one.severity}`} className="card">
                        <h2>
                            <a href={to(["overview"], { agent: one.agent })}>{one.agent}</a>{" "}
                            <span className={`pill ${one.severity === "page" ? "bad" : ""}`}>{one.severity}</span>
                        </h2>
                        <p>{one.summary}</p>
                        <Facts
                            facts={[
                                ["Objective", one.objective],
                                ["Since", <Ago key="s" at={one.since} />],
                                ["Measured", amount(one, one.measured)],
                                [one.objective.startsWith("usual_") ? "Usual" : "Promised", amount(one, one.expected)],
                                ["Window", span(one.window_seconds * 1000)],
                            ]}
                        />
                    </li>
                ))}
            </ul>
        </div>
    );
}
