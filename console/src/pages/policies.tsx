// The policies that rule on calls of tools: their text, what they would say to an action, and what others would change.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { ask, get, post } from "../api/call";
import { useAgents } from "../api/pages";
import type { Comparison, PolicyState, Ruling } from "../api/types";
import { Confirm, Form } from "../parts/form";
import { useNotices } from "../parts/notices";
import { Ago, Asked, Empty, Facts, Head, Panel, Tabs, Trouble } from "../parts/parts";
import { CodeBlock } from "../parts/value";
import { readJson } from "../pure/schema";
import { count, shortId, span } from "../pure/words";
import { adjust, to } from "../shell/place";

export function PoliciesPage({ query }: { query: Record<string, string> }) {
    const found = useQuery({ queryKey: ["policies"], queryFn: () => get<PolicyState>("v1/policies") });
    const active = found.data?.active ?? null;
    const tab = ["explain", "compare"].includes(query.tab ?? "") ? query.tab! : "active";
    return (
        <div className="page">
            <Head
                title="Policies"
                about="What tools may do without a person, what a person is asked about, and what never happens."
            />
            <Asked query={found} what="policies" />
            {found.data && (
                <>
                    <Tabs
                        label="Policies"
                        chosen={tab}
                        onChoose={(name) => adjust({ tab: name === "active" ? null : name })}
                        tabs={[
                            { name: "active", label: "Active" },
                            { name: "explain", label: "Explain an action" },
                            { name: "compare", label: "Try others" },
                        ]}
                    />
                    <Panel name={tab}>
                        {tab === "active" &&
                            (active === null ? (
                                <Empty title="No policies are active" command="pilothouse policy --help">
                                    <p>
                                        Then every call of a tool is allowed. Write policies in Cedar, try them on what
                                        happened lately under “Try others”, and activate them there or with the command
                                        line.
                                    </p>
                                </Empty>
                            ) : (
                                <section className="card" aria-label="The active policies">
                                    <Facts
                                        facts={[
                                            ["Version", <code key="v">{active.version.slice(0, 16)}</code>],
                                            [
                                                "Mode",
                                                active.mode === "log" ? "they rule, and nothing obeys" : "enforced",
                                            ],
                                            ["Since", <Ago key="s" at={active.activated_at} />],
                                            ["By", active.activated_by],
                                            ["What is newly allowed was signed by", active.signed_by ?? "nobody"],
                                        ]}
                                    />
                                    <CodeBlock text={active.text} label="the active policies" />
                                </section>
                            ))}
                        {tab === "explain" && <Explain />}
                        {tab === "compare" && <Compare text={active?.text ?? ""} />}
                    </Panel>
                </>
            )}
        </div>
    );
}

function Explain() {
    const agents = useAgents();
    const [tool, setTool] = useState("");
    const [agent, setAgent] = useState("");
    const [given, setGiven] = useState("{}");
    const [labels, setLabels] = useState("");
    const [ruling, setRuling] = useState<Ruling | null>(null);
    const [error, setError] = useState<unknown>(null);
    const read = readJson(given);
    const ask = async () => {
        try {
            const body = {
                tool,
                arguments: read.value,
                labels: labels.split(/[\s,]+/).filter(Boolean),
                ...(agent ? { agent } : {}),
            };
            setRuling(await post<Ruling>("v1/policies/explain", body));
            setError(null);
        } catch (problem) {
            setRuling(null);
            setError(problem);
        }
    };
    return (
        <div className="pair">
            <Form
                className="card inputform"
                aria-label="An action"
                action="Explain"
                isReady={tool !== "" && read.fault === undefined}
                onSend={ask}
            >
                <label className="field">
                    Tool
                    <input value={tool} onChange={(event) => setTool(event.target.value)} placeholder="refund" />
                </label>
                <label className="field">
                    Agent
                    <select value={agent} onChange={(event) => setAgent(event.target.value)}>
                        <option value="">any</option>
                        {(agents.data?.items ?? []).map((one) => (
                            <option key={one.name}>{one.name}</option>
                        ))}
                    </select>
                </label>
                <label className="field">
                    Arguments
                    <textarea
                        className="code-input"
                        rows={5}
                        spellCheck={false}
                        value={given}
                        aria-invalid={read.fault !== undefined}
                        onChange={(event) => setGiven(event.target.value)}
                    />
                </label>
                <label className="field">
                    Labels of what the run has read
                    <input
                        value={labels}
                        placeholder="external, sensitive"
                        onChange={(event) => setLabels(event.target.value)}
                    />
                </label>
            </Form>
            <section className="card" aria-label="The ruling" aria-live="polite">
                <h2>The ruling</h2>
                {error !== null && <Trouble error={error} />}
                {ruling ? (
                    <RulingView ruling={ruling} />
                ) : (
                    <p className="faint">
                        How the active policies would rule, and which of them decides. Nothing is executed.
                    </p>
                )}
            </section>
        </div>
    );
}

function RulingView({ ruling }: { ruling: Ruling }) {
    return (
        <>
            <p>
                <span className={`strong ${ruling.verdict === "deny" ? "bad" : ""}`}>{ruling.verdict}</span>
                {ruling.reason && `: ${ruling.reason}`}
            </p>
            {ruling.ask && (
                <p>
                    {count(ruling.ask.quorum)} {ruling.ask.quorum === 1 ? "person" : "people"} with the role{" "}
                    <code>{ruling.ask.role || "any"}</code>
                    {ruling.ask.within_seconds !== null && ` within ${span(ruling.ask.within_seconds * 1000)}`}
                </p>
            )}
            <p className="muted">
                {ruling.policies.length === 0 ? "No policy speaks of it." : `Decided by ${ruling.policies.join(", ")}.`}
            </p>
        </>
    );
}

function Compare({ text }: { text: string }) {
    const [draft, setDraft] = useState(text);
    const [compared, setCompared] = useState<{ text: string; found: Comparison } | null>(null);
    const [isActivating, setActivating] = useState(false);
    const [error, setError] = useState<unknown>(null);
    // What was compared is what can be activated: a text that was changed since must be compared again.
    const found = compared?.text === draft ? compared.found : null;
    const compare = async () => {
        try {
            setCompared({ text: draft, found: await post<Comparison>("v1/policies/compare", { text: draft }) });
            setError(null);
        } catch (problem) {
            setCompared(null);
            setError(problem);
        }
    };
    return (
        <>
            <Form
                className="card"
                aria-label="Other policies"
                action="Compare"
                isReady={draft.trim() !== ""}
                onSend={compare}
            >
                <label className="field">
                    Policies to try on what happened lately
                    <textarea
                        className="code-input"
                        rows={12}
                        spellCheck={false}
                        value={draft}
                        onChange={(event) => setDraft(event.target.value)}
                    />
                </label>
            </Form>
            {error !== null && <Trouble error={error} />}
            {found && (
                <section className="card" aria-label="What they would change" aria-live="polite">
                    <Facts
                        facts={[
                            ["Actions looked at", count(found.actions)],
                            ["The same", count(found.same)],
                            ["Newly denied", count(found.newly_denied)],
                            ["Newly asked", count(found.newly_asked)],
                            [
                                "Newly allowed",
                                <span key="a" className={found.newly_allowed > 0 ? "bad strong" : ""}>
                                    {count(found.newly_allowed)}
                                </span>,
                            ],
                        ]}
                    />
                    <ul className="audit">
                        {found.examples.map((one) => (
                            <li key={one.run + one.step}>
                                <a href={to(["runs", one.run], { step: one.step })}>{shortId(one.run)}</a>{" "}
                                <code>{one.tool}</code>: {one.before.verdict} → {one.after.verdict}{" "}
                                <span className="pill">{one.difference.replaceAll("_", " ")}</span>
                            </li>
                        ))}
                    </ul>
                    <footer>
                        <button type="button" onClick={() => setActivating(true)}>
                            Activate…
                        </button>
                    </footer>
                </section>
            )}
            {found && isActivating && (
                <ActivateDialog text={draft} found={found} onClose={() => setActivating(false)} />
            )}
        </>
    );
}

function ActivateDialog({ text, found, onClose }: { text: string; found: Comparison; onClose: () => void }) {
    const client = useQueryClient();
    const { tell } = useNotices();
    const [isLogged, setLogged] = useState(false);
    const [isSigned, setSigned] = useState(false);
    const activate = async () => {
        try {
            const body = { text, mode: isLogged ? "log" : "enforce", signed: isSigned };
            await ask("v1/policies", { method: "PUT", body });
            tell("The policies are active.");
            adjust({ tab: null });
        } finally {
            void client.invalidateQueries({ queryKey: ["policies"] });
        }
    };
    return (
        <Confirm
            title="Activate these policies?"
            action="Activate"
            isReady={found.newly_allowed === 0 || isSigned}
            close="Not yet"
            onClose={onClose}
            onSure={activate}
        >
            <p>They rule from the next action on, on every node. The audit log keeps who activated them.</p>
            <label className="check">
                <input type="checkbox" checked={isLogged} onChange={(event) => setLogged(event.target.checked)} />
                Only write down what they would do; nothing obeys them
            </label>
            {(found.newly_allowed > 0 || isLogged) && (
                <label className="check">
                    <input type="checkbox" checked={isSigned} onChange={(event) => setSigned(event.target.checked)} />
                    {found.newly_allowed > 0
                        ? `I answer for what is newly allowed: ${count(found.newly_allowed)} of ${count(found.actions)} recent actions`
                        : "I answer for what is allowed while nothing obeys"}
                </label>
            )}
        </Confirm>
    );
}
