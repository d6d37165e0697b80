// One request to the node. Addresses are relative to the page, so a path prefix in front changes nothing. What the
// node refuses is thrown as a `Problem`, with its sentence and its hint for the person who reads it.

import type { Json } from "./types";

export class Problem extends Error {
    constructor(
        readonly status: number,
        readonly code: string,
        readonly title: string,
        readonly detail: string,
        readonly hint: string,
        readonly faults: { path: string; message: string }[] = [],
    ) {
        super(detail || title);
    }
}

export interface Given {
    method?: string;
    query?: Record<string, string | number | boolean | string[] | null | undefined>;
    body?: unknown;
    headers?: Record<string, string>;
    signal?: AbortSignal;
}

export interface Answered<T> {
    value: T;
    status: number;
    etag: string | null;
}

const UNREACHED = new Problem(
    0,
    "unreachable",
    "The node does not answer",
    "The node does not answer.",
    "Look whether it runs and whether the network between is up. This page goes on trying.",
);

export function address(path: string, query: Given["query"] = {}): string {
    const url = new URL(path.replace(/^\//, ""), document.baseURI);
    url.hash = "";
    for (const [name, value] of Object.entries(query)) {
        if (value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0))
            continue;
        url.searchParams.set(name, Array.isArray(value) ? value.join(",") : String(value));
    }
    return url.href;
}

export function segment(text: string): string {
    return encodeURIComponent(text);
}

let token: string | null = null;

/** The token that a signed-in page shows with each change; null without keys. */
export function setCsrfToken(value: string | null): void {
    token = value;
}

export async function ask<T>(path: string, given: Given = {}): Promise<Answered<T>> {
    const headers: Record<string, string> = { Accept: "application/json", ...given.headers };
    const init: RequestInit = {
        method: given.method ?? "GET",
        headers,
        signal: given.signal ?? null,
        credentials: "same-origin",
    };
    if (given.body !== undefined) {
        headers["Content-Type"] ??= "application/json";
        init.body = JSON.stringify(given.body);
    }
    if (token !== null && init.method !== "GET") headers["X-CSRF-Token"] = token;
    let answer: Response;
    try {
        answer = await fetch(address(path, given.query), init);
    } catch (error) {
        if (given.signal?.aborted) throw error;
        throw UNREACHED;
    }
    if (!answer.ok) throw await readProblem(answer);
    const text = await answer.text();
    return { value: (text ? JSON.parse(text) : null) as T, status: answer.status, etag: answer.headers.get("etag") };
}

export async function get<T>(path: string, query?: Given["query"], signal?: AbortSignal): Promise<T> {
    return (await ask<T>(path, { query, signal })).value;
}

export async function post<T>(path: string, body: unknown = {}, headers?: Record<string, string>): Promise<T> {
    return (await ask<T>(path, { method: "POST", body, headers })).value;
}

async function readProblem(answer: Response): Promise<Problem> {
    let told: { [key: string]: Json } = {};
    try {
        told = (await answer.json()) as { [key: string]: Json };
    } catch {
        // A proxy in front may answer with a page of its own.
    }
    const text = (name: string, otherwise: string) =>
        typeof told[name] === "string" ? (told[name] as string) : otherwise;
    const faults = (Array.isArray(told.faults) ? told.faults : Array.isArray(told.errors) ? told.errors : []) as {
        path: string;
        message: string;
    }[];
    return new Problem(
        answer.status,
        text("code", `http_${answer.status}`),
        text("title", `Answer ${answer.status}`),
        text("detail", ""),
        text("hint", ""),
        faults,
    );
}
