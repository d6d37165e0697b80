// The waterfall of a run: its attempts from the lifecycle events, its steps from the journal, on one axis of time.
// A wait of days beside steps of milliseconds would hide all of them, so the longest idle gaps are shown narrow.

import type { RunEvent, Step } from "../api/types";
import { readAt } from "./words";

export interface Bar {
    from: number;
    to: number;
    /** Still going on. */
    isOpen: boolean;
}

export interface AttemptBar extends Bar {
    attempt: number;
    /** How it ended: the event that did. */
    end: string;
    reason: string;
}

export interface StepBar extends Bar {
    step: Step;
}

export interface Waterfall {
    from: number;
    to: number;
    attempts: AttemptBar[];
    steps: StepBar[];
}

const ENDS = new Set(["run.waiting", "run.succeeded", "run.failed", "run.cancelled"]);

export function makeAttempts(events: readonly RunEvent[], now: number): AttemptBar[] {
    const found: AttemptBar[] = [];
    let open: AttemptBar | null = null;
    for (const event of events) {
        const at = readAt(event.at);
        if (event.type === "run.started" || event.type === "run.resumed") {
            open = {
                attempt: Number(event.attempt ?? found.length + 1),
                from: at,
                to: now,
                isOpen: true,
                end: "",
                reason: "",
            };
            found.push(open);
        } else if (open && (ENDS.has(event.type) || event.type === "run.queued")) {
            open.to = at;
            open.isOpen = false;
            open.end = event.type;
            open.reason = typeof event.reason === "string" ? event.reason : "";
            open = null;
        }
    }
    return found;
}

/** The begin of an attempt is told with the next thing that is made durable, a moment after its first step began; nothing
 * else can have run since the attempt before. A wait may begin in the very moment in which that one let go. */
function reachBack(attempts: AttemptBar[], bars: readonly StepBar[], from: number): AttemptBar[] {
    const worked = bars.filter((bar) => !isWait(bar.step.kind)).map((bar) => bar.from);
    return attempts.map((attempt, index) => {
        const free = index === 0 ? from : attempts[index - 1]!.to;
        const begun = worked.filter((at) => at >= free && at < attempt.from);
        return { ...attempt, from: Math.min(attempt.from, ...begun) };
    });
}

export function makeWaterfall(
    createdAt: string,
    finishedAt: string | null,
    steps: readonly Step[],
    events: readonly RunEvent[],
    now: number,
): Waterfall {
    const from = readAt(createdAt);
    const bars = steps.map((step) => {
        const begins = readAt(step.started_at);
        const ends =
            step.finished_at === null ? (finishedAt === null ? now : readAt(finishedAt)) : readAt(step.finished_at);
        return {
            step,
            from: begins,
            to: Math.max(begins, ends),
            isOpen: step.finished_at === null && finishedAt === null,
        };
    });
    const attempts = reachBack(makeAttempts(events, now), bars, from);
    const last = finishedAt === null ? now : readAt(finishedAt);
    const to = Math.max(from + 1, last, ...bars.map((bar) => bar.to));
    return { from, to, attempts, steps: bars };
}

export interface Scale {
    /** Where an instant lies, from 0 to 1. */
    at: (instant: number) => number;
    /** The gaps that are shown narrow. */
    gaps: { from: number; to: number }[];
}

const GAP_SHARE = 0.35;
const GAP_WIDTH = 0.06;

/** An axis on which every gap that takes over a third of all time, with nothing but waits in it, is narrow. */
export function makeScale(fall: Waterfall): Scale {
    const total = fall.to - fall.from;
    const busy = [
        ...fall.attempts
            .filter((bar) => !bar.isOpen || fall.attempts.length === 1)
            .map((bar) => [bar.from, bar.to] as const),
        ...fall.steps.filter((bar) => !isWait(bar.step.kind)).map((bar) => [bar.from, bar.to] as const),
    ].sort((a, b) => a[0] - b[0]);
    const gaps: { from: number; to: number }[] = [];
    let reached = fall.from;
    for (const [begin, end] of [...busy, [fall.to, fall.to] as const]) {
        if (begin - reached > GAP_SHARE * total) gaps.push({ from: reached, to: begin });
        reached = Math.max(reached, end);
    }
    const idle = gaps.reduce((sum, gap) => sum + gap.to - gap.from, 0);
    const scale = (1 - GAP_WIDTH * gaps.length) / Math.max(1, total - idle);
    const at = (instant: number): number => {
        let x = 0;
        let seen = fall.from;
        for (const gap of gaps) {
            if (instant <= gap.from) break;
            x += (gap.from - seen) * scale;
            const inside = Math.min(instant, gap.to) - gap.from;
            x += (GAP_WIDTH * inside) / (gap.to - gap.from);
            seen = gap.to;
        }
        if (instant > seen) x += (instant - seen) * scale;
        return Math.min(1, Math.max(0, x));
    };
    return { at, gaps };
}

export function isWait(kind: string): boolean {
    return kind === "sleep" || kind === "signal" || kind === "review" || kind === "call";
}

/** Three to six round distances for the axis, in milliseconds from its start. */
export function makeTicks(total: number): number[] {
    const sizes = [1, 2, 5]
        .flatMap((one) => [1, 10, 100].map((ten) => one * ten))
        .concat(
            [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 604_800].map(
                (second) => second * 1000,
            ),
        )
        .sort((a, b) => a - b);
    const size = sizes.find((one) => total / one <= 6) ?? total / 5;
    const found: number[] = [];
    for (let at = 0; at <= total; at += size) found.push(at);
    return found;
}
