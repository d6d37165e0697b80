// Keyboard shortcuts: single keys and `g` followed by one. They rest while somebody types, while a dialog is open, and
// when the person has turned them off (WCAG 2.1.4).

import { useEffect, useRef } from "react";

export type Keys = Record<string, (event: KeyboardEvent) => void>;

const KEY = "pilothouse.shortcuts";
const SECOND_WITHIN = 1200;
let first: { key: string; at: number } | null = null;

export function shortcutsAreOn(): boolean {
    try {
        return localStorage.getItem(KEY) !== "off";
    } catch {
        return true;
    }
}

export function turnShortcuts(on: boolean): void {
    try {
        if (on) localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, "off");
    } catch {
        // It holds for as long as the page does not ask again.
    }
}

function isTyping(target: EventTarget | null): boolean {
    const element = target as HTMLElement | null;
    return !!element?.closest?.("input, textarea, select, [contenteditable='true']");
}

export function useKeys(keys: Keys, isOn = true): void {
    const latest = useRef(keys);
    latest.current = keys;
    useEffect(() => {
        if (!isOn) return;
        const hear = (event: KeyboardEvent) => {
            if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
            if (isTyping(event.target) || document.querySelector("dialog[open]") || !shortcutsAreOn()) return;
            const pair = first && performance.now() - first.at < SECOND_WITHIN ? `${first.key} ${event.key}` : "";
            const act = latest.current[pair] ?? (pair && first?.key === "g" ? undefined : latest.current[event.key]);
            if (act) {
                first = null;
                event.preventDefault();
                act(event);
            } else if (event.key === "g" && Object.keys(latest.current).some((one) => one.startsWith("g "))) {
                first = { key: event.key, at: performance.now() };
            }
        };
        window.addEventListener("keydown", hear);
        return () => window.removeEventListener("keydown", hear);
    }, [isOn]);
}
