// What several pages ask for.

import { useQuery } from "@tanstack/react-query";

import { get, type Given } from "./call";
import type { Agent, Alert, Hold, NodeState, PageOf, Review } from "./types";

export function useAgents() {
    return useQuery({ queryKey: ["agents"], queryFn: () => get<PageOf<Agent>>("v1/agents"), staleTime: 10_000 });
}

/** The worker of this node, with its hosts. */
export function useNode() {
    return useQuery({
        queryKey: ["node"],
        queryFn: () => get<NodeState>("v1/node"),
        refetchInterval: 5000,
        retry: false,
    });
}

export function useAlerts() {
    return useQuery({ queryKey: ["alerts"], queryFn: () => get<PageOf<Alert>>("v1/alerts"), refetchInterval: 15_000 });
}

/** Those that fire, and the last ones that were resolved. */
export function useAlertsAndResolved() {
    return useQuery({
        queryKey: ["alerts", "resolved"],
        queryFn: () => get<PageOf<Alert>>("v1/alerts", { resolved: true }),
        refetchInterval: 15_000,
    });
}

const PAGES_AT_MOST = 20;
const PAGE = 200;

export interface Collected<T> {
    items: T[];
    /** There are more than were asked for. */
    hasMore: boolean;
}

/** The pages of a list, one after another: up to `atMost` items, and never more than 20 pages. */
export async function collect<T>(
    path: string,
    query: Given["query"],
    signal?: AbortSignal,
    atMost = PAGES_AT_MOST * PAGE,
): Promise<Collected<T>> {
    const items: T[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < PAGES_AT_MOST && items.length < atMost; page++) {
        const limit = Math.min(PAGE, atMost - items.length);
        const answer: PageOf<T> = await get<PageOf<T>>(path, { ...query, cursor, limit }, signal);
        items.push(...answer.items);
        cursor = answer.next_cursor;
        if (cursor === null) break;
    }
    return { items, hasMore: cursor !== null };
}

/** Holds that were on at some moment of the last so many seconds. A key that may not read holds sees none. */
export function useHoldsWithin(seconds: number) {
    return useQuery({
        queryKey: ["holds", seconds],
        queryFn: async ({ signal }) => (await collect<Hold>("v1/holds", { within_seconds: seconds }, signal)).items,
        refetchInterval: 15_000,
        retry: false,
    });
}

const INCIDENTS = 1000;

/** Incidents, open and closed: the newest thousand. A key that may not read reviews sees none. */
export function useIncidents() {
    return useQuery({
        queryKey: ["reviews", "incidents"],
        queryFn: ({ signal }) => collect<Review>("v1/reviews", { kind: "incident", newest: true }, signal, INCIDENTS),
        refetchInterval: 15_000,
        retry: false,
    });
}

interface Document {
    paths: Record<string, unknown>;
    info: { version: string };
}

/** The routes that this node has: a page whose API is not there is not shown. */
export function useRoutes() {
    return useQuery({ queryKey: ["openapi"], queryFn: () => get<Document>("openapi.json"), staleTime: Infinity });
}
