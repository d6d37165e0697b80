// The pages there are: their place in the menu, their key after `g`, and what shows them. A page whose routes this node
// does not have is not there.

import type { ReactNode } from "react";

import { AgentPage, AgentsPage } from "../pages/agents";
import { AlertsPage } from "../pages/alerts";
import { AuditPage } from "../pages/audit";
import { BiasPage } from "../pages/bias";
import { BiasAuditPage } from "../pages/bias_audit";
import { ComparePage } from "../pages/compare";
import { CostsPage } from "../pages/costs";
import { DeliveriesPage } from "../pages/deliveries";
import { EvaluationPage } from "../pages/evaluation";
import { EvaluationsPage } from "../pages/evaluations";
import { HoldsPage } from "../pages/holds";
import { KeysPage } from "../pages/keys";
import { OverviewPage } from "../pages/overview";
import { PoliciesPage } from "../pages/policies";
import { ProvidersPage } from "../pages/providers";
import { QueuePage } from "../pages/queue";
import { ReviewsPage } from "../pages/reviews";
import { RunPage } from "../pages/run";
import { RunsPage } from "../pages/runs";
import { SchedulesPage } from "../pages/schedules";
import { SessionPage } from "../pages/session";
import { SessionsPage } from "../pages/sessions";
import { SettingsPage } from "../pages/settings";
import type { Place } from "../pure/route";

export interface Entry {
    name: string;
    title: string;
    key: string;
    icon: string;
    /** Without this route there is no such page. */
    needs: string;
}

const ALL: Entry[] = [
    { name: "overview", title: "Overview", key: "o", needs: "/v1/overview", icon: "M2 13h12M4 13V8M8 13V3M12 13V6" },
    { name: "runs", title: "Runs", key: "r", needs: "/v1/runs", icon: "M2 4h9M2 8h12M2 12h6" },
    {
        name: "sessions",
        title: "Sessions",
        key: "s",
        needs: "/v1/agents/{agent}/sessions",
        icon: "M2.5 3h11v7.5H7L4 13v-2.5H2.5z",
    },
    { name: "reviews", title: "Reviews", key: "v", needs: "/v1/reviews", icon: "M2.5 8.5 6 12l7.5-8" },
    {
        name: "agents",
        title: "Agents",
        key: "a",
        needs: "/v1/agents",
        icon: "M4 5.5h8v6.5H4zM8 5.5V3M2 8v2M14 8v2M6.5 8.5v.5M9.5 8.5v.5",
    },
    {
        name: "queue",
        title: "Queue",
        key: "q",
        needs: "/v1/overview",
        icon: "M2.5 3.5h11M2.5 6.5h11M5 9.5h6M6.5 12.5h3",
    },
    {
        name: "providers",
        title: "Providers",
        key: "m",
        needs: "/v1/providers",
        icon: "M4.5 11.5a2.8 2.8 0 0 1 .2-5.6 3.6 3.6 0 0 1 6.9 1 2.4 2.4 0 0 1-.2 4.6z",
    },
    {
        name: "costs",
        title: "Costs",
        key: "b",
        needs: "/v1/costs",
        icon: "M8 2v12M11.5 4.5h-5a2 2 0 0 0 0 3.8h3a2 2 0 0 1 0 3.8H4.5",
    },
    {
        name: "holds",
        title: "Holds",
        key: "h",
        needs: "/v1/holds",
        icon: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2ZM6.5 6v4M9.5 6v4",
    },
    {
        name: "schedules",
        title: "Schedules",
        key: "c",
        needs: "/v1/schedules",
        icon: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2ZM8 5v3.2l2.2 1.4",
    },
    {
        name: "alerts",
        title: "Alerts",
        key: "l",
        needs: "/v1/alerts",
        icon: "M8 2.5a3.5 3.5 0 0 1 3.5 3.5c0 3 1.5 4.5 1.5 4.5H3S4.5 9 4.5 6A3.5 3.5 0 0 1 8 2.5ZM6.8 13h2.4",
    },
    { name: "deliveries", title: "Deliveries", key: "d", needs: "/v1/deliveries", icon: "M2 3.5h12v9H2zM2 4l6 5 6-5" },
    {
        name: "policies",
        title: "Policies",
        key: "p",
        needs: "/v1/policies",
        icon: "M8 2 3 4v4c0 3 2.2 5 5 6 2.8-1 5-3 5-6V4z",
    },
    {
        name: "evaluations",
        title: "Evaluations",
        key: "e",
        needs: "/v1/evaluations",
        icon: "M2.5 13.5h11M4 11V8.5M7 11V5M10 11V7M13 11V3",
    },
    {
        name: "bias",
        title: "Bias",
        key: "i",
        needs: "/v1/bias/audits",
        icon: "M8 2.5v11M5 13.5h6M3 4.5h10M3 4.5 1.5 9h3zM13 4.5 11.5 9h3z",
    },
    { name: "audit", title: "Audit", key: "u", needs: "/v1/audit", icon: "M4 2.5h8v11H4zM6 5.5h4M6 8h4M6 10.5h2" },
    {
        name: "keys",
        title: "Keys",
        key: "k",
        needs: "/v1/keys",
        icon: "M6 6.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5ZM8 8l5-5M11 5l1.5 1.5",
    },
    {
        name: "settings",
        title: "Settings",
        key: ",",
        needs: "/v1/settings",
        icon: "M2 5h7M12 5h2M2 11h2M7 11h7M10.5 3.5v3M5.5 9.5v3",
    },
];

export function menuOf(routes: ReadonlySet<string> | null): Entry[] {
    return routes === null ? [] : ALL.filter((entry) => routes.has(entry.needs));
}

interface Shown {
    menu: string;
    title: string;
    show: (place: Place) => ReactNode;
}

/** What an address leads to; undefined for one that leads nowhere. */
export function pageOf(parts: string[], routes: ReadonlySet<string>): Shown | undefined {
    const [name = "overview", first, second] = parts;
    const entry = ALL.find((one) => one.name === (name === "compare" ? "runs" : name));
    if (!entry || !routes.has(entry.needs)) return undefined;
    const plain = (show: (place: Place) => ReactNode): Shown => ({ menu: entry.name, title: entry.title, show });
    switch (name) {
        case "overview":
            return plain((place) => <OverviewPage query={place.query} hasNode={routes.has("/v1/node")} />);
        case "runs":
            if (first !== undefined)
                return { menu: "runs", title: `Run ${first}`, show: () => <RunPage key={first} id={first} /> };
            return plain((place) => <RunsPage query={place.query} />);
        case "compare":
            if (first === undefined || second === undefined) return undefined;
            return { menu: "runs", title: "Two runs", show: () => <ComparePage left={first} right={second} /> };
        case "sessions":
            if (first !== undefined && second !== undefined) {
                return {
                    menu: "sessions",
                    title: `Session ${second}`,
                    show: () => <SessionPage key={`${first}/${second}`} agent={first} name={second} />,
                };
            }
            return plain((place) => <SessionsPage query={place.query} />);
        case "reviews":
            return plain((place) => <ReviewsPage id={first} query={place.query} />);
        case "agents":
            if (first !== undefined)
                return {
                    menu: "agents",
                    title: `Agent ${first}`,
                    show: (place) => <AgentPage key={first} name={first} query={place.query} />,
                };
            return plain(() => <AgentsPage />);
        case "queue":
            return plain(() => <QueuePage hasNode={routes.has("/v1/node")} />);
        case "providers":
            return plain(() => <ProvidersPage />);
        case "costs":
            return plain((place) => <CostsPage query={place.query} />);
        case "holds":
            return plain(() => <HoldsPage />);
        case "schedules":
            return plain(() => <SchedulesPage />);
        case "policies":
            return plain((place) => <PoliciesPage query={place.query} />);
        case "keys":
            return plain(() => <KeysPage />);
        case "alerts":
            return plain(() => <AlertsPage />);
        case "deliveries":
            return plain((place) => <DeliveriesPage query={place.query} />);
        case "evaluations":
            if (first !== undefined)
                return {
                    menu: "evaluations",
                    title: `Evaluation ${first}`,
                    show: (place) => <EvaluationPage key={first} id={first} query={place.query} />,
                };
            return plain((place) => <EvaluationsPage query={place.query} />);
        case "bias":
            if (first !== undefined)
                return {
                    menu: "bias",
                    title: `Bias audit ${first}`,
                    show: () => <BiasAuditPage key={first} id={first} />,
                };
            return plain((place) => <BiasPage query={place.query} />);
        case "audit":
            return plain(() => <AuditPage />);
        case "settings":
            return plain(() => <SettingsPage />);
        default:
            return undefined;
    }
}
