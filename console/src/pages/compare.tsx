// Two runs side by side: what they were asked, what they did, and where they went apart.

import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { useRun, readSteps } from "../api/run";
import type { Run, Step } from "../api/types";
import { DiffBlock } from "../parts/diff";
import { Head, Loading, StatusMark, Trouble } from "../parts/parts";
import { Value, Words } from "../parts/value";
import { matchSteps, type Pair } from "../pure/compare";
import { count, money, readAt, shortId, span } from "../pure/words";
import { to } from "../shell/place";

export function ComparePage({ left, right }: { left: string; right: string }) {
    const runs = [useRun(left), useRun(right)];
    const steps = [left, right].map((id) =>
        useQuery({ queryKey: ["run", id, "steps"], queryFn: ({ signal }) => readSteps(id, signal) }),
    );
    const error = [...runs, ...steps].find((one) => one.error)?.error;
    const [one, other] = runs.map((run) => run.data);
    const pairs = useMemo(
        () => (steps[0]!.data && steps[1]!.data ? matchSteps(steps[0]!.data.steps, steps[1]!.data.steps) : []),
        [steps[0]!.data, steps[1]!.data],
    );
    const [isAll, setAll] = useState(false);
    const shown = isAll ? pairs : pairs.filter((pair) => pair.verdict !== "same");
    const same = pairs.length - pairs.filter((pair) => pair.verdict !== "same").length;
    return (
        <div className="page">
            <p className="crumbs">
                <a href={to(["runs"])}>Runs</a>
            </p>
            <Head
                title="Two runs side by side"
                about={pairs.length > 0 ? `${count(same)} of ${count(pairs.length)} steps are the same.` : undefined}
            />
            {error && <Trouble error={error} />}
            {!error && (!one || !other) && <Loading what="the runs" />}
            {one && other && (
                <>
                    <div className="pair">
                        <Side run={one} name="Left" />
                        <Side run={other} name="Right" />
                    </div>
                    <section className="card" aria-labelledby="inputs">
                        <h2 id="inputs">Input</h2>
                        <Difference left={one.input} right={other.input} label="difference of the inputs" />
                    </section>
                    <section className="card" aria-labelledby="steps">
                        <header>
                            <h2 id="steps">Steps</h2>
                            <label className="check">
                                <input
                                    type="checkbox"
                                    checked={isAll}
                                    onChange={(event) => setAll(event.target.checked)}
                                />{" "}
                                with those that are the same
                            </label>
                        </header>
                        {shown.length === 0 && (
                            <p className="faint">
                                {pairs.length === 0 ? "Neither has kept a step." : "All steps are the same."}
                            </p>
                        )}
                        <ol className="pairs">
                            {shown.map((pair, index) => (
                                <PairView key={index} pair={pair} />
                            ))}
                        </ol>
                    </section>
                    <section className="card" aria-labelledby="outputs">
                        <h2 id="outputs">Output</h2>
                        {one.error || other.error ? (
                            <div className="pair">
                                {[one, other].map((run, index) => (
                                    <div key={index}>
                                        {run.error ? (
                                            <Words text={`${run.error.code}: ${run.error.message}`} />
                                        ) : (
                                            <Value value={run.output} label={`output of ${run.id}`} />
                                        )}
                                    </div>
                                ))}
                            </div>
                        ) : (
                            <Difference left={one.output} right={other.output} label="difference of the outputs" />
                        )}
                    </section>
                </>
            )}
        </div>
    );
}

function Side({ run, name }: { run: Run; name: string }) {
    const lasted = run.started_at && run.finished_at ? span(readAt(run.finished_at) - readAt(run.started_at)) : "–";
    return (
        <section className="card" aria-label={`${name} run`}>
            <h2>
                <a href={to(["runs", run.id])}>{shortId(run.id)}</a> <StatusMark status={run.status} />
            </h2>
            <p className="muted number">
                {run.agent} · {lasted} · {count(run.usage.input_tokens + run.usage.output_tokens)} tokens ·{" "}
                {money(run.usage.cost_usd)} · release <code>{run.release.slice(0, 12)}</code>
            </p>
        </section>
    );
}

function Difference({ left, right, label }: { left: unknown; right: unknown; label: string }) {
    const [before, after] = [JSON.stringify(left ?? null, null, 2), JSON.stringify(right ?? null, null, 2)];
    return before === after ? (
        <p className="faint">The same.</p>
    ) : (
        <DiffBlock before={before} after={after} label={label} />
    );
}

function PairView({ pair }: { pair: Pair }) {
    const { left, right, verdict } = pair;
    const step = (left ?? right)!;
    return (
        <li className={`compared ${verdict.replace(" ", "-")}`}>
            <details>
                <summary>
                    <span className={`kind ${step.kind}`}>{step.kind}</span> <span className="strong">{step.name}</span>{" "}
                    <span className="pill">{verdict}</span>
                    <span className="faint number">
                        {took(left)} · {took(right)}
                    </span>
                </summary>
                {left && right ? (
                    <>
                        {verdict === "other arguments" && (
                            <>
                                <h3>Arguments</h3>
                                <Difference left={left.input} right={right.input} label="difference of the arguments" />
                            </>
                        )}
                        <h3>Result</h3>
                        <Difference
                            left={left.error ?? left.output}
                            right={right.error ?? right.output}
                            label="difference of the results"
                        />
                    </>
                ) : (
                    <Value value={step.output} label={`result of ${step.name}`} />
                )}
            </details>
        </li>
    );
}

function took(step: Step | null): string {
    if (!step) return "–";
    return step.finished_at ? span(readAt(step.finished_at) - readAt(step.started_at)) : "goes on";
}
