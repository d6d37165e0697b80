// The sessions of an agent: found by key, or by who spoke last.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";

import { get } from "../api/call";
import { useAgents } from "../api/pages";
import type { PageOf, Run, SessionSummary } from "../api/types";
import { Ago, Asked, Empty, Head, Trouble } from "../parts/parts";
import { numbers, Table } from "../parts/table";
import { readText } from "../pure/messages";
import { count, glance } from "../pure/words";
import { adjust, go, to } from "../shell/place";

const PAGE = 100;

export function SessionsPage({ query }: { query: Record<string, string> }) {
    const agents = useAgents();
    const talking = (agents.data?.items ?? []).filter((one) => one.mode === "session");
    const agent = query.agent ?? talking[0]?.name ?? "";
    return (
        <div className="page">
            <Head title="Sessions" about="What agents remember between the runs of one key: the turns, and a state." />
            <Asked query={agents} what="agents" />
            {agents.data && talking.length === 0 && !query.agent && (
                <Empty title="No agent here keeps sessions">
                    <p>
                        An agent does when it says <code>mode="session"</code>. Its callers name the session:{" "}
                        <code>{'{"input": …, "session": "customer-42"}'}</code>.
                    </p>
                </Empty>
            )}
            {agent && <SessionList agent={agent} names={talking.map((one) => one.name)} prefix={query.prefix ?? ""} />}
        </div>
    );
}

function SessionList({ agent, names, prefix }: { agent: string; names: string[]; prefix: string }) {
    const [find, setFind] = useState(prefix);
    useEffect(() => setFind(prefix), [prefix]);
    const sessions = useQuery({
        queryKey: ["sessions", agent, prefix],
        queryFn: () =>
            get<PageOf<SessionSummary>>(`v1/agents/${encodeURIComponent(agent)}/sessions`, { prefix, limit: PAGE }),
        placeholderData: keepPreviousData,
    });
    const recent = useQuery({
        queryKey: ["runs", "turns", agent],
        queryFn: () => get<PageOf<Run>>("v1/runs", { agent, limit: 100 }),
        refetchInterval: 10_000,
    });
    const said = useMemo(() => lastWords(recent.data?.items ?? []), [recent.data]);
    const isRecent = prefix === "";
    return (
        <>
            <form
                className="filters"
                role="search"
                aria-label="Find a session"
                onSubmit={(event) => {
                    event.preventDefault();
                    go(["sessions", agent, find || "new"]);
                }}
            >
                <label>
                    <span className="unseen">Agent</span>
                    <select value={agent} onChange={(event) => adjust({ agent: event.target.value, prefix: null })}>
                        {[...new Set([...names, agent])].map((name) => (
                            <option key={name}>{name}</option>
                        ))}
                    </select>
                </label>
                <label className="grow">
                    <span className="unseen">Beginning of the key</span>
                    <input
                        type="search"
                        data-find
                        placeholder="Beginning of a key; Enter opens it"
                        value={find}
                        onChange={(event) => {
                            setFind(event.target.value);
                            adjust({ prefix: event.target.value });
                        }}
                    />
                </label>
            </form>
            {sessions.error && <Trouble error={sessions.error} again={() => void sessions.refetch()} />}
            {sessions.data && sessions.data.items.length === 0 && (
                <Empty title={prefix ? "No key begins like this" : `${agent} has no session yet`}>
                    <p>
                        A session begins with its first turn.{" "}
                        <a href={to(["sessions", agent, prefix || "try-1"])}>Begin one here</a>, or name one in a
                        request.
                    </p>
                </Empty>
            )}
            {isRecent && said.length > 0 && (
                <section className="card" aria-labelledby="recent">
                    <h2 id="recent">Spoke last</h2>
                    <ul className="letters plain">
                        {said.slice(0, 8).map((run) => (
                            <li key={run.session}>
                                <a href={to(["sessions", agent, run.session!])}>
                                    <span className="row between">
                                        <span className="strong">{run.session}</span>
                                        <span className="faint">
                                            <Ago at={run.created_at} />
                                        </span>
                                    </span>
                                    <span className="question">{glance(readText(run.input) ?? run.input, 140)}</span>
                                </a>
                            </li>
                        ))}
                    </ul>
                </section>
            )}
            {sessions.data && sessions.data.items.length > 0 && (
                <section className="card" aria-labelledby="by-key">
                    <h2 id="by-key">By key</h2>
                    <Table label="Sessions by key" columns={["Key", ...numbers("Turns", "Version"), "Changed", "Ends"]}>
                        {sessions.data.items.map((one) => (
                            <tr key={one.key}>
                                <th scope="row">
                                    <a href={to(["sessions", agent, one.key])}>{one.key}</a>
                                </th>
                                <td>{count(one.turns)}</td>
                                <td>{count(one.version)}</td>
                                <td className="text">
                                    <Ago at={one.updated_at} />
                                </td>
                                <td className="text">
                                    <Ago at={one.expires_at} />
                                </td>
                            </tr>
                        ))}
                    </Table>
                    {sessions.data.next_cursor && (
                        <p className="faint">The first {PAGE}. Write the beginning of a key to see others.</p>
                    )}
                </section>
            )}
        </>
    );
}

function lastWords(runs: Run[]): Run[] {
    const seen = new Set<string>();
    return runs.filter((run) => run.session !== null && !seen.has(run.session) && seen.add(run.session));
}
