// Short messages about what was done, at the edge of the page and read out by screen readers.

import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from "react";

import { Problem } from "../api/call";

interface Notice {
    id: number;
    text: string;
    hint?: string;
    kind: "done" | "failed";
}

interface Telling {
    tell: (text: string) => void;
    fail: (error: unknown) => void;
}

const Context = createContext<Telling>({ tell: () => {}, fail: () => {} });
const SHOWN_FOR = { done: 8000, failed: 20_000 };

export function useNotices(): Telling {
    return useContext(Context);
}

export function Notices({ children }: { children: ReactNode }) {
    const [notices, setNotices] = useState<Notice[]>([]);
    const next = useRef(1);
    const add = useCallback((notice: Omit<Notice, "id">) => {
        const id = next.current++;
        setNotices((all) => [...all.slice(-3), { ...notice, id }]);
        window.setTimeout(() => setNotices((all) => all.filter((one) => one.id !== id)), SHOWN_FOR[notice.kind]);
    }, []);
    const telling = useMemo<Telling>(
        () => ({
            tell: (text) => add({ text, kind: "done" }),
            fail: (error) =>
                add(
                    error instanceof Problem
                        ? { text: error.message, hint: error.hint, kind: "failed" }
                        : { text: error instanceof Error ? error.message : String(error), kind: "failed" },
                ),
        }),
        [add],
    );
    return (
        <Context.Provider value={telling}>
            {children}
            <div className="notices" role="status" aria-live="polite">
                {notices.map((one) => (
                    <div key={one.id} className={`notice ${one.kind}`}>
                        <p>{one.text}</p>
                        {one.hint && <p className="hint">{one.hint}</p>}
                        <button
                            type="button"
                            className="ghost small"
                            aria-label="Close this message"
                            onClick={() => setNotices((all) => all.filter((other) => other.id !== one.id))}
                        >
                            ✕
                        </button>
                    </div>
                ))}
            </div>
        </Context.Provider>
    );
}
