// Objectives that are being missed, and how fast; and those that were lately, until when.

import { useAlertsAndResolved } from "../api/pages";
import type { Alert } from "../api/types";
import { Ago, Asked, Empty, Facts, Head, Lasting } from "../parts/parts";
import { Table } from "../parts/table";
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
    const found = useAlertsAndResolved();
    const all = found.data?.items ?? [];
    const firing = all.filter((one) => one.resolved_at === null);
    const over = all
        .filter((one) => one.resolved_at !== null)
        .sort((a, b) => b.resolved_at!.localeCompare(a.resolved_at!));
    return (
        <div className="page">
            <Head
                title="Alerts"
                about="Objectives of agents that are being missed, and what is far from usual, over all nodes."
            />
            <Asked query={found} what="alerts" />
            {found.data && firing.length === 0 && (
                <Empty title="Nothing is missed" command="pilothouse alerts export">
                    <p>
                        An agent is promised something by <code>objectives</code> in pilothouse.toml. The same rules run
                        in Prometheus: the command below writes them.
                    </p>
                </Empty>
            )}
            <ul className="agents" aria-label="Firing">
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
            {over.length > 0 && <Resolved alerts={over} />}
        </div>
    );
}

function Resolved({ alerts }: { alerts: Alert[] }) {
    return (
        <section className="card" aria-labelledby="resolved">
            <h2 id="resolved">Resolved lately</h2>
            <Table
                label="Resolved alerts"
                columns={["Agent", "Objective", "What it was", "Began", "Lasted", "Resolved"]}
            >
                {alerts.map((one) => (
                    <tr key={`${one.agent} ${one.objective} ${one.since} ${one.resolved_at}`}>
                        <th scope="row">
                            <a href={to(["overview"], { agent: one.agent })}>{one.agent}</a>
                        </th>
                        <td className="text">{one.objective}</td>
                        <td className="text wrap">{one.summary}</td>
                        <td className="text">
                            <Ago at={one.since} />
                        </td>
                        <td className="text">
                            <Lasting from={one.since} to={one.resolved_at} />
                        </td>
                        <td className="text">
                            <Ago at={one.resolved_at} />
                        </td>
                    </tr>
                ))}
            </Table>
        </section>
    );
}
