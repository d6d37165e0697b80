// How things stand, for whoever was woken: is it well, what is wrong, for whom, since when.

import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useRef } from "react";

import { get } from "../api/call";
import { useChanges } from "../api/changes";
import { useAlerts, useNode } from "../api/pages";
import type { Figures, Overview } from "../api/types";
import { Ago, Empty, Head, Loading, Trouble } from "../parts/parts";
import { type Line, Plot } from "../parts/plot";
import { numbers, Table } from "../parts/table";
import type { Mark } from "../pure/marks";
import { brief, bytes, count, money, readAt, share, shortId, span } from "../pure/words";
import { adjust, to } from "../shell/place";
import { Changes, useMarks } from "./overview_changes";

const RANGES: Record<string, { label: string; seconds: number; slices: number }> = {
    "15m": { label: "15 minutes", seconds: 900, slices: 45 },
    "1h": { label: "1 hour", seconds: 3600, slices: 60 },
    "6h": { label: "6 hours", seconds: 21_600, slices: 72 },
    "24h": { label: "24 hours", seconds: 86_400, slices: 96 },
    "7d": { label: "7 days", seconds: 604_800, slices: 84 },
};
const LOOK_AT_MOST_EVERY = 4000;

export function OverviewPage({ query, hasNode }: { query: Record<string, string>; hasNode: boolean }) {
    const range = RANGES[query.range ?? ""] ? query.range! : "1h";
    const agent = query.agent ?? "";
    const { seconds, slices } = RANGES[range]!;
    const client = useQueryClient();
    const found = useQuery({
        queryKey: ["overview", range, agent],
        queryFn: ({ signal }) => get<Overview>("v1/overview", { seconds, slices, agent }, signal),
        refetchInterval: 15_000,
        placeholderData: keepPreviousData,
    });
    const looked = useRef(0);
    useChanges(() => {
        if (Date.now() - looked.current < LOOK_AT_MOST_EVERY) return;
        looked.current = Date.now();
        void client.invalidateQueries({ queryKey: ["overview"] });
    });
    return (
        <div className="page">
            <Head title="Overview" about={found.data && <Covered found={found.data} />}>
                <div className="segments" role="group" aria-label="Span of time">
                    {Object.entries(RANGES).map(([name, { label }]) => (
                        <button
                            key={name}
                            type="button"
                            aria-pressed={name === range}
                            aria-label={`${name}: the last ${label}`}
                            onClick={() => adjust({ range: name === "1h" ? null : name })}
                        >
                            {name}
                        </button>
                    ))}
                </div>
                {agent && (
                    <button type="button" className="chip" aria-pressed="true" onClick={() => adjust({ agent: null })}>
                        only {agent} ✕
                    </button>
                )}
            </Head>
            {found.error && !found.data && <Trouble error={found.error} again={() => void found.refetch()} />}
            {found.isPending && <Loading what="the figures" />}
            {found.data && <Standing found={found.data} agent={agent} hasNode={hasNode} />}
        </div>
    );
}

function Covered({ found }: { found: Overview }) {
    const isWhole = found.covers_from <= found.begin;
    return (
        <>
            {isWhole
                ? "Up to this moment. Runs that are kept count."
                : `The newest 20,000 runs: what began before ${new Date(found.covers_from).toLocaleTimeString("en-GB")} is not counted.`}
        </>
    );
}

function Standing({ found, agent, hasNode }: { found: Overview; agent: string; hasNode: boolean }) {
    const { total } = found;
    const marks = useMarks(found, agent);
    const ended = total.succeeded + total.failed;
    if (total.created === 0 && ended === 0 && total.cancelled === 0) {
        return (
            <>
                <Alerts />
                <Tiles found={found} hasNode={hasNode} />
                <Changes marks={marks} />
                <Empty title="No run in this span">
                    <p>
                        Choose a longer one above, or start a run from the page of an <a href={to(["agents"])}>agent</a>
                        . Runs that are not kept leave no figures here; <code>/metrics</code> counts them.
                    </p>
                </Empty>
            </>
        );
    }
    return (
        <>
            <Alerts />
            <Tiles found={found} hasNode={hasNode} />
            <Plots found={found} marks={marks} />
            <Changes marks={marks} />
            {!agent && <ByAgent found={found} />}
            <Faults found={found} />
        </>
    );
}

function Alerts() {
    const alerts = useAlerts();
    const firing = alerts.data?.items ?? [];
    if (firing.length === 0) return null;
    return (
        <section className="trouble" aria-label="Objectives that are missed">
            {firing.map((one) => (
                <p key={`${one.agent} ${one.objective} ${one.severity}`}>
                    <span className="strong">{one.severity === "page" ? "Now: " : "Soon: "}</span>
                    {one.summary} <a href={to(["overview"], { agent: one.agent })}>Look at {one.agent}</a>
                </p>
            ))}
        </section>
    );
}

function Tiles({ found, hasNode }: { found: Overview; hasNode: boolean }) {
    const { total, queue, reviews } = found;
    const ended = total.succeeded + total.failed;
    const minutes = (readAt(found.end) - readAt(found.begin)) / 60_000;
    const isFailing = ended > 0 && total.failed / ended > 0.05;
    return (
        <ul className="tiles">
            <Tile
                label="Runs"
                value={brief(total.created)}
                about={`${(total.created / minutes).toFixed(1)} a minute`}
                href={to(["runs"])}
            />
            <Tile
                label="Failed"
                value={ended === 0 ? "–" : share(total.failed, ended)}
                about={`${count(total.failed)} of ${count(ended)} that ended`}
                href={to(["runs"], { status: "failed" })}
                tone={isFailing ? "bad" : ""}
            />
            <Tile
                label="Lasted, p95"
                value={seconds(total.lasted.p95)}
                about={`p50 ${seconds(total.lasted.p50)} · p99 ${seconds(total.lasted.p99)}`}
            />
            <Tile
                label="Waited in queue, p95"
                value={seconds(total.waited.p95)}
                about={`${count(queue.ready)} ready now · ${count(queue.held)} held`}
                href={to(["queue"])}
                tone={queue.ready > 100 ? "warn" : ""}
            />
            <Tile
                label="Live now"
                value={count(queue.running + queue.waiting)}
                about={`${count(queue.running)} running · ${count(queue.waiting)} waiting`}
                href={to(["runs"], { status: "running,waiting" })}
            />
            <Tile
                label="Open reviews"
                value={count(reviews.count)}
                about={
                    reviews.expires_at ? (
                        <>
                            first ends <Ago at={reviews.expires_at} />
                        </>
                    ) : reviews.oldest_at ? (
                        <>
                            oldest <Ago at={reviews.oldest_at} />
                        </>
                    ) : (
                        "nobody is asked"
                    )
                }
                href={to(["reviews"])}
                tone={reviews.count > 0 ? "warn" : ""}
            />
            <Tile
                label="Cost"
                value={money(total.cost_usd)}
                about={`${brief(total.input_tokens)} tokens in · ${brief(total.output_tokens)} out`}
            />
            {hasNode && <MemoryTile />}
        </ul>
    );
}

/** Of the processes in which this node runs agents. Nothing where a key may not look at the node. */
function MemoryTile() {
    const node = useNode();
    if (!node.data) return null;
    const { hosts } = node.data;
    const up = hosts.filter((host) => host.is_up).length;
    return (
        <Tile
            label="Memory of hosts"
            value={bytes(hosts.reduce((sum, host) => sum + host.memory_bytes, 0)) || "–"}
            about={`${count(up)} of ${count(hosts.length)} up · on this node`}
            href={to(["queue"])}
            tone={up < hosts.length ? "warn" : ""}
        />
    );
}

function Tile({
    label,
    value,
    about,
    href,
    tone = "",
}: {
    label: string;
    value: string;
    about: React.ReactNode;
    href?: string;
    tone?: string;
}) {
    return (
        <li className={`tile ${tone}`}>
            <p className="label">{href ? <a href={href}>{label}</a> : label}</p>
            <p className="figure">{value}</p>
            <p className="about">{about}</p>
        </li>
    );
}

function seconds(value: number | null): string {
    return value === null ? "–" : span(value * 1000);
}

function Plots({ found, marks }: { found: Overview; marks: Mark[] }) {
    const { slices } = found;
    const times = useMemo(() => slices.map((slice) => readAt(slice.at) / 1000), [slices]);
    const traffic = useMemo<Line[]>(() => {
        const good = slices.map((slice) => slice.succeeded);
        const cancelled = slices.map((slice) => slice.cancelled);
        const failed = slices.map((slice) => slice.failed);
        const second = good.map((value, index) => value + cancelled[index]!);
        const third = second.map((value, index) => value + failed[index]!);
        return [
            { label: "failed", values: third, says: failed, colour: "--p-bad", isArea: true },
            { label: "cancelled", values: second, says: cancelled, colour: "--p-calm", isArea: true },
            { label: "succeeded", values: good, colour: "--p-good", isArea: true },
        ];
    }, [slices]);
    const lasted = useMemo<Line[]>(() => spread(slices, "lasted"), [slices]);
    const waited = useMemo<Line[]>(() => spread(slices, "waited"), [slices]);
    const cost = useMemo<Line[]>(
        () => [{ label: "US dollars", values: slices.map((slice) => slice.cost_usd), colour: "--p-one", isArea: true }],
        [slices],
    );
    const hasCost = found.total.cost_usd > 0;
    const tokens = useMemo<Line[]>(
        () => [
            { label: "in", values: slices.map((slice) => slice.input_tokens), colour: "--p-one" },
            { label: "out", values: slices.map((slice) => slice.output_tokens), colour: "--p-three" },
        ],
        [slices],
    );
    return (
        <div className="plots">
            <Plot title="Runs that ended" times={times} lines={traffic} format={brief} sync="overview" marks={marks} />
            <Plot
                title="How long they lasted"
                times={times}
                lines={lasted}
                format={(value) => span(value * 1000)}
                sync="overview"
                marks={marks}
            />
            <Plot
                title="How long they waited in the queue"
                times={times}
                lines={waited}
                format={(value) => span(value * 1000)}
                sync="overview"
                marks={marks}
            />
            {hasCost ? (
                <Plot title="Cost" times={times} lines={cost} format={money} sync="overview" marks={marks} />
            ) : (
                <Plot title="Tokens" times={times} lines={tokens} format={brief} sync="overview" marks={marks} />
            )}
        </div>
    );
}

function spread(slices: Figures[], name: "lasted" | "waited"): Line[] {
    return [
        { label: "p99", values: slices.map((slice) => slice[name].p99), colour: "--p-three" },
        { label: "p95", values: slices.map((slice) => slice[name].p95), colour: "--p-two" },
        { label: "p50", values: slices.map((slice) => slice[name].p50), colour: "--p-one" },
    ];
}

function ByAgent({ found }: { found: Overview }) {
    return (
        <section className="card" aria-labelledby="by-agent">
            <h2 id="by-agent">By agent</h2>
            <Table
                label="Figures by agent"
                columns={[
                    "Agent",
                    ...numbers("Created", "Live", "Failed", "Lasted p50", "p95", "p99", "Waited p95", "Tokens", "Cost"),
                ]}
            >
                {found.agents.map((one) => {
                    const ended = one.succeeded + one.failed;
                    return (
                        <tr key={one.agent}>
                            <th scope="row">
                                <a href={to(["overview"], { agent: one.agent! })}>{one.agent}</a>
                            </th>
                            <td>
                                <a href={to(["runs"], { agent: one.agent! })}>{count(one.created)}</a>
                            </td>
                            <td>{count(one.live)}</td>
                            <td className={one.failed > 0 ? "bad" : ""}>
                                {one.failed > 0 ? (
                                    <a href={to(["runs"], { agent: one.agent!, status: "failed" })}>
                                        {share(one.failed, ended)}
                                    </a>
                                ) : ended > 0 ? (
                                    "0 %"
                                ) : (
                                    "–"
                                )}
                            </td>
                            <td>{seconds(one.lasted.p50)}</td>
                            <td>{seconds(one.lasted.p95)}</td>
                            <td>{seconds(one.lasted.p99)}</td>
                            <td>{seconds(one.waited.p95)}</td>
                            <td>{brief(one.input_tokens + one.output_tokens)}</td>
                            <td>{money(one.cost_usd)}</td>
                        </tr>
                    );
                })}
            </Table>
        </section>
    );
}

function Faults({ found }: { found: Overview }) {
    if (found.faults.length === 0) return null;
    return (
        <section className="card" aria-labelledby="faults">
            <h2 id="faults">Why runs failed</h2>
            <Table label="Faults" columns={["Error", "Agent", ...numbers("Runs"), "Last", "Run"]}>
                {found.faults.map((fault) => (
                    <tr key={fault.agent + fault.code}>
                        <th scope="row">
                            <code className="bad">{fault.code}</code>
                        </th>
                        <td className="text">{fault.agent}</td>
                        <td>{count(fault.runs)}</td>
                        <td className="text">
                            <Ago at={fault.last_at} />
                        </td>
                        <td className="text">
                            <a href={to(["runs", fault.last_run])}>{shortId(fault.last_run)}</a>
                        </td>
                    </tr>
                ))}
            </Table>
        </section>
    );
}
