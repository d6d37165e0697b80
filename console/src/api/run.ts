// One run, live: the run itself, its steps, and its events as they come.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useReducer, useRef, useState } from "react";

import { get } from "./call";
import { followRun, type LineState } from "./follow";
import { isLive, type PageOf, type Run, type RunEvent, type Step } from "./types";

const STEPS_SHOWN = 2000;
const EVENTS_KEPT = 5000;
const DRAW_EVERY = 120;
const READ_EVERY = 400;
const MOVES_RUN = new Set([
    "run.queued",
    "run.started",
    "run.waiting",
    "run.resumed",
    "run.succeeded",
    "run.failed",
    "run.cancelled",
    "review.requested",
    "review.decided",
]);
const MOVES_STEPS = new Set([...MOVES_RUN, "step.started", "step.finished"]);

export function useRun(id: string) {
    return useQuery({
        queryKey: ["run", id],
        queryFn: ({ signal }) => get<Run>(`v1/runs/${encodeURIComponent(id)}`, {}, signal),
        // The events say when it changes; this is for a line that stays silent.
        refetchInterval: (query) => (query.state.data && isLive(query.state.data.status) ? 10_000 : false),
    });
}

export interface Steps {
    steps: Step[];
    isCut: boolean;
}

export function useSteps(id: string) {
    return useQuery({ queryKey: ["run", id, "steps"], queryFn: ({ signal }) => readSteps(id, signal) });
}

export async function readSteps(id: string, signal?: AbortSignal): Promise<Steps> {
    const steps: Step[] = [];
    let cursor: string | null = null;
    do {
        const page: PageOf<Step> = await get<PageOf<Step>>(
            `v1/runs/${encodeURIComponent(id)}/steps`,
            { cursor, limit: 200 },
            signal,
        );
        steps.push(...page.items);
        cursor = page.next_cursor;
    } while (cursor !== null && steps.length < STEPS_SHOWN);
    return { steps: latestOf(steps), isCut: cursor !== null };
}

/** The journal has a row for the beginning and one for the end of some steps: the end says all. */
function latestOf(rows: Step[]): Step[] {
    const at = new Map<string, number>();
    const found: Step[] = [];
    for (const row of rows) {
        const known = at.get(row.key);
        if (known === undefined) {
            at.set(row.key, found.length);
            found.push(row);
        } else {
            const before = found[known]!;
            found[known] = {
                ...row,
                started_at: before.started_at < row.started_at ? before.started_at : row.started_at,
                input: row.input ?? before.input,
            };
        }
    }
    return found;
}

export interface Told {
    events: RunEvent[];
    /** Events at the front that are not kept in the page any more. */
    dropped: number;
    line: LineState;
}

/** The events of a run from the first one. Reads the run and its steps again when an event says that they moved. */
export function useRunEvents(id: string): Told {
    const client = useQueryClient();
    const told = useRef<Told>({ events: [], dropped: 0, line: "waiting" });
    const [, draw] = useReducer((one: number) => one + 1, 0);
    useEffect(() => {
        told.current = { events: [], dropped: 0, line: "waiting" };
        let drawing = 0;
        let reading = 0;
        const wanted = new Set<string>();
        const redraw = () => {
            drawing ||= window.setTimeout(() => {
                drawing = 0;
                draw();
            }, DRAW_EVERY);
        };
        const reread = (name: string) => {
            wanted.add(name);
            reading ||= window.setTimeout(() => {
                reading = 0;
                if (wanted.has("run")) void client.invalidateQueries({ queryKey: ["run", id], exact: true });
                if (wanted.has("steps")) void client.invalidateQueries({ queryKey: ["run", id, "steps"] });
                if (wanted.has("review")) void client.invalidateQueries({ queryKey: ["reviews"] });
                wanted.clear();
            }, READ_EVERY);
        };
        const stop = followRun(
            id,
            0,
            (event) => {
                const { current } = told;
                const events = current.events;
                events.push(event);
                if (events.length > EVENTS_KEPT + 500) current.dropped += events.splice(0, 500).length;
                if (MOVES_RUN.has(event.type)) reread("run");
                if (MOVES_STEPS.has(event.type)) reread("steps");
                if (event.type.startsWith("review.")) reread("review");
                redraw();
            },
            (line) => {
                told.current.line = line;
                redraw();
            },
        );
        return () => {
            stop();
            window.clearTimeout(drawing);
            window.clearTimeout(reading);
        };
    }, [id, client]);
    return told.current;
}

/** The text that the events of a run emitted, in one piece; null when it emitted none or something else than text. */
export function useEmitted(events: RunEvent[], size: number): string | null {
    const [text, setText] = useState<string | null>(null);
    useEffect(() => {
        const deltas = events.filter((event) => event.type === "output.delta").map((event) => event.delta);
        setText(deltas.length > 0 && deltas.every((one) => typeof one === "string") ? deltas.join("") : null);
    }, [events, size]);
    return text;
}
