// Trying an agent: its input as a form, its answer as it comes.

import { useState } from "react";

import { post } from "../api/call";
import { useEmitted, useRun, useRunEvents } from "../api/run";
import { type Agent, isLive, type Json, type Run } from "../api/types";
import { useNotices } from "../parts/notices";
import { StatusMark } from "../parts/parts";
import { Value, Words } from "../parts/value";
import { shortId } from "../pure/words";
import { to } from "../shell/place";
import { InputForm } from "./agent_form";

export function TryAgent({ agent }: { agent: Agent }) {
    const { fail } = useNotices();
    const [run, setRun] = useState<Run | null>(null);
    const start = async (input: Json) => {
        try {
            setRun(
                await post<Run>(
                    `v1/agents/${encodeURIComponent(agent.name)}/runs`,
                    { input, metadata: { started_from: "console" } },
                    { Prefer: "respond-async" },
                ),
            );
        } catch (error) {
            fail(error);
        }
    };
    return (
        <div className="pair">
            <InputForm agent={agent} label="Try it" action={run ? "Run it again" : "Run it"} onSend={start} />
            <section className="card" aria-label="Answer" aria-live="polite">
                <h2>Answer</h2>
                {run ? (
                    <Answer key={run.id} started={run} />
                ) : (
                    <p className="faint">
                        What it says appears here as it comes. The run is real: it is kept, and has its effects.
                    </p>
                )}
            </section>
        </div>
    );
}

function Answer({ started }: { started: Run }) {
    const told = useRunEvents(started.id);
    const run = useRun(started.id).data ?? started;
    const emitted = useEmitted(told.events, told.events.length);
    return (
        <>
            <p className="row">
                <StatusMark status={run.status} /> <a href={to(["runs", run.id])}>{shortId(run.id)}</a>
            </p>
            {run.status === "succeeded" ? (
                <Value value={run.output} label="output" />
            ) : emitted !== null ? (
                <Words text={emitted} />
            ) : isLive(run.status) ? (
                <p className="faint">Nothing yet.</p>
            ) : null}
            {run.error && (
                <div className="trouble">
                    <code>{run.error.code}</code>
                    <Words text={run.error.message} />
                    {run.error.hint && <p className="hint">{run.error.hint}</p>}
                </div>
            )}
        </>
    );
}

/** A turn that has not ended yet, in the conversation it belongs to. */
export function LiveTurn({ run }: { run: Run }) {
    const told = useRunEvents(run.id);
    const emitted = useEmitted(told.events, told.events.length);
    const last = [...told.events].reverse().find((event) => event.type.startsWith("run.") && event.type !== "run.log");
    const status = last ? (STATES[last.type] ?? run.status) : run.status;
    return (
        <li>
            <div className="bubble asked">
                <Value value={run.input} label="input of the turn under way" />
            </div>
            <div className="bubble answered" aria-live="polite" aria-busy={isLive(status)}>
                {emitted !== null ? <Words text={emitted} /> : <StatusMark status={status} />}
            </div>
            <p className="turnline">
                <StatusMark status={status} /> · <a href={to(["runs", run.id])}>{shortId(run.id)}</a>
            </p>
        </li>
    );
}

const STATES: Record<string, Run["status"]> = {
    "run.queued": "queued",
    "run.started": "running",
    "run.resumed": "running",
    "run.waiting": "waiting",
    "run.succeeded": "succeeded",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
};
