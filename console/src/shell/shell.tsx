// The frame of every page: where one can go, where one is, and what the whole node is doing.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Component, type ReactNode, useEffect, useMemo, useRef, useState } from "react";

import { get, Problem } from "../api/call";
import type { PageOf, Review } from "../api/types";
import { useChanges } from "../api/changes";
import { Loading, Trouble } from "../parts/parts";
import { useRoutes } from "../api/pages";
import { menuOf, pageOf } from "./menu";
import { SignedIn } from "./gate";
import { useKeys } from "./keys";
import { go, to, usePlace } from "./place";
import { Shortcuts } from "./shortcuts";
import { applyTheme, readTheme, type Theme } from "./theme";

export function Shell() {
    const place = usePlace();
    const [isMenuOpen, setMenuOpen] = useState(false);
    const [isHelpOpen, setHelpOpen] = useState(false);
    const main = useRef<HTMLElement>(null);
    const document_ = useRoutes();
    const routes = useMemo(
        () => (document_.data ? new Set(Object.keys(document_.data.paths)) : null),
        [document_.data],
    );
    const menu = useMemo(() => menuOf(routes), [routes]);
    const page = routes ? pageOf(place.parts, routes) : undefined;
    // A page and its details (a review beside the list) are one page: the list stays where it is.
    const name = (place.parts[0] === "reviews" ? place.parts.slice(0, 1) : place.parts).join("/");
    const isFirst = useRef(true);

    useKeys({
        "?": () => setHelpOpen(true),
        "/": () => main.current?.querySelector<HTMLElement>("[data-find]")?.focus(),
        ...Object.fromEntries(menu.map((entry) => [`g ${entry.key}`, () => go([entry.name])])),
    });

    useEffect(() => {
        setMenuOpen(false);
        if (isFirst.current) isFirst.current = false;
        else main.current?.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
        main.current?.scrollTo(0, 0);
        document.title = page ? `${page.title} · Pilothouse` : "Pilothouse";
    }, [name, page?.title]);

    return (
        <div className={`shell${isMenuOpen ? " menu-open" : ""}`}>
            <header className="bar">
                <button
                    type="button"
                    className="ghost menu-button"
                    aria-expanded={isMenuOpen}
                    aria-controls="menu"
                    onClick={() => setMenuOpen(!isMenuOpen)}
                >
                    <svg viewBox="0 0 16 16" aria-hidden="true">
                        <path d="M2 4h12M2 8h12M2 12h12" />
                    </svg>
                    <span className="unseen">Menu</span>
                </button>
                <span className="mark">Pilothouse</span>
            </header>
            <nav id="menu" className="menu" aria-label="Pages">
                <a
                    className="skip"
                    href={location.hash || "#/"}
                    onClick={(event) => {
                        event.preventDefault();
                        main.current?.focus();
                    }}
                >
                    Skip to the page
                </a>
                <a className="mark" href={to(["overview"])}>
                    <span className="logo" aria-hidden="true" /> Pilothouse
                </a>
                <ul>
                    {menu.map((entry) => (
                        <li key={entry.name}>
                            <a href={to([entry.name])} aria-current={page?.menu === entry.name ? "page" : undefined}>
                                <svg viewBox="0 0 16 16" aria-hidden="true">
                                    <path d={entry.icon} />
                                </svg>
                                {entry.title}
                                {entry.name === "reviews" && <OpenReviews />}
                            </a>
                        </li>
                    ))}
                </ul>
                <div className="foot">
                    <NodeState />
                    <SignedIn />
                    <ThemeChoice />
                    <div className="row">
                        <a href="docs">API</a>
                        <button type="button" className="ghost small" onClick={() => setHelpOpen(true)}>
                            Shortcuts <kbd>?</kbd>
                        </button>
                    </div>
                </div>
            </nav>
            <main ref={main} tabIndex={-1} id="page">
                <Fence key={name}>
                    {page ? (
                        page.show(place)
                    ) : routes === null ? (
                        <div className="page">
                            <h1 tabIndex={-1}>Pilothouse</h1>
                            {document_.error ? (
                                <Trouble error={document_.error} again={() => void document_.refetch()} />
                            ) : (
                                <Loading what="the console" />
                            )}
                        </div>
                    ) : (
                        <div className="page">
                            <h1 tabIndex={-1}>There is no such page</h1>
                            <p className="muted">
                                The address may be mistyped, or of another version. Go to the{" "}
                                <a href={to(["overview"])}>overview</a>.
                            </p>
                        </div>
                    )}
                </Fence>
            </main>
            {isHelpOpen && <Shortcuts menu={menu} onClose={() => setHelpOpen(false)} />}
        </div>
    );
}

function OpenReviews() {
    const found = useQuery({
        queryKey: ["reviews", "open", "count"],
        queryFn: () => get<PageOf<Review>>("v1/reviews", { status: "open", limit: 100 }),
        refetchInterval: 30_000,
    });
    const client = useQueryClient();
    useChanges(
        (changed) => changed.reviews && void client.invalidateQueries({ queryKey: ["reviews", "open", "count"] }),
    );
    const open = found.data?.items.length ?? 0;
    if (open === 0) return null;
    return (
        <span className="badge" title={`${open} open`}>
            {open}
            {found.data?.next_cursor ? "+" : ""}
            <span className="unseen"> open</span>
        </span>
    );
}

function NodeState() {
    const found = useQuery({ queryKey: ["ready"], queryFn: () => get("readyz"), refetchInterval: 5000, retry: false });
    const error = found.error instanceof Problem ? found.error : null;
    const [kind, text] =
        error === null
            ? found.isPending
                ? ["waiting", "asking…"]
                : ["good", "ready"]
            : error.code === "draining"
              ? ["waiting", "shutting down"]
              : ["bad", error.status === 0 ? "does not answer" : "not ready"];
    return (
        <p className={`node ${kind}`} role="status">
            <span className="dot" aria-hidden="true" /> Node: {text}
        </p>
    );
}

function ThemeChoice() {
    const [theme, setTheme] = useState<Theme>(readTheme());
    const choose = (value: Theme) => {
        setTheme(value);
        applyTheme(value);
    };
    return (
        <label className="theme">
            <span>Colours</span>
            <select value={theme} onChange={(event) => choose(event.target.value as Theme)}>
                <option value="system">as the system</option>
                <option value="light">light</option>
                <option value="dark">dark</option>
            </select>
        </label>
    );
}

/** Keeps a fault of one page from taking the frame with it. */
class Fence extends Component<{ children: ReactNode }, { error: unknown }> {
    override state = { error: null as unknown };

    static getDerivedStateFromError(error: unknown) {
        return { error };
    }

    override render() {
        if (this.state.error === null) return this.props.children;
        return (
            <div className="page">
                <h1 tabIndex={-1}>This page cannot be shown</h1>
                <Trouble error={this.state.error} again={() => this.setState({ error: null })} />
            </div>
        );
    }
}
