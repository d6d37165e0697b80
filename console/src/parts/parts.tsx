// The small parts of every page.

import { type ReactNode, useEffect, useId, useRef, useState } from "react";

import { Problem } from "../api/call";
import type { Status } from "../api/types";
import { distance, readAt, span } from "../pure/words";
import { useNow } from "./now";

const SHAPES: Record<string, string> = {
    queued: "M8 3.5v4.5l3 2M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8Z",
    running: "M8 1.8A6.2 6.2 0 1 1 1.8 8",
    waiting: "M5.5 4v8M10.5 4v8",
    succeeded: "m3 8.5 3.3 3.3L13 4.8",
    failed: "m4 4 8 8m0-8-8 8",
    cancelled: "M3.6 12.4 12.4 3.6M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8Z",
};

/** A state as a shape, a word and a colour: never the colour alone. */
export function StatusMark({ status, bare = false }: { status: Status | string; bare?: boolean }) {
    const known =
        status === "started"
            ? "running"
            : status === "open"
              ? "waiting"
              : status === "decided"
                ? "succeeded"
                : status === "expired"
                  ? "failed"
                  : status;
    return (
        <span className={`status ${known}${bare ? " bare" : ""}`}>
            <svg viewBox="0 0 16 16" aria-hidden="true">
                <path d={SHAPES[known] ?? "M3 8h10"} />
            </svg>
            {bare ? <span className="unseen">{status}</span> : status}
        </span>
    );
}

export function Ago({ at }: { at: string | null }) {
    const now = useNow();
    if (at === null) return <span className="faint">never</span>;
    return (
        <time dateTime={at} title={new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })}>
            {distance(readAt(at), now)}
        </time>
    );
}

export function Lasting({ from, to }: { from: string | null; to: string | null }) {
    const now = useNow();
    if (from === null) return <span className="faint">not yet</span>;
    return <span className="number">{span((to === null ? now : readAt(to)) - readAt(from))}</span>;
}

export function Copy({ text, label }: { text: string; label: string }) {
    const [isDone, setDone] = useState(false);
    const copy = async () => {
        try {
            await navigator.clipboard.writeText(text);
            setDone(true);
            window.setTimeout(() => setDone(false), 1500);
        } catch {
            // Without a secure address the browser keeps the clipboard from pages; the text can still be selected.
        }
    };
    return (
        <button type="button" className="ghost small copy" aria-label={label} title={label} onClick={copy}>
            <svg viewBox="0 0 16 16" aria-hidden="true">
                {isDone ? <path d="m3 8.5 3.3 3.3L13 4.8" /> : <path d="M5.5 5.5v-3h8v8h-3m-8-5h8v8h-8z" />}
            </svg>
        </button>
    );
}

export function Trouble({ error, again }: { error: unknown; again?: () => void }) {
    const problem = error instanceof Problem ? error : null;
    return (
        <div className="trouble" role="alert">
            <p className="strong">{problem?.title ?? "This page met a fault of its own"}</p>
            <p>{problem ? problem.detail : error instanceof Error ? error.message : String(error)}</p>
            {problem?.hint && <p className="hint">{problem.hint}</p>}
            {problem && problem.faults.length > 0 && (
                <ul>
                    {problem.faults.map((fault) => (
                        <li key={fault.path + fault.message}>
                            <code>{fault.path}</code> {fault.message}
                        </li>
                    ))}
                </ul>
            )}
            {again && (
                <button type="button" onClick={again}>
                    Try again
                </button>
            )}
        </div>
    );
}

/** What an empty page says: what would be here, and what to do to get it. */
export function Empty({ title, children, command }: { title: string; children?: ReactNode; command?: string }) {
    return (
        <div className="empty">
            <p className="strong">{title}</p>
            {children && <div className="muted">{children}</div>}
            {command && <Command text={command} />}
        </div>
    );
}

export function Command({ text }: { text: string }) {
    return (
        <div className="command">
            <code>{text}</code>
            <Copy text={text} label="Copy the command" />
        </div>
    );
}

export function Loading({ what }: { what: string }) {
    return (
        <p className="loading" role="status">
            <span className="spinner" aria-hidden="true" /> Loading {what}…
        </p>
    );
}

/** What there is to see of a question that has no answer yet: that it is under way, or why there is none. */
export function Asked({
    query,
    what,
}: {
    query: { error: unknown; isPending: boolean; refetch: () => unknown };
    what: string;
}) {
    return (
        <>
            {query.error !== null && <Trouble error={query.error} again={() => void query.refetch()} />}
            {query.isPending && <Loading what={what} />}
        </>
    );
}

export function Dialog({
    title,
    onClose,
    children,
    wide = false,
}: {
    title: string;
    onClose: () => void;
    children: ReactNode;
    wide?: boolean;
}) {
    const element = useRef<HTMLDialogElement>(null);
    const heading = useId();
    useEffect(() => {
        const dialog = element.current;
        if (dialog && !dialog.open) dialog.showModal();
        return () => dialog?.close();
    }, []);
    return (
        <dialog
            ref={element}
            className={wide ? "wide" : ""}
            aria-labelledby={heading}
            onCancel={(event) => {
                event.preventDefault();
                onClose();
            }}
            onClick={(event) => {
                if (event.target === element.current) onClose();
            }}
        >
            <div className="dialog">
                <header>
                    <h2 id={heading}>{title}</h2>
                    <button type="button" className="ghost small" aria-label="Close" onClick={onClose}>
                        ✕
                    </button>
                </header>
                {children}
            </div>
        </dialog>
    );
}

export interface Tab {
    name: string;
    label: string;
    count?: number;
}

export function Tabs({
    tabs,
    chosen,
    onChoose,
    label,
}: {
    tabs: Tab[];
    chosen: string;
    onChoose: (name: string) => void;
    label: string;
}) {
    const list = useRef<HTMLDivElement>(null);
    const move = (by: number) => {
        const at = tabs.findIndex((tab) => tab.name === chosen);
        const next = tabs[(at + by + tabs.length) % tabs.length]!;
        onChoose(next.name);
        list.current?.querySelector<HTMLElement>(`#tab-${next.name}`)?.focus();
    };
    return (
        <div
            className="tabs"
            role="tablist"
            aria-label={label}
            ref={list}
            onKeyDown={(event) => {
                if (event.key === "ArrowRight") move(1);
                else if (event.key === "ArrowLeft") move(-1);
            }}
        >
            {tabs.map((tab) => (
                <button
                    key={tab.name}
                    id={`tab-${tab.name}`}
                    type="button"
                    role="tab"
                    aria-selected={tab.name === chosen}
                    aria-controls={`panel-${tab.name}`}
                    tabIndex={tab.name === chosen ? 0 : -1}
                    onClick={() => onChoose(tab.name)}
                >
                    {tab.label}
                    {tab.count !== undefined && <span className="count">{tab.count}</span>}
                </button>
            ))}
        </div>
    );
}

export function Panel({ name, children }: { name: string; children: ReactNode }) {
    return (
        <div role="tabpanel" id={`panel-${name}`} aria-labelledby={`tab-${name}`}>
            {children}
        </div>
    );
}

export function Facts({ facts }: { facts: [label: string, value: ReactNode][] }) {
    return (
        <dl className="facts">
            {facts.map(([label, value]) => (
                <div key={label}>
                    <dt>{label}</dt>
                    <dd>{value}</dd>
                </div>
            ))}
        </dl>
    );
}

/** The head of a page. The title takes the focus when the page is opened, so that a screen reader says where one is. */
export function Head({ title, about, children }: { title: ReactNode; about?: ReactNode; children?: ReactNode }) {
    return (
        <header className="head">
            <div className="titles">
                <h1 tabIndex={-1}>{title}</h1>
                {about && <p className="muted">{about}</p>}
            </div>
            {children && <div className="actions">{children}</div>}
        </header>
    );
}
