// What waits for a place, what holds one, and what waits for somebody else.

import { useQuery, useQueryClient } from "@tanstack/react-query";

import { get } from "../api/call";
import { useChanges } from "../api/changes";
import { useAgents, useNode } from "../api/pages";
import type { Overview, PageOf, Run } from "../api/types";
import { Ago, Empty, Facts, Head, Lasting, Loading, StatusMark, Trouble } from "../parts/parts";
import { numbers, Table } from "../parts/table";
import { brief, bytes, count, shortId } from "../pure/words";
import { to } from "../shell/place";

const SHOWN = 50;

export function QueuePage({ hasNode }: { hasNode: boolean }) {
    const client = useQueryClient();
    const agents = useAgents();
    const names = agents.data?.items.map((one) => one.name) ?? [];
    const queues = useQuery({
        queryKey: ["queue", names.join()],
        enabled: agents.data !== undefined,
        queryFn: async () =>
            Promise.all(
                names.map(async (agent) => ({
                    agent,
                    ...(await get<Overview>("v1/overview", { agent, seconds: 300, slices: 1 })),
                })),
            ),
        refetchInterval: 10_000,
    });
    const live = useQuery({
        queryKey: ["runs", "live"],
        queryFn: () => get<PageOf<Run>>("v1/runs", { status: ["queued", "running", "waiting"], limit: SHOWN }),
        refetchInterval: 10_000,
    });
    useChanges(() => {
        void client.invalidateQueries({ queryKey: ["runs", "live"] });
        void client.invalidateQueries({ queryKey: ["queue"] });
    });
    const oldest = [...(live.data?.items ?? [])].sort((a, b) => a.created_at.localeCompare(b.created_at));
    return (
        <div className="page">
            <Head
                title="Queue and workers"
                about="What waits for a place, what has one, and what waits for somebody else."
            />
            {queues.error && <Trouble error={queues.error} again={() => void queues.refetch()} />}
            {(queues.isPending || agents.isPending) && <Loading what="the queue" />}
            {queues.data && (
                <section className="card" aria-labelledby="queues">
                    <h2 id="queues">By agent</h2>
                    <Table
                        label="Queue by agent"
                        columns={[
                            "Agent",
                            ...numbers(
                                ["Ready", "wait for a place"],
                                ["Held", "wait for their time or turn"],
                                ["Running", "have a place"],
                                ["Waiting", "wait for a review, a signal, a time, another run"],
                                ["At once", "how many may run"],
                            ),
                        ]}
                    >
                        {queues.data.map(({ agent, queue }) => {
                            const limit = agents.data?.items.find((one) => one.name === agent)?.concurrency ?? 0;
                            return (
                                <tr key={agent}>
                                    <th scope="row">
                                        <a href={to(["runs"], { agent, status: "queued,running,waiting" })}>{agent}</a>
                                    </th>
                                    <td className={queue.ready > 0 ? "warn" : ""}>{count(queue.ready)}</td>
                                    <td>{count(queue.held)}</td>
                                    <td>{count(queue.running)}</td>
                                    <td>{count(queue.waiting)}</td>
                                    <td>{limit === 0 ? <span className="faint">no limit</span> : count(limit)}</td>
                                </tr>
                            );
                        })}
                    </Table>
                </section>
            )}
            {hasNode && <Workers />}
            <section className="card" aria-labelledby="longest">
                <h2 id="longest">Live the longest</h2>
                {live.data && oldest.length === 0 && <p className="faint">Nothing is queued, running or waiting.</p>}
                {oldest.length > 0 && (
                    <Table
                        label="Live runs"
                        columns={["Run", "State", "Agent", "Created", ...numbers("For", "Attempt"), "Due"]}
                    >
                        {oldest.slice(0, 25).map((run) => (
                            <tr key={run.id}>
                                <th scope="row">
                                    <a href={to(["runs", run.id])}>{shortId(run.id)}</a>
                                </th>
                                <td className="text">
                                    <StatusMark status={run.status} />
                                </td>
                                <td className="text">{run.agent}</td>
                                <td className="text">
                                    <Ago at={run.created_at} />
                                </td>
                                <td>
                                    <Lasting from={run.created_at} to={run.finished_at} />
                                </td>
                                <td>{run.attempt}</td>
                                <td className="text">{run.due_at ? <Ago at={run.due_at} /> : ""}</td>
                            </tr>
                        ))}
                    </Table>
                )}
                {live.data?.next_cursor && (
                    <p className="faint">Among the {SHOWN} newest live runs. The list of runs has all.</p>
                )}
            </section>
        </div>
    );
}

function Workers() {
    const node = useNode();
    if (node.error) return <Trouble error={node.error} again={() => void node.refetch()} />;
    if (!node.data) return <Loading what="the worker" />;
    const { hosts } = node.data;
    return (
        <section className="card" aria-labelledby="workers">
            <h2 id="workers">Worker of this node</h2>
            <Facts
                facts={[
                    ["Name", <code key="n">{node.data.owner}</code>],
                    ["Version", node.data.version],
                    ["Since", <Ago key="s" at={node.data.started_at} />],
                    ["Attempts now", count(node.data.attempts)],
                    ["State", node.data.is_draining ? "shutting down" : "takes work"],
                ]}
            />
            {hosts.length === 0 ? (
                <Empty title="No host">
                    <p>This node starts no processes for agents.</p>
                </Empty>
            ) : (
                <Table label="Hosts" columns={["Host", "State", "Agents", ...numbers("Taken", "Free", "Memory")]}>
                    {hosts.map((host) => (
                        <tr key={host.name}>
                            <th scope="row">{host.name}</th>
                            <td className="text">{host.is_up ? "up" : "down"}</td>
                            <td className="text wrap">{host.agents.join(", ")}</td>
                            <td>{brief(host.taken)}</td>
                            <td>{brief(host.free)}</td>
                            <td>{bytes(host.memory_bytes)}</td>
                        </tr>
                    ))}
                </Table>
            )}
        </section>
    );
}
