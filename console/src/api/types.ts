// The shapes of the public API, as /openapi.json describes them.

export type Status = "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled";
export type Mode = "stateless" | "session" | "event";
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface ErrorJson {
    code: string;
    message: string;
    hint?: string;
    [more: string]: Json | undefined;
}

export interface Usage {
    input_tokens: number;
    output_tokens: number;
    model_calls: number;
    tool_calls: number;
    cost_usd: number;
}

export interface Run {
    id: string;
    agent: string;
    release: string;
    mode: Mode;
    session: string | null;
    status: Status;
    input: Json;
    output: Json | null;
    error: ErrorJson | null;
    attempt: number;
    metadata: JsonObject;
    tenant: string;
    created_at: string;
    started_at: string | null;
    finished_at: string | null;
    usage: Usage;
    subject: string | null;
    priority: number;
    due_at: string | null;
    deadline_at: string | null;
    parent: string | null;
    origin: string | null;
    /** Of a run that was asked for by its id: why it does not go on now. */
    waits_for?: Obstacle | null;
}

export interface Obstacle {
    kind: "answer" | "time" | "hold" | "turn" | "worker" | "release" | "place" | "review";
    message: string;
    on: string | null;
}

export interface Step {
    key: string;
    kind: string;
    name: string;
    status: "started" | "succeeded" | "failed";
    attempt: number;
    input: Json | null;
    output: Json | null;
    error: ErrorJson | null;
    started_at: string;
    finished_at: string | null;
    once: boolean;
    due_at: string | null;
}

export interface RunEvent {
    type: string;
    run: string;
    seq: number;
    at: string;
    [more: string]: Json | undefined;
}

export interface Answer {
    verdict: "approve" | "edit" | "reject" | "respond" | "expired";
    edited?: Json;
    response?: string;
    reason?: string;
    by?: string;
}

export interface Vote {
    by: string;
    on_behalf_of: string | null;
    at: string;
    reason: string;
    counts: boolean;
}

/** How far a decision of several people is. `refusal`: why you may not vote; null: you may. */
export interface Ballot {
    roles: string[];
    quorum: number;
    counted: number;
    votes: Vote[];
    ladder: { role: string; after_seconds: number; is_asked: boolean }[];
    until: string | null;
    requester: string;
    open_to: string[];
    refusal: string | null;
}

export interface Review {
    id: string;
    run: string;
    agent: string;
    question: string;
    details: JsonObject;
    status: string;
    created_at: string;
    expires_at: string | null;
    answer: Answer | null;
    kind: string;
    step: string;
    decided_at: string | null;
    ballot?: Ballot | null;
}

export interface Delegation {
    id: string;
    by: string;
    to: string;
    roles: string[];
    until: string;
}

export interface Agent {
    name: string;
    mode: Mode;
    releases: string[];
    description: string;
    input_schema: JsonObject;
    output_schema: JsonObject;
    keep: number | string | boolean;
    concurrency: number;
    timeout: number | null;
    session_ttl: number | null;
}

export interface Session {
    key: string;
    agent: string;
    tenant: string;
    turns: number;
    version: number;
    state: JsonObject;
    created_at: string;
    updated_at: string;
    expires_at: string | null;
}

export interface Turn {
    number: number;
    run: string;
    status: Status;
    input: Json;
    output: Json | null;
    finished_at: string;
}

export interface PageOf<T> {
    items: T[];
    next_cursor: string | null;
}

export const LIVE: readonly Status[] = ["queued", "running", "waiting"];
export const STATUSES: readonly Status[] = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"];

export function isLive(status: Status): boolean {
    return LIVE.includes(status);
}

export interface SessionSummary {
    key: string;
    agent: string;
    turns: number;
    version: number;
    created_at: string;
    updated_at: string;
    expires_at: string | null;
}

/** Seconds; null: nothing was measured. */
export interface Spread {
    p50: number | null;
    p95: number | null;
    p99: number | null;
}

export interface Figures {
    created: number;
    live: number;
    succeeded: number;
    failed: number;
    cancelled: number;
    input_tokens: number;
    output_tokens: number;
    cost_usd: number;
    lasted: Spread;
    waited: Spread;
    agent?: string;
}

export interface Overview {
    begin: string;
    end: string;
    covers_from: string;
    slice_seconds: number;
    total: Figures;
    slices: (Figures & { at: string })[];
    agents: Figures[];
    faults: { code: string; agent: string; runs: number; last_run: string; last_at: string }[];
    releases: { agent: string; release: string; at: string }[];
    queue: { ready: number; held: number; running: number; waiting: number };
    reviews: { count: number; oldest_at: string | null; expires_at: string | null };
}

export interface Alert {
    agent: string;
    objective: string;
    severity: string;
    since: string;
    measured: number;
    expected: number;
    window_seconds: number;
    summary: string;
    resolved_at: string | null;
}

export interface AuditEntry {
    seq: number;
    at: string;
    kind: string;
    id: string;
    by: string;
    [more: string]: Json;
}

export interface Checkpoint {
    note: string;
    size: number;
    key: string;
}

export interface Delivery {
    id: string;
    run: string;
    agent: string;
    type: string;
    receiver: string;
    status: string;
    attempt: number;
    due_at: string | null;
    reason: string | null;
    created_at: string;
    finished_at: string | null;
}

export interface Host {
    name: string;
    is_up: boolean;
    agents: string[];
    taken: number;
    free: number;
    memory_bytes: number;
}

export interface NodeState {
    owner: string;
    version: string;
    started_at: string;
    is_draining: boolean;
    attempts: number;
    hosts: Host[];
}

export interface Setting {
    name: string;
    value: Json;
    source: string;
}

/** Who asks. */
export interface Signin {
    name: string;
    kind: string;
    tenant: string;
    scopes: string[];
    roles: string[];
    csrf_token: string | null;
    expires_at: string | null;
}

export interface Schedule {
    name: string;
    agent: string;
    status: "active" | "paused";
    cron: string | null;
    every_seconds: number | null;
    at: string | null;
    zone: string;
    next_at: string | null;
    last_at: string | null;
    last_run: string | null;
    left_out: number;
    problem: string | null;
}

export interface ApiKey {
    id: string;
    name: string;
    kind: string;
    scopes: string[];
    roles: string[];
    state: "active" | "expired" | "revoked";
    created_at: string;
    created_by: string;
    expires_at: string | null;
    revoked_at: string | null;
    parent: string | null;
}

export interface Ruling {
    verdict: string;
    policies: string[];
    reason: string;
    ask: { role: string; quorum: number; within_seconds: number | null } | null;
}

export interface PolicyState {
    active: {
        version: string;
        text: string;
        mode: string;
        activated_at: string;
        activated_by: string;
        signed_by: string | null;
    } | null;
}

export interface Comparison {
    version: string;
    actions: number;
    same: number;
    newly_denied: number;
    newly_asked: number;
    newly_allowed: number;
    examples: { run: string; step: string; tool: string; difference: string; before: Ruling; after: Ruling }[];
}

export interface Sums {
    calls: number;
    unpriced_calls: number;
    untold_calls: number;
    input_tokens: number;
    output_tokens: number;
    cache_tokens: number;
    cost_usd: number;
}

export interface Costs {
    first_day: string;
    last_day: string;
    group: string;
    items: (Sums & { name: string })[];
    is_whole: boolean;
    total: Sums;
    forecast: {
        month: string;
        spent_usd: number;
        expected_usd: number;
        low_usd: number;
        high_usd: number;
        share: number;
        days: number;
        method: string;
    } | null;
}

export interface Provider {
    provider: string;
    model: string;
    breaker: "closed" | "open" | "half_open";
    seconds_closed: number;
    in_flight: number;
    waiting: number;
    calls: Record<string, number>;
    input_tokens: number;
    output_tokens: number;
    cost_usd: number;
    price: { input: number; output: number; source: string } | null;
}

export interface Hold {
    id: string;
    status: string;
    effect: string;
    selector: {
        region: string | null;
        agent: string | null;
        release: string | null;
        tool: string | null;
        run: string | null;
        session: string | null;
    };
    reason: string;
    placed_at: string;
    placed_by: string;
    effective_at: string | null;
    effective_after_seconds: number | null;
    lifted_at: string | null;
    lifts: string[];
    takes_two: boolean;
}
