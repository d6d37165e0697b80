// What kind of review it is, as a mark, and what whoever decides needs to see of that kind before all else.

import type { Json, Review } from "../api/types";
import { DiffBlock } from "../parts/diff";
import { useNow } from "../parts/now";
import { Facts, StatusMark } from "../parts/parts";
import { JsonBlock, Value, Words } from "../parts/value";
import { KINDS } from "../pure/review";
import { distance, readAt, shortId } from "../pure/words";
import { to } from "../shell/place";

const SOON = 15 * 60_000;
const SHAPES: Record<string, string> = {
    gate: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM6.2 6.3a1.9 1.9 0 1 1 2.6 1.8c-.6.3-.8.6-.8 1.2M8 11.4v.1",
    action: "M9 1.8 3.5 9H8l-1 5.2L12.5 7H8z",
    unknown_outcome: "M2 8h3l1.5-4 3 8L11 8h3",
    budget: "M8 2v12M11.5 4.5h-5a2 2 0 0 0 0 3.8h3a2 2 0 0 1 0 3.8H4.5",
    sample: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.3 10.3l3.2 3.2",
    appeal: "M3 13.5v-11l9 1.5-2.5 3L12 10l-9 1.5",
    incident: "M8 2 14.2 13H1.8zM8 6.3v3.2M8 11.2v.1",
    audit: "M4 2.5h8v11H4zM6 5.5h4M6 8h4M6 10.5h2",
};

/** A kind as a shape and a word; its colour says no more than those. */
export function KindMark({ kind }: { kind: string }) {
    return (
        <span className={`pill asks-kind ${kind}`} title={KINDS[kind]?.about}>
            <svg viewBox="0 0 16 16" aria-hidden="true">
                <path d={SHAPES[kind] ?? SHAPES.gate!} />
            </svg>
            {KINDS[kind]?.label ?? kind}
        </span>
    );
}

export function Deadline({ review }: { review: Review }) {
    const now = useNow();
    if (review.status !== "open") return <StatusMark status={review.status} />;
    if (review.expires_at === null) return <span className="faint">no deadline</span>;
    const left = readAt(review.expires_at) - now;
    return (
        <span className={left < SOON ? "bad strong" : "faint"} title={`ends ${review.expires_at}`}>
            {left <= 0 ? "ends now" : distance(readAt(review.expires_at), now)}
        </span>
    );
}

/** What stands first, by kind; everything that came with the question is below it, as it came. */
export function AboutKind({ review }: { review: Review }) {
    const details = review.details;
    const Special = { appeal: Appealed, incident: Happened, audit: DecidedAlone, sample: Sampled, action: Acting }[
        review.kind
    ];
    if (!Special)
        return (
            <>
                <h3>What it is about, as the agent gave it</h3>
                <JsonBlock value={details} label="details" />
            </>
        );
    return (
        <>
            <Special review={review} />
            <details className="raw">
                <summary>Everything that came with the question</summary>
                <JsonBlock value={details} label="details" />
            </details>
        </>
    );
}

function Appealed({ review }: { review: Review }) {
    const { reason, about, output, asks } = review.details;
    const decision = isObject(about) ? about : null;
    return (
        <section aria-label="The appeal">
            <h3>Why it is not accepted</h3>
            <Words text={textOf(reason)} />
            <h3>What is appealed against</h3>
            {decision ? (
                <>
                    <p>
                        The answer of people to{" "}
                        <a href={to(["reviews", textOf(decision.review)])}>{textOf(decision.question)}</a>
                    </p>
                    <JsonBlock value={decision.answer} label="the answer that is appealed against" />
                </>
            ) : (
                <Value value={output} label="the outcome that is appealed against" />
            )}
            {asks !== undefined && (
                <>
                    <h3>What should have come out, as they see it</h3>
                    <DiffBlock
                        before={JSON.stringify(decision ? (decision.answer ?? null) : (output ?? null), null, 2)}
                        after={JSON.stringify(asks, null, 2)}
                        label="what the appeal asks for"
                    />
                </>
            )}
        </section>
    );
}

function Happened({ review }: { review: Review }) {
    const { happened, hold, effect, alert } = review.details;
    const facts: [string, React.ReactNode][] = [];
    if (typeof hold === "string")
        facts.push([
            "Held by",
            <a key="h" href={to(["holds"])}>
                {shortId(hold)}
                {typeof effect === "string" && ` (${effect})`}
            </a>,
        ]);
    if (review.agent)
        facts.push([
            "The agent now",
            <a key="o" href={to(["overview"], { agent: review.agent })}>
                how {review.agent} does
            </a>,
        ]);
    return (
        <section aria-label="The incident">
            <h3>What happened</h3>
            <Words text={textOf(happened)} />
            {facts.length > 0 && <Facts facts={facts} />}
            {isObject(alert) && (
                <>
                    <h3>The alert that opened it</h3>
                    {typeof alert.summary === "string" && <Words text={alert.summary} />}
                    <JsonBlock value={alert} label="the alert" />
                </>
            )}
        </section>
    );
}

function DecidedAlone({ review }: { review: Review }) {
    const { of, by, reason } = review.details;
    return (
        <section aria-label="What was decided alone">
            <h3>What was decided alone</h3>
            <p>
                <span className="strong">{textOf(by)}</span> broke the glass and decided{" "}
                <a href={to(["reviews", textOf(of)])}>{shortId(textOf(of))}</a> without the others. The reason given:
            </p>
            <Words text={textOf(reason)} />
        </section>
    );
}

function Sampled({ review }: { review: Review }) {
    return (
        <section aria-label="What came out">
            <h3>What came out</h3>
            <Value value={review.details.output} label="output of the run" />
        </section>
    );
}

function Acting({ review }: { review: Review }) {
    const { tool, reason, policies } = review.details;
    return (
        <section aria-label="The action">
            <h3>
                What would be done: <code>{textOf(tool)}</code>
            </h3>
            <JsonBlock value={review.details.arguments} label="arguments" />
            {Array.isArray(policies) && policies.length > 0 && (
                <p className="muted">
                    Asked because of {policies.map((one) => textOf(one)).join(", ")}
                    {reason ? `: ${textOf(reason)}` : "."}
                </p>
            )}
        </section>
    );
}

function isObject(value: Json | undefined): value is { [key: string]: Json } {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: Json | undefined): string {
    return typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
}
