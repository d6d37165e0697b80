// Bias audits: which there were and what they found, an audit that is run here, and the findings that wait for somebody.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { post } from "../api/call";
import { type BiasAudit, useBiasAudits } from "../api/figures";
import { useAgents } from "../api/pages";
import { Form } from "../parts/form";
import { useNotices } from "../parts/notices";
import { Ago, Asked, Dialog, Empty, Head, Panel, Tabs } from "../parts/parts";
import { numbers, Table } from "../parts/table";
import { count, share, shortId } from "../pure/words";
import { adjust, go, to } from "../shell/place";
import { FindingsPanel } from "./findings";

export function BiasPage({ query }: { query: Record<string, string> }) {
    const [isAuditing, setAuditing] = useState(false);
    const tab = query.tab === "findings" ? "findings" : "audits";
    return (
        <div className="page">
            <Head
                title="Bias audits"
                about="Whether agents decide alike about groups of people: the figures, how sure they are, and what was found."
            >
                <button type="button" className="main" onClick={() => setAuditing(true)}>
                    Audit an agent
                </button>
            </Head>
            <Tabs
                label="Bias audits"
                chosen={tab}
                onChoose={(name) => adjust({ tab: name === "audits" ? null : name })}
                tabs={[
                    { name: "audits", label: "Audits" },
                    { name: "findings", label: "Findings" },
                ]}
            />
            <Panel name={tab}>
                {tab === "audits" ? <Audits agent={query.agent ?? ""} /> : <FindingsPanel state={query.state ?? ""} />}
            </Panel>
            {isAuditing && <RunAudit onClose={() => setAuditing(false)} />}
        </div>
    );
}

function Audits({ agent }: { agent: string }) {
    const found = useBiasAudits(agent);
    const items = found.data?.items ?? [];
    return (
        <>
            <Asked query={found} what="audits" />
            {found.data && items.length === 0 && (
                <Empty
                    title={agent ? `${agent} was not audited yet` : "Nothing was audited yet"}
                    command={`pilothouse bias audit ${agent || "AGENT"}`}
                >
                    <p>
                        An agent declares what it decides (<code>decision</code>), groups are recorded apart from its
                        runs, and an audit looks at both. Start one with the button above or the command below.
                    </p>
                </Empty>
            )}
            {items.length > 0 && (
                <div className="card">
                    <Table
                        label="Audits"
                        columns={[
                            "Audit",
                            "Agent",
                            ...numbers("Cases", "Favoured", ["Flagged", "groups under four fifths"]),
                            "Of",
                            "Made",
                            "By",
                        ]}
                    >
                        {items.map((one) => (
                            <tr key={one.id}>
                                <th scope="row">
                                    <a href={to(["bias", one.id])}>{shortId(one.id)}</a>
                                </th>
                                <td className="text">{one.agent}</td>
                                <td className="number">{count(one.cases)}</td>
                                <td className="number">{share(one.selected, one.cases)}</td>
                                <td className={`number${one.findings.length > 0 ? " bad strong" : ""}`}>
                                    {count(one.findings.length)}
                                </td>
                                <td className="text">
                                    {one.outcomes === "original" ? "what it decided" : "what is in force"}
                                </td>
                                <td className="text">
                                    <Ago at={one.at} />
                                </td>
                                <td className="text">{one.by}</td>
                            </tr>
                        ))}
                    </Table>
                    {found.data?.hasMore && (
                        <p className="faint">
                            There are older ones that are not shown: choose an agent in the address.
                        </p>
                    )}
                </div>
            )}
        </>
    );
}

function RunAudit({ onClose }: { onClose: () => void }) {
    const client = useQueryClient();
    const agents = useAgents();
    const { tell } = useNotices();
    const [agent, setAgent] = useState("");
    const [since, setSince] = useState("");
    const [minimum, setMinimum] = useState("");
    const [outcomes, setOutcomes] = useState("original");
    const run = async () => {
        const made = await post<BiasAudit>(`v1/agents/${encodeURIComponent(agent)}/bias`, {
            outcomes,
            ...(since ? { since: `${since}T00:00:00Z` } : {}),
            ...(minimum ? { minimum: Number(minimum) } : {}),
        });
        void client.invalidateQueries({ queryKey: ["bias"] });
        tell(`${count(made.cases)} cases were looked at, ${count(made.findings.length)} groups flagged.`);
        onClose();
        go(["bias", made.id]);
    };
    return (
        <Dialog title="Audit an agent" onClose={onClose}>
            <Form
                action="Audit"
                meanwhile="Looking at the cases…"
                isReady={agent !== ""}
                onClose={onClose}
                onSend={run}
            >
                <label className="field">
                    Agent
                    <select value={agent} onChange={(event) => setAgent(event.target.value)}>
                        <option value="">choose one</option>
                        {(agents.data?.items ?? []).map((one) => (
                            <option key={one.name}>{one.name}</option>
                        ))}
                    </select>
                </label>
                <label className="field">
                    Runs since <span className="faint">(a day, in UTC; empty: all that are kept)</span>
                    <input type="date" value={since} onChange={(event) => setSince(event.target.value)} />
                </label>
                <label className="field">
                    Smallest group that is judged <span className="faint">(empty: as the agent declares)</span>
                    <input
                        type="number"
                        min={1}
                        max={1_000_000}
                        value={minimum}
                        onChange={(event) => setMinimum(event.target.value)}
                    />
                </label>
                <label className="field">
                    Outcomes
                    <select value={outcomes} onChange={(event) => setOutcomes(event.target.value)}>
                        <option value="original">what the agent decided</option>
                        <option value="in_force">what is in force after people overrode it</option>
                    </select>
                </label>
            </Form>
        </Dialog>
    );
}
