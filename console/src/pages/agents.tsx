// The agents that this node runs, their releases, and a place to try each.

import { useQuery } from "@tanstack/react-query";

import { get } from "../api/call";
import { useAgents } from "../api/pages";
import type { Agent, Overview } from "../api/types";
import { Asked, Empty, Facts, Head, Panel, Tabs } from "../parts/parts";
import { JsonBlock } from "../parts/value";
import { count, money, share, span } from "../pure/words";
import { adjust, to } from "../shell/place";
import { TryAgent } from "./agent_try";
import { OpenIncident } from "./incident_open";

const DAY = 86_400;

export function AgentsPage() {
    const agents = useAgents();
    const figures = useQuery({
        queryKey: ["overview", "24h", "agents"],
        queryFn: () => get<Overview>("v1/overview", { seconds: DAY, slices: 1 }),
        staleTime: 10_000,
    });
    const of = new Map(figures.data?.agents.map((one) => [one.agent, one]));
    const items = agents.data?.items ?? [];
    return (
        <div className="page">
            <Head title="Agents" about="What this node runs, and how each did in the last 24 hours." />
            <Asked query={agents} what="agents" />
            {agents.data && items.length === 0 && (
                <Empty title="This node runs no agent" command="pilothouse init">
                    <p>
                        Name one in <code>pilothouse.toml</code> (<code>[agents.NAME] target = "module:function"</code>)
                        and start the node again. In an empty folder the command below makes a first one.
                    </p>
                </Empty>
            )}
            {items.length > 0 && (
                <ul className="agents">
                    {items.map((agent) => {
                        const did = of.get(agent.name);
                        const ended = did ? did.succeeded + did.failed : 0;
                        return (
                            <li key={agent.name} className="card agent">
                                <h2>
                                    <a href={to(["agents", agent.name])}>{agent.name}</a>{" "}
                                    <span className="pill">{agent.mode}</span>
                                </h2>
                                <p className="muted">
                                    {agent.description || (
                                        <span className="faint">Its code says nothing about it.</span>
                                    )}
                                </p>
                                <Facts
                                    facts={[
                                        ["Runs", did ? count(did.created) : "0"],
                                        ["Failed", ended > 0 ? share(did!.failed, ended) : "–"],
                                        ["p95", did && did.lasted.p95 !== null ? span(did.lasted.p95 * 1000) : "–"],
                                        ["Cost", money(did?.cost_usd ?? 0)],
                                        [
                                            "Release",
                                            <code key="r">
                                                {agent.releases.map((one) => one.slice(0, 12)).join(", ")}
                                            </code>,
                                        ],
                                    ]}
                                />
                            </li>
                        );
                    })}
                </ul>
            )}
        </div>
    );
}

export function AgentPage({ name, query }: { name: string; query: Record<string, string> }) {
    const found = useQuery({
        queryKey: ["agents", name],
        queryFn: () => get<Agent>(`v1/agents/${encodeURIComponent(name)}`),
    });
    const agent = found.data;
    const tab = query.tab === "schemas" ? "schemas" : "try";
    return (
        <div className="page">
            <p className="crumbs">
                <a href={to(["agents"])}>Agents</a>
            </p>
            <Head title={name} about={agent?.description}>
                <OpenIncident agent={name} />
                <a className="button" href={to(["runs"], { agent: name })}>
                    Its runs
                </a>
                {agent?.mode === "session" && (
                    <a className="button" href={to(["sessions"], { agent: name })}>
                        Its sessions
                    </a>
                )}
            </Head>
            <Asked query={found} what="the agent" />
            {agent && (
                <>
                    <Facts
                        facts={[
                            ["Mode", agent.mode],
                            ["Kept", keepOf(agent)],
                            [
                                "At once",
                                agent.concurrency === 0 ? "as many as there is room" : count(agent.concurrency),
                            ],
                            ["An attempt may take", agent.timeout === null ? "any time" : span(agent.timeout * 1000)],
                            ...(agent.mode === "session"
                                ? ([
                                      [
                                          "Sessions end after",
                                          agent.session_ttl === null ? "never" : span(agent.session_ttl * 1000),
                                      ],
                                  ] as [string, string][])
                                : []),
                            ["Release", <code key="r">{agent.releases.join(", ")}</code>],
                        ]}
                    />
                    <Tabs
                        label="About the agent"
                        chosen={tab}
                        onChoose={(one) => adjust({ tab: one === "try" ? null : one })}
                        tabs={[
                            { name: "try", label: "Try it" },
                            { name: "schemas", label: "Schemas" },
                        ]}
                    />
                    <Panel name={tab}>
                        {tab === "try" ? (
                            agent.mode === "session" ? (
                                <Empty title="It holds conversations">
                                    <p>
                                        Each has a key that its caller chooses.{" "}
                                        <a
                                            href={to([
                                                "sessions",
                                                name,
                                                `try-${new Date().toISOString().slice(0, 16).replace(/[-:T]/g, "")}`,
                                            ])}
                                        >
                                            Begin one with it
                                        </a>
                                        , or go on with <a href={to(["sessions"], { agent: name })}>one there is</a>.
                                    </p>
                                </Empty>
                            ) : (
                                <TryAgent agent={agent} />
                            )
                        ) : (
                            <div className="pair">
                                <section className="card">
                                    <h2>Input</h2>
                                    <JsonBlock value={agent.input_schema} label="schema of the input" />
                                </section>
                                <section className="card">
                                    <h2>Output</h2>
                                    <JsonBlock value={agent.output_schema} label="schema of the output" />
                                </section>
                            </div>
                        )}
                    </Panel>
                </>
            )}
        </div>
    );
}

function keepOf(agent: Agent): string {
    if (agent.mode !== "stateless") return "always";
    if (agent.keep === "errors") return "failed ones";
    const part = Number(agent.keep);
    return part >= 1 ? "always" : part > 0 ? `${share(part, 1)} of them` : "when an answer is asked for later";
}
