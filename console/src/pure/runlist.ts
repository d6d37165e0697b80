// The list of runs in memory: pages as they were read, kept true by what is read again. Newest first; a run is in it
// once. Nothing here fetches.

import type { Run, Status } from "../api/types";

export interface RunFilter {
    agent: string;
    session: string;
    status: Status[];
    parent: string;
}

export interface RunList {
    runs: Run[];
    cursor: string | null;
    /** Whether the first page was read at all. */
    isRead: boolean;
}

export const EMPTY_LIST: RunList = { runs: [], cursor: null, isRead: false };

export function readFilter(query: Record<string, string>): RunFilter {
    return {
        agent: query.agent ?? "",
        session: query.session ?? "",
        status: (query.status ?? "").split(",").filter(Boolean) as Status[],
        parent: query.parent ?? "",
    };
}

export function fits(run: Run, filter: RunFilter): boolean {
    return (
        (!filter.agent || run.agent === filter.agent) &&
        (!filter.session || run.session === filter.session) &&
        (!filter.parent || run.parent === filter.parent) &&
        (filter.status.length === 0 || filter.status.includes(run.status))
    );
}

/** A later page at the end. */
export function append(list: RunList, runs: Run[], cursor: string | null): RunList {
    const known = new Set(list.runs.map((run) => run.id));
    return { runs: [...list.runs, ...runs.filter((run) => !known.has(run.id))], cursor, isRead: true };
}

/** The first page, read again. Without an overlap with what is here there is a gap between them, and the list begins anew. */
export function refresh(list: RunList, runs: Run[], cursor: string | null): RunList {
    const fresh = new Map(runs.map((run) => [run.id, run]));
    const overlaps = list.runs.some((run) => fresh.has(run.id));
    if (!list.isRead || (!overlaps && cursor !== null)) return { runs, cursor, isRead: true };
    const oldest = runs.at(-1);
    const rest = list.runs.filter(
        // What the page reaches past but does not hold has left the filter, or is gone.
        (run) => !fresh.has(run.id) && cursor !== null && oldest !== undefined && isAfter(oldest, run),
    );
    return { runs: [...runs, ...rest], cursor: rest.length === 0 ? cursor : list.cursor, isRead: true };
}

function isAfter(one: Run, other: Run): boolean {
    return one.created_at > other.created_at || (one.created_at === other.created_at && one.id !== other.id);
}

/** Some runs, read again one by one: changed in place, or taken out when they fit no longer. */
export function update(list: RunList, changed: Run[], filter: RunFilter): RunList {
    const byId = new Map(changed.map((run) => [run.id, run]));
    const runs = list.runs
        .map((run) => byId.get(run.id) ?? run)
        .filter((run) => !byId.has(run.id) || fits(run, filter));
    return { ...list, runs };
}
