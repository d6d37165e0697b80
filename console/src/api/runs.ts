// The list of runs, live: its pages, and what the node says has changed.

import { useCallback, useEffect, useRef, useState } from "react";

import { append, EMPTY_LIST, refresh, type RunFilter, type RunList, update } from "../pure/runlist";
import { get } from "./call";
import { useChanges } from "./changes";
import { isLive, type PageOf, type Run } from "./types";

const PAGE = 100;
const NEXT_PAGE = 200;
const AGAIN_AT_MOST = 20;

export interface LiveRuns {
    list: RunList;
    error: unknown;
    isReading: boolean;
    more: () => void;
    again: () => void;
}

export function useRunList(filter: RunFilter): LiveRuns {
    const [list, setList] = useState<RunList>(EMPTY_LIST);
    const [error, setError] = useState<unknown>(null);
    const [isReading, setReading] = useState(true);
    const held = useRef(list);
    held.current = list;
    const busy = useRef(false);
    const name = JSON.stringify(filter);
    const generation = useRef(0);

    const read = useCallback(
        async (cursor: string | null) => {
            const mine = generation.current;
            const page = await get<PageOf<Run>>("v1/runs", {
                ...filter,
                payloads: "short",
                cursor,
                limit: cursor === null ? PAGE : NEXT_PAGE,
            });
            return mine === generation.current ? page : null;
        },
        [name],
    );

    const head = useCallback(async () => {
        try {
            const page = await read(null);
            if (page) {
                setList((now) => refresh(now, page.items, page.next_cursor));
                setError(null);
            }
        } catch (fault) {
            setError(fault);
        } finally {
            setReading(false);
        }
    }, [read]);

    useEffect(() => {
        generation.current++;
        busy.current = false;
        setList(EMPTY_LIST);
        setReading(true);
        void head();
    }, [head]);

    const more = useCallback(async () => {
        const { cursor } = held.current;
        if (busy.current || cursor === null) return;
        busy.current = true;
        const mine = generation.current;
        try {
            const page = await read(cursor);
            if (page) setList((now) => append(now, page.items, page.next_cursor));
        } catch (fault) {
            setError(fault);
        } finally {
            if (mine === generation.current) busy.current = false;
        }
    }, [read]);

    useChanges((changed) => {
        void head();
        const below = held.current.runs.slice(PAGE);
        const stale = below
            .filter((run) => (changed.runs === null ? isLive(run.status) : changed.runs.has(run.id)))
            .slice(0, AGAIN_AT_MOST);
        const mine = generation.current;
        for (const run of stale) {
            get<Run>(`v1/runs/${encodeURIComponent(run.id)}`).then(
                (found) => mine === generation.current && setList((now) => update(now, [found], filter)),
                () => {}, // pruned meanwhile; the next refresh of its page leaves it out
            );
        }
    });

    return { list, error, isReading, more: () => void more(), again: () => void head() };
}
