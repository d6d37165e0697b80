// The time of the page: one timer for all that show how long something takes.

import { useSyncExternalStore } from "react";

let now = Date.now();
let timer = 0;
const listeners = new Set<() => void>();

function subscribe(tell: () => void): () => void {
    listeners.add(tell);
    if (!timer) {
        timer = window.setInterval(() => {
            now = Date.now();
            for (const one of listeners) one();
        }, 1000);
    }
    return () => {
        listeners.delete(tell);
        if (listeners.size === 0) {
            window.clearInterval(timer);
            timer = 0;
        }
    };
}

export function useNow(): number {
    return useSyncExternalStore(subscribe, () => now);
}
