// Following a stream of events: the browser's EventSource resumes with Last-Event-ID after a broken line and after
// `event: reconnect`; where it gives up (an answer that is no stream, as 503 while a node shuts down) this tries again
// after the last number it has seen. Nothing is lost or shown twice: what is not over the last number is left out.

import type { RunEvent } from "./types";
import { address } from "./call";

export const RUN_EVENTS = [
    "run.queued",
    "run.started",
    "run.waiting",
    "run.resumed",
    "run.succeeded",
    "run.failed",
    "run.cancelled",
    "output.delta",
    "step.started",
    "step.finished",
    "review.requested",
    "review.decided",
    "run.log",
] as const;

const TERMINAL = new Set(["run.succeeded", "run.failed", "run.cancelled"]);
const AGAIN_AFTER = [500, 1000, 2000, 4000, 8000];

export type LineState = "open" | "waiting" | "over";

interface Following {
    path: string;
    types: readonly string[];
    after: number;
    onEvent: (event: RunEvent) => void;
    onState?: (state: LineState) => void;
    isLast?: (type: string) => boolean;
}

/** Returns what stops it. */
export function follow({ path, types, after, onEvent, onState, isLast }: Following): () => void {
    let last = after;
    let source: EventSource | null = null;
    let timer = 0;
    let failures = 0;
    let isOver = false;

    const stop = (state?: LineState) => {
        isOver = true;
        window.clearTimeout(timer);
        source?.close();
        if (state) onState?.(state);
    };

    const open = () => {
        source = new EventSource(address(path, last > 0 ? { after: last } : {}), { withCredentials: false });
        source.onopen = () => {
            failures = 0;
            onState?.("open");
        };
        source.onerror = () => {
            if (isOver) return;
            onState?.("waiting");
            if (source?.readyState === EventSource.CLOSED) {
                const pause = AGAIN_AFTER[Math.min(failures++, AGAIN_AFTER.length - 1)]!;
                timer = window.setTimeout(open, pause);
            }
        };
        for (const type of types) {
            source.addEventListener(type, (message) => {
                const seq = Number((message as MessageEvent).lastEventId);
                if (isOver || seq <= last) return;
                last = seq;
                onEvent({ ...(JSON.parse((message as MessageEvent).data) as RunEvent), type });
                if (isLast?.(type)) stop("over");
            });
        }
        source.addEventListener("reconnect", () => onState?.("waiting"));
    };

    open();
    return () => stop();
}

export function followRun(
    run: string,
    after: number,
    onEvent: (event: RunEvent) => void,
    onState?: (state: LineState) => void,
): () => void {
    const path = `v1/runs/${encodeURIComponent(run)}/events`;
    return follow({ path, types: RUN_EVENTS, after, onEvent, onState, isLast: (type) => TERMINAL.has(type) });
}
