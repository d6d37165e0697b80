// What has changed in the node, as far as it is worth looking again. One line to the feed for the whole console; where
// it cannot be had, or stays silent, one looks every now and then all the same, since the feed only carries hints.

import { useEffect, useRef } from "react";

import { address } from "./call";

const LOOK_EVERY = 10_000;
const LOOK_AT_MOST_EVERY = 700;
const AGAIN_AFTER = [1000, 2000, 4000, 8000];

export interface Changed {
    /** The ids of runs that changed; null: it is not known which. */
    runs: Set<string> | null;
    reviews: boolean;
}

type Look = (changed: Changed) => void;

const looks = new Set<Look>();
let source: EventSource | null = null;
let failures = 0;
let again = 0;
let every = 0;
let telling = 0;
let gathered: Changed | null = null;

function tell(changed: Changed): void {
    gathered =
        gathered === null
            ? changed
            : {
                  runs:
                      gathered.runs === null || changed.runs === null
                          ? null
                          : new Set([...gathered.runs, ...changed.runs]),
                  reviews: gathered.reviews || changed.reviews,
              };
    telling ||= window.setTimeout(() => {
        telling = 0;
        const all = gathered!;
        gathered = null;
        if (document.visibilityState === "visible") for (const look of looks) look(all);
    }, LOOK_AT_MOST_EVERY);
}

function open(): void {
    source = new EventSource(address("v1/feed"));
    // Whoever comes (again) has missed what happened before.
    source.addEventListener("listening", () => {
        if (failures > 0) tell({ runs: null, reviews: true });
        failures = 0;
    });
    source.addEventListener("changed", (message) => {
        const told = JSON.parse((message as MessageEvent).data) as {
            runs: string[];
            has_more: boolean;
            reviews: boolean;
        };
        tell({ runs: told.has_more ? null : new Set(told.runs), reviews: told.reviews });
    });
    source.onerror = () => {
        failures++;
        if (source?.readyState === EventSource.CLOSED) {
            again = window.setTimeout(open, AGAIN_AFTER[Math.min(failures, AGAIN_AFTER.length) - 1]!);
        }
    };
}

function start(): void {
    open();
    every = window.setInterval(() => tell({ runs: null, reviews: true }), LOOK_EVERY);
    document.addEventListener("visibilitychange", come);
}

function come(): void {
    if (document.visibilityState === "visible") tell({ runs: null, reviews: true });
}

function stop(): void {
    source?.close();
    source = null;
    window.clearTimeout(again);
    window.clearTimeout(telling);
    window.clearInterval(every);
    telling = 0;
    gathered = null;
    document.removeEventListener("visibilitychange", come);
}

/** Calls `look` when something has changed, at most every 0.7 s. */
export function useChanges(look: Look): void {
    const latest = useRef(look);
    latest.current = look;
    useEffect(() => {
        const mine: Look = (changed) => latest.current(changed);
        looks.add(mine);
        if (looks.size === 1) start();
        return () => {
            looks.delete(mine);
            if (looks.size === 0) stop();
        };
    }, []);
}
