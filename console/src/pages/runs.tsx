// All runs, newest first. The filters are in the address; rows are drawn for what is on the screen, and pages are read
// as the end comes near, so ten thousand runs scroll like ten.

import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";

import { get } from "../api/call";
import { useRunList } from "../api/runs";
import { type Agent, type PageOf, type Run, type Status, STATUSES } from "../api/types";
import { Ago, Empty, Head, Lasting, Loading, StatusMark, Trouble } from "../parts/parts";
import { readFilter } from "../pure/runlist";
import { readText } from "../pure/messages";
import { brief, count, glance, money, shortId } from "../pure/words";
import { useKeys } from "../shell/keys";
import { adjust, go, to } from "../shell/place";

const NEAR_END = 30;
const NARROW = "(max-width: 760px)";

export function RunsPage({ query }: { query: Record<string, string> }) {
    const filter = readFilter(query);
    const { list, error, isReading, more, again } = useRunList(filter);
    const isFiltered = filter.agent !== "" || filter.session !== "" || filter.parent !== "" || filter.status.length > 0;
    return (
        <div className="page fill">
            <Head title="Runs" about="Every call of an agent that is kept, newest first." />
            <Filters query={query} />
            {error !== null && <Trouble error={error} again={again} />}
            {!list.isRead && isReading && error === null && <Loading what="runs" />}
            {list.isRead && list.runs.length === 0 && (isFiltered ? <NoneFit /> : <NoRuns />)}
            {list.runs.length > 0 && <RunTable runs={list.runs} hasMore={list.cursor !== null} more={more} />}
        </div>
    );
}

function NoneFit() {
    return (
        <Empty title="No run fits these filters">
            <p>
                Loosen one of them, or <a href={to(["runs"])}>show all runs</a>. Ended runs are kept for the days of{" "}
                <code>records.retention_days</code>.
            </p>
        </Empty>
    );
}

function NoRuns() {
    const agents = useQuery({ queryKey: ["agents"], queryFn: () => get<PageOf<Agent>>("v1/agents") });
    const agent = agents.data?.items.find((one) => one.mode === "event") ?? agents.data?.items[0];
    const command = `curl -s ${new URL("v1/agents/", document.baseURI).href}${agent?.name ?? "AGENT"}/runs -H 'Prefer: respond-async' -d '{"input": "hello"}'`;
    return (
        <Empty title="No run has been kept yet" command={command}>
            <p>
                Start one with the command below, or from the page of an agent. Stateless runs are answered and
                forgotten unless the request asks for an answer later.
            </p>
        </Empty>
    );
}

function Filters({ query }: { query: Record<string, string> }) {
    const filter = readFilter(query);
    const agents = useQuery({
        queryKey: ["agents"],
        queryFn: () => get<PageOf<Agent>>("v1/agents"),
        staleTime: 30_000,
    });
    const [find, setFind] = useState(filter.session);
    useEffect(() => setFind(filter.session), [filter.session]);
    const flip = (status: Status) => {
        const next = filter.status.includes(status)
            ? filter.status.filter((one) => one !== status)
            : [...filter.status, status];
        adjust({ status: STATUSES.filter((one) => next.includes(one)).join(",") });
    };
    const names = new Set([
        ...(agents.data?.items.map((one) => one.name) ?? []),
        ...(filter.agent ? [filter.agent] : []),
    ]);
    return (
        <form
            className="filters"
            role="search"
            aria-label="Filter the runs"
            onSubmit={(event) => {
                event.preventDefault();
                if (/^run_[\w-]+$/.test(find.trim())) go(["runs", find.trim()]);
                else adjust({ session: find.trim() });
            }}
        >
            <div className="chips" role="group" aria-label="States">
                {STATUSES.map((status) => (
                    <button
                        key={status}
                        type="button"
                        className="chip"
                        aria-pressed={filter.status.includes(status)}
                        onClick={() => flip(status)}
                    >
                        <StatusMark status={status} />
                    </button>
                ))}
            </div>
            <label>
                <span className="unseen">Agent</span>
                <select value={filter.agent} onChange={(event) => adjust({ agent: event.target.value })}>
                    <option value="">All agents</option>
                    {[...names].sort().map((name) => (
                        <option key={name}>{name}</option>
                    ))}
                </select>
            </label>
            <label className="grow">
                <span className="unseen">Session key, or the id of a run to open</span>
                <input
                    type="search"
                    data-find
                    placeholder="Session key, or run_… to open"
                    value={find}
                    onChange={(event) => setFind(event.target.value)}
                />
            </label>
            {filter.parent && (
                <button type="button" className="chip" aria-pressed="true" onClick={() => adjust({ parent: null })}>
                    called by {shortId(filter.parent)} ✕
                </button>
            )}
        </form>
    );
}

function useNarrow(): boolean {
    const [isNarrow, setNarrow] = useState(() => window.matchMedia(NARROW).matches);
    useEffect(() => {
        const query = window.matchMedia(NARROW);
        const hear = () => setNarrow(query.matches);
        query.addEventListener("change", hear);
        return () => query.removeEventListener("change", hear);
    }, []);
    return isNarrow;
}

function RunTable({ runs, hasMore, more }: { runs: Run[]; hasMore: boolean; more: () => void }) {
    const box = useRef<HTMLDivElement>(null);
    const isNarrow = useNarrow();
    const height = isNarrow ? 62 : 38;
    const [chosen, setChosen] = useState(-1);
    const rows = useVirtualizer({
        count: runs.length,
        getScrollElement: () => box.current,
        estimateSize: () => height,
        overscan: 12,
        getItemKey: (index) => runs[index]!.id,
    });
    const shown = rows.getVirtualItems();
    const last = shown.at(-1)?.index ?? 0;
    useEffect(() => {
        rows.measure();
    }, [height]);
    useEffect(() => {
        if (hasMore && last >= runs.length - NEAR_END) more();
    }, [hasMore, last, runs.length, more]);
    const move = (by: number) => {
        const next = Math.min(runs.length - 1, Math.max(0, chosen + by));
        setChosen(next);
        rows.scrollToIndex(next);
        window.requestAnimationFrame(() =>
            box.current?.querySelector<HTMLElement>(`[data-row="${next}"] a`)?.focus({ preventScroll: true }),
        );
    };
    useKeys({ j: () => move(1), k: () => move(-1) });
    return (
        <>
            <div className="runtable" role="table" aria-label="Runs" aria-rowcount={hasMore ? -1 : runs.length + 1}>
                <div role="rowgroup" className="heads">
                    <div role="row" aria-rowindex={1} className="runrow">
                        {["State", "Agent", "Input", "Session", "Created", "Lasted", "Tokens", "Cost", "Run"].map(
                            (name) => (
                                <span key={name} role="columnheader" className={`c-${name.toLowerCase()}`}>
                                    {name}
                                </span>
                            ),
                        )}
                    </div>
                </div>
                <div role="rowgroup" className="rows" ref={box} tabIndex={-1}>
                    <div role="presentation" style={{ height: rows.getTotalSize(), position: "relative" }}>
                        {shown.map((row) => (
                            <Row
                                key={row.key}
                                run={runs[row.index]!}
                                index={row.index}
                                top={row.start}
                                height={height}
                            />
                        ))}
                    </div>
                </div>
            </div>
            <p className="tally" role="status">
                {count(runs.length)}
                {hasMore ? " read so far, more below" : runs.length === 1 ? " run" : " runs"}
            </p>
        </>
    );
}

function Row({ run, index, top, height }: { run: Run; index: number; top: number; height: number }) {
    const tokens = run.usage.input_tokens + run.usage.output_tokens;
    const said =
        run.status === "failed" && run.error ? run.error.message : glance(readText(run.input) ?? run.input, 160);
    return (
        <div
            role="row"
            aria-rowindex={index + 2}
            data-row={index}
            className="runrow"
            style={{ transform: `translateY(${top}px)`, height }}
        >
            <span role="cell" className="c-state">
                <StatusMark status={run.status} />
            </span>
            <span role="cell" className="c-agent">
                <a href={to(["runs", run.id])}>{run.agent}</a>
                {run.attempt > 1 && (
                    <span className="pill" title={`attempt ${run.attempt}`}>
                        ×{run.attempt}
                    </span>
                )}
            </span>
            <span role="cell" className={`c-input${run.status === "failed" ? " bad" : ""}`}>
                {said}
            </span>
            <span role="cell" className="c-session">
                {run.session ?? ""}
            </span>
            <span role="cell" className="c-created">
                <Ago at={run.created_at} />
            </span>
            <span role="cell" className="c-lasted">
                {run.started_at === null ? "" : <Lasting from={run.started_at} to={run.finished_at} />}
            </span>
            <span role="cell" className="c-tokens number">
                {tokens > 0 ? brief(tokens) : ""}
            </span>
            <span role="cell" className="c-cost number">
                {run.usage.cost_usd > 0 ? money(run.usage.cost_usd) : ""}
            </span>
            <span role="cell" className="c-run">
                <code title={run.id}>{shortId(run.id)}</code>
            </span>
        </div>
    );
}
