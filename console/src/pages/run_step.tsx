// One step of a run: what it was given, what it gave, and the way to go on from here with another result.

import { useState } from "react";

import type { Json, Run, Step } from "../api/types";
import { Ago, Copy, Facts, Lasting, StatusMark } from "../parts/parts";
import { Value, Words } from "../parts/value";
import { to } from "../shell/place";
import { ForkDialog } from "./run_fork";

export function StepPane({ run, step, onClose }: { run: Run; step: Step; onClose: () => void }) {
    const [isForking, setForking] = useState(false);
    return (
        <section className="card steppane" aria-label={`Step ${step.name}`}>
            <header>
                <h2>
                    {step.name} <StatusMark status={step.status} />
                </h2>
                <button type="button" className="ghost small" aria-label="Close the step" onClick={onClose}>
                    ✕
                </button>
            </header>
            <p className="idline">
                <code>{step.key}</code>
                <Copy text={step.key} label="Copy the key of the step" />
            </p>
            <Facts
                facts={[
                    ["Kind", step.kind],
                    ["Started", <Ago key="s" at={step.started_at} />],
                    ["Took", <Lasting key="t" from={step.started_at} to={step.finished_at} />],
                    ["Executions", step.attempt],
                    ...(step.once ? ([["Runs", "once, never twice"]] as [string, string][]) : []),
                    ...(step.due_at && !step.finished_at
                        ? ([["Due", <Ago key="d" at={step.due_at} />]] as [string, React.ReactNode][])
                        : []),
                ]}
            />
            {step.error && (
                <div className="trouble">
                    <p className="strong">
                        <code>{step.error.code}</code>
                    </p>
                    <Words text={step.error.message} />
                    {step.error.hint && <p className="hint">{step.error.hint}</p>}
                </div>
            )}
            {step.kind === "gate" && <Decision output={step.output} />}
            <h3>{step.kind === "model" ? "What the model was told" : "Arguments"}</h3>
            {step.input === null ? (
                <p className="faint">The journal keeps a digest of them only.</p>
            ) : (
                <Value value={step.input} label="arguments" />
            )}
            <h3>{step.kind === "model" ? "What it answered" : "Result"}</h3>
            {step.finished_at === null ? (
                <p className="faint">Not yet.</p>
            ) : (
                <Value value={step.output} label="result" />
            )}
            {step.status === "succeeded" && (
                <footer>
                    <button type="button" onClick={() => setForking(true)}>
                        Fork from here…
                    </button>
                </footer>
            )}
            {isForking && <ForkDialog run={run} step={step} onClose={() => setForking(false)} />}
        </section>
    );
}

/** What the policies said to an action, by which of them, and the review that was asked for. */
function Decision({ output }: { output: Json | null }) {
    if (output === null || typeof output !== "object" || Array.isArray(output)) return null;
    const text = (name: string) => (typeof output[name] === "string" ? (output[name] as string) : "");
    const policies = Array.isArray(output.policies) ? output.policies.map(String) : [];
    return (
        <section aria-label="The decision">
            <h3>The decision</h3>
            <p>
                <span className={`strong ${text("verdict") === "deny" ? "bad" : ""}`}>{text("verdict")}</span>
                {text("would") && text("would") !== text("verdict") && ` (they only log; they would ${text("would")})`}
                {text("reason") && `: ${text("reason")}`}
            </p>
            <p className="muted">
                {policies.length === 0 ? "No policy speaks of it." : `Decided by ${policies.join(", ")}.`}{" "}
                {text("review") && <a href={to(["reviews", text("review")])}>The review</a>}
            </p>
        </section>
    );
}
