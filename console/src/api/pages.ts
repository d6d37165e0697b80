// What several pages ask for.

import { useQuery } from "@tanstack/react-query";

import { get } from "./call";
import type { Agent, Alert, PageOf } from "./types";

export function useAgents() {
    return useQuery({ queryKey: ["agents"], queryFn: () => get<PageOf<Agent>>("v1/agents"), staleTime: 10_000 });
}

export function useAlerts() {
    return useQuery({ queryKey: ["alerts"], queryFn: () => get<PageOf<Alert>>("v1/alerts"), refetchInterval: 15_000 });
}

interface Document {
    paths: Record<string, unknown>;
    info: { version: string };
}

/** The routes that this node has: a page whose API is not there is not shown. */
export function useRoutes() {
    return useQuery({ queryKey: ["openapi"], queryFn: () => get<Document>("openapi.json"), staleTime: Infinity });
}
