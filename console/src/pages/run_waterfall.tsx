// The waterfall: attempts on top, one row for each step below, on one axis. A row is a button that opens the step.

import { Empty } from "../parts/parts";
import { isWait, makeScale, makeTicks, type Waterfall } from "../pure/waterfall";
import { span } from "../pure/words";

const percent = (value: number) => `${(100 * value).toFixed(3)}%`;

export function WaterfallView({
    fall,
    chosen,
    onChoose,
    isCut,
}: {
    fall: Waterfall;
    chosen: string | null;
    onChoose: (key: string) => void;
    isCut: boolean;
}) {
    const scale = makeScale(fall);
    const ticks = scale.gaps.length > 0 ? [] : makeTicks(fall.to - fall.from);
    if (fall.attempts.length === 0 && fall.steps.length === 0) {
        return (
            <Empty title="Nothing has begun yet">
                <p>The run waits for a worker. When it stays so, look at the queue page for free places.</p>
            </Empty>
        );
    }
    return (
        <div className="waterfall">
            <div className="axis" aria-hidden="true">
                <span className="track">
                    {ticks.map((tick) => (
                        <span key={tick} className="tick" style={{ left: percent(scale.at(fall.from + tick)) }}>
                            {span(tick)}
                        </span>
                    ))}
                    {scale.gaps.map((gap) => (
                        <span
                            key={gap.from}
                            className="gap"
                            style={{
                                left: percent(scale.at(gap.from)),
                                width: percent(scale.at(gap.to) - scale.at(gap.from)),
                            }}
                            title={`${span(gap.to - gap.from)} of waiting, not drawn to scale`}
                        >
                            {span(gap.to - gap.from)}
                        </span>
                    ))}
                </span>
            </div>
            {fall.attempts.length > 0 && (
                <div className="attempts">
                    <span className="label">{fall.attempts.length === 1 ? "attempt" : "attempts"}</span>
                    <span className="track">
                        {fall.attempts.map((bar, index) => (
                            <span
                                key={index}
                                className={`bar attempt ${bar.isOpen ? "open" : bar.end === "run.queued" ? "lost" : ""}`}
                                style={place(scale.at(bar.from), scale.at(bar.to))}
                                title={`attempt ${bar.attempt}: ${span(bar.to - bar.from)}${bar.reason ? `, ended by ${bar.reason}` : ""}`}
                            >
                                {bar.attempt}
                            </span>
                        ))}
                    </span>
                </div>
            )}
            <ol className="steps">
                {fall.steps.map(({ step, from, to, isOpen }) => (
                    <li key={step.key}>
                        <button
                            type="button"
                            className={`steprow ${step.status}`}
                            aria-pressed={chosen === step.key}
                            onClick={() => onChoose(step.key)}
                        >
                            <span className="label">
                                <span className={`kind ${step.kind}`}>{step.kind}</span>
                                <span className="name">{step.name}</span>
                                {step.attempt > 1 && <span className="pill">×{step.attempt}</span>}
                            </span>
                            <span className="track">
                                <span
                                    className={`bar ${step.kind} ${step.status}${isOpen ? " open" : ""}${isWait(step.kind) ? " wait" : ""}`}
                                    style={place(scale.at(from), scale.at(to))}
                                />
                                <span
                                    className="took"
                                    style={
                                        scale.at(to) > 0.86
                                            ? { right: percent(1 - scale.at(from)) }
                                            : { left: percent(scale.at(to)) }
                                    }
                                >
                                    {span(to - from)}
                                    {step.status === "failed" && " failed"}
                                    {isOpen && "…"}
                                </span>
                            </span>
                        </button>
                    </li>
                ))}
            </ol>
            {fall.steps.length === 0 && (
                <p className="faint">This run has kept no step: its agent calls none, or has not come so far.</p>
            )}
            {isCut && <p className="muted">Only the first 2,000 steps are shown. `pilothouse runs steps` lists all.</p>}
        </div>
    );
}

function place(from: number, to: number) {
    return { left: percent(from), width: `max(3px, ${percent(to - from)})` };
}
