// One run: where it is, what it did, and what can be done about it. Everything follows its events.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { get, post } from "../api/call";
import { type Told, useEmitted, useRun, useRunEvents, useSteps } from "../api/run";
import { isLive, type PageOf, type Review, type Run } from "../api/types";
import { Act, Confirm, Form } from "../parts/form";
import { useNotices } from "../parts/notices";
import { useNow } from "../parts/now";
import { Ago, Copy, Dialog, Facts, Head, Lasting, Loading, Panel, StatusMark, Tabs, Trouble } from "../parts/parts";
import { JsonBlock, Value, Words } from "../parts/value";
import { makeWaterfall } from "../pure/waterfall";
import { brief, money, readAt, shortId, span } from "../pure/words";
import { adjust, go, to, usePlace } from "../shell/place";
import { EventList, LogList } from "./run_events";
import { OpenIncident } from "./incident_open";
import { ForkDialog } from "./run_fork";
import { StepPane } from "./run_step";
import { WaterfallView } from "./run_waterfall";

export function RunPage({ id }: { id: string }) {
    const run = useRun(id);
    const told = useRunEvents(id);
    if (run.data) return <RunView run={run.data} told={told} />;
    return (
        <div className="page">
            <Head title={`Run ${shortId(id)}`} />
            {run.error ? <Trouble error={run.error} again={() => void run.refetch()} /> : <Loading what="the run" />}
        </div>
    );
}

function RunView({ run, told }: { run: Run; told: Told }) {
    const { query } = usePlace();
    const steps = useSteps(run.id);
    const now = useNow();
    const live = isLive(run.status);
    const fall = useMemo(
        () =>
            makeWaterfall(
                run.created_at,
                run.finished_at,
                steps.data?.steps ?? [],
                told.events,
                live ? now : Date.now(),
            ),
        [run.created_at, run.finished_at, steps.data, told.events.length, live ? now : 0],
    );
    const tab = ["events", "logs", "json"].includes(query.tab ?? "") ? query.tab! : "steps";
    const chosen = steps.data?.steps.find((step) => step.key === query.step) ?? null;
    const logs = told.events.filter((event) => event.type === "run.log").length;
    return (
        <div className="page">
            <p className="crumbs">
                <a href={to(["runs"])}>Runs</a> <span aria-hidden="true">/</span>{" "}
                <a href={to(["runs"], { agent: run.agent })}>{run.agent}</a>
            </p>
            <Head
                title={
                    <>
                        <span className="run-agent">{run.agent}</span> <StatusMark status={run.status} />
                    </>
                }
                about={
                    <span className="idline">
                        <code>{run.id}</code>
                        <Copy text={run.id} label="Copy the id of the run" />
                        <LineMark told={told} live={live} />
                    </span>
                }
            >
                <OpenIncident agent={run.agent} run={run.id} />
                <Actions run={run} />
            </Head>
            <RunFacts run={run} />
            {run.error && <RunError run={run} />}
            <OpenReview run={run} />
            <WaitsFor run={run} />
            <div className="pair">
                <section className="card" aria-labelledby="run-input">
                    <h2 id="run-input">Input</h2>
                    <Value value={run.input} label="input" />
                </section>
                <Output run={run} told={told} />
            </div>
            <Tabs
                label="What happened"
                chosen={tab}
                onChoose={(name) => adjust({ tab: name === "steps" ? null : name })}
                tabs={[
                    { name: "steps", label: "Timeline", count: steps.data?.steps.length },
                    { name: "events", label: "Events", count: told.events.length + told.dropped },
                    { name: "logs", label: "Logs", count: logs },
                    { name: "json", label: "JSON" },
                ]}
            />
            <Panel name={tab}>
                {tab === "steps" && (
                    <div className={chosen ? "timeline with-step" : "timeline"}>
                        {steps.error ? (
                            <Trouble error={steps.error} again={() => void steps.refetch()} />
                        ) : (
                            <WaterfallView
                                fall={fall}
                                chosen={chosen?.key ?? null}
                                onChoose={(key) => adjust({ step: key === chosen?.key ? null : key })}
                                isCut={steps.data?.isCut ?? false}
                            />
                        )}
                        {chosen && <StepPane run={run} step={chosen} onClose={() => adjust({ step: null })} />}
                    </div>
                )}
                {tab === "events" && <EventList told={told} from={run.created_at} />}
                {tab === "logs" && <LogList told={told} />}
                {tab === "json" && <JsonBlock value={run as never} label="the run" />}
            </Panel>
        </div>
    );
}

function LineMark({ told, live }: { told: Told; live: boolean }) {
    if (!live || told.line === "over") return null;
    return told.line === "open" ? (
        <span className="line open" role="status">
            <span className="dot" aria-hidden="true" /> live
        </span>
    ) : (
        <span className="line" role="status">
            <span className="dot" aria-hidden="true" /> connecting again…
        </span>
    );
}

function RunFacts({ run }: { run: Run }) {
    const facts: [string, React.ReactNode][] = [
        ["Created", <Ago key="c" at={run.created_at} />],
        [
            "Waited in queue",
            run.started_at ? (
                span(readAt(run.started_at) - readAt(run.created_at))
            ) : (
                <Lasting key="q" from={run.created_at} to={run.finished_at} />
            ),
        ],
        [isLive(run.status) ? "Goes on for" : "Lasted", <Lasting key="l" from={run.started_at} to={run.finished_at} />],
        ["Attempt", run.attempt],
        ["Mode", run.mode],
    ];
    if (run.session)
        facts.push([
            "Session",
            <a key="s" href={to(["sessions", run.agent, run.session])}>
                {run.session}
            </a>,
        ]);
    if (run.usage.model_calls + run.usage.input_tokens > 0) {
        facts.push(["Tokens in, out", `${brief(run.usage.input_tokens)}, ${brief(run.usage.output_tokens)}`]);
        facts.push(["Model, tool calls", `${run.usage.model_calls}, ${run.usage.tool_calls}`]);
    }
    if (run.usage.cost_usd > 0) facts.push(["Cost", money(run.usage.cost_usd)]);
    if (run.due_at && isLive(run.status)) facts.push(["Due", <Ago key="d" at={run.due_at} />]);
    if (run.deadline_at && isLive(run.status)) facts.push(["Deadline", <Ago key="dl" at={run.deadline_at} />]);
    if (run.subject) facts.push(["Subject", run.subject]);
    if (run.parent)
        facts.push([
            "Called by",
            <a key="p" href={to(["runs", run.parent])}>
                {shortId(run.parent)}
            </a>,
        ]);
    if (run.origin)
        facts.push([
            "Made from",
            <a key="o" href={to(["runs", run.origin])}>
                {shortId(run.origin)}
            </a>,
        ]);
    facts.push([
        "Release",
        <code key="r" title={run.release}>
            {run.release.slice(0, 12)}
        </code>,
    ]);
    if (run.priority !== 0) facts.push(["Priority", run.priority]);
    return <Facts facts={facts} />;
}

function RunError({ run }: { run: Run }) {
    const error = run.error!;
    return (
        <section className="trouble" aria-label="Why it ended">
            <p className="strong">
                <code>{error.code}</code>
            </p>
            <Words text={error.message} />
            {error.hint && <p className="hint">{error.hint}</p>}
            {typeof error.trace === "string" && (
                <details>
                    <summary>Where in the code</summary>
                    <pre>{error.trace}</pre>
                </details>
            )}
        </section>
    );
}

function OpenReview({ run }: { run: Run }) {
    const found = useQuery({
        queryKey: ["reviews", "run", run.id],
        queryFn: () => get<PageOf<Review>>("v1/reviews", { run: run.id, limit: 20 }),
        enabled: run.status === "waiting" || run.status === "running",
    });
    const open = found.data?.items.filter((one) => one.status === "open") ?? [];
    // Most runs that wait ask somebody: the place is kept, so that nothing below moves when the answer comes.
    if (found.isLoading && run.status === "waiting") return <p className="asks faint">Looking whom it waits for…</p>;
    if (open.length === 0) return null;
    return (
        <section className="asks" aria-label="Open reviews">
            {open.map((review) => (
                <p key={review.id}>
                    <span className="strong">It asks: </span>
                    {review.question} <a href={to(["reviews", review.id])}>Decide</a>
                </p>
            ))}
        </section>
    );
}

function WaitsFor({ run }: { run: Run }) {
    const obstacle = run.waits_for;
    if (!obstacle || obstacle.kind === "review") return null; // a review is shown with its question
    return (
        <section className="asks" aria-label="What it waits for">
            <p>
                <span className="strong">It waits: </span>
                {obstacle.message}{" "}
                {obstacle.kind === "turn" && obstacle.on && <a href={to(["runs", obstacle.on])}>That turn</a>}
                {obstacle.kind === "hold" && <a href={to(["holds"])}>Holds</a>}
                {obstacle.kind === "release" && <code>{obstacle.on}</code>}
            </p>
        </section>
    );
}

function Output({ run, told }: { run: Run; told: Told }) {
    const emitted = useEmitted(told.events, told.events.length);
    const isDone = run.status === "succeeded";
    return (
        <section className="card" aria-labelledby="run-output">
            <h2 id="run-output">Output</h2>
            {isDone ? (
                <Value value={run.output} label="output" />
            ) : emitted !== null ? (
                <Words text={emitted} />
            ) : (
                <p className="faint">{isLive(run.status) ? "Nothing yet." : "It ended without one."}</p>
            )}
        </section>
    );
}

function Actions({ run }: { run: Run }) {
    const client = useQueryClient();
    const { tell } = useNotices();
    const [open, setOpen] = useState<"cancel" | "fork" | "compare" | null>(null);
    const live = isLive(run.status);
    const retry = async () => {
        const made = await post<Run>(`v1/runs/${run.id}/retry`);
        tell(`Started again as ${shortId(made.id)}; its finished steps are kept.`);
        go(["runs", made.id]);
    };
    return (
        <>
            {live && (
                <button type="button" className="danger" onClick={() => setOpen("cancel")}>
                    Cancel
                </button>
            )}
            {(run.status === "failed" || run.status === "cancelled") && (
                <Act className="main" onSend={retry}>
                    Retry
                </Act>
            )}
            <button type="button" onClick={() => setOpen("fork")}>
                Fork
            </button>
            <button type="button" onClick={() => setOpen("compare")}>
                Compare
            </button>
            {open === "cancel" && (
                <CancelDialog
                    run={run}
                    onClose={() => setOpen(null)}
                    onDone={() => void client.invalidateQueries({ queryKey: ["run", run.id] })}
                />
            )}
            {open === "fork" && <ForkDialog run={run} onClose={() => setOpen(null)} />}
            {open === "compare" && <CompareDialog run={run} onClose={() => setOpen(null)} />}
        </>
    );
}

function CancelDialog({ run, onClose, onDone }: { run: Run; onClose: () => void; onDone: () => void }) {
    const { tell } = useNotices();
    const [reason, setReason] = useState("");
    const cancel = async () => {
        const found = await post<Run>(`v1/runs/${run.id}/cancel`, reason ? { reason } : {});
        tell(found.status === "cancelled" ? "The run is cancelled." : "The run will end as cancelled.");
        onDone();
    };
    return (
        <Confirm
            title="Cancel this run?"
            action="Cancel the run"
            isDanger
            close="Let it go on"
            onClose={onClose}
            onSure={cancel}
        >
            <p>
                It ends as cancelled, whatever it is doing. Steps that finished stay in the journal; their effects are
                not undone.
            </p>
            <label className="field">
                Reason <span className="faint">(optional, kept with the run)</span>
                <input value={reason} maxLength={1000} onChange={(event) => setReason(event.target.value)} />
            </label>
        </Confirm>
    );
}

function CompareDialog({ run, onClose }: { run: Run; onClose: () => void }) {
    const [other, setOther] = useState(run.origin ?? "");
    const recent = useQuery({
        queryKey: ["runs", "recent", run.agent],
        queryFn: () => get<PageOf<Run>>("v1/runs", { agent: run.agent, limit: 20 }),
    });
    const choices = recent.data?.items.filter((one) => one.id !== run.id) ?? [];
    return (
        <Dialog title="Compare with another run" onClose={onClose}>
            <Form
                action="Compare"
                isReady={other.trim() !== ""}
                onClose={onClose}
                onSend={async () => go(["compare", run.id, other.trim()])}
            >
                <label className="field">
                    Id of the other run
                    <input
                        value={other}
                        onChange={(event) => setOther(event.target.value)}
                        placeholder="run_…"
                        autoFocus
                    />
                </label>
                {choices.length > 0 && (
                    <ul className="picks">
                        {choices.map((one) => (
                            <li key={one.id}>
                                <button
                                    type="button"
                                    className="ghost"
                                    aria-pressed={other === one.id}
                                    onClick={() => setOther(one.id)}
                                >
                                    <StatusMark status={one.status} /> <code>{shortId(one.id)}</code>{" "}
                                    <Ago at={one.created_at} />
                                </button>
                            </li>
                        ))}
                    </ul>
                )}
            </Form>
        </Dialog>
    );
}
