// The audit log: who did what, in order, and the checkpoint that a log elsewhere can be verified against.

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { get, Problem } from "../api/call";
import type { AuditEntry, Checkpoint, PageOf } from "../api/types";
import { Ago, Command, Copy, Empty, Head, Loading, Trouble } from "../parts/parts";
import { CodeBlock } from "../parts/value";
import { count, glance } from "../pure/words";

const PAGE = 200;

export function AuditPage() {
    const checkpoint = useQuery({
        queryKey: ["audit", "checkpoint"],
        queryFn: () => get<Checkpoint>("v1/audit/checkpoint"),
        retry: false,
        staleTime: 30_000,
    });
    const size = checkpoint.data?.size ?? 0;
    const pages = useInfiniteQuery({
        queryKey: ["audit", size],
        enabled: !checkpoint.isPending,
        initialPageParam: Math.max(0, size - PAGE),
        queryFn: ({ pageParam }) => get<PageOf<AuditEntry>>("v1/audit", { after: pageParam, limit: PAGE }),
        getNextPageParam: (last) => (last.next_cursor === null ? undefined : Number(last.next_cursor)),
        getPreviousPageParam: (first) => {
            const seq = first.items[0]?.seq ?? 1;
            return seq > 1 ? Math.max(0, seq - 1 - PAGE) : undefined;
        },
    });
    const known = new Map<number, AuditEntry>();
    for (const page of pages.data?.pages ?? []) for (const entry of page.items) known.set(entry.seq, entry);
    const entries = [...known.values()].sort((a, b) => b.seq - a.seq);
    const isUnsigned = checkpoint.error instanceof Problem && checkpoint.error.code === "unsupported";
    return (
        <div className="page">
            <Head
                title="Audit"
                about="Who did what, in order. An entry is written with the act that it tells of, and none is ever changed."
            />
            {checkpoint.data && (
                <section className="card" aria-labelledby="checkpoint">
                    <h2 id="checkpoint">Checkpoint over {count(checkpoint.data.size)} entries</h2>
                    <CodeBlock text={checkpoint.data.note} label="signed checkpoint" />
                    <p className="muted">
                        Verify with the key <code className="wrap">{checkpoint.data.key}</code>{" "}
                        <Copy text={checkpoint.data.key} label="Copy the key" />: first save the log, then check it on a
                        machine that you trust.
                    </p>
                    <Command text="pilothouse audit export log.tar && pilothouse audit verify log.tar" />
                </section>
            )}
            {isUnsigned && <p className="muted">This node signs no checkpoints.</p>}
            {pages.error && <Trouble error={pages.error} again={() => void pages.refetch()} />}
            {(pages.isPending || checkpoint.isPending) && <Loading what="the log" />}
            {pages.data && entries.length === 0 && (
                <Empty title="Nothing has been done yet">
                    <p>Decisions, cancels, edits of sessions and keys appear here.</p>
                </Empty>
            )}
            {entries.length > 0 && (
                <section className="card" aria-labelledby="entries">
                    <h2 id="entries">Entries, newest first</h2>
                    <ol className="audit">
                        {entries.map((entry) => (
                            <Entry key={entry.seq} entry={entry} />
                        ))}
                    </ol>
                    {pages.hasPreviousPage && (
                        <button
                            type="button"
                            className="small"
                            disabled={pages.isFetching}
                            onClick={() => void pages.fetchPreviousPage()}
                        >
                            Show earlier ones
                        </button>
                    )}
                </section>
            )}
        </div>
    );
}

function Entry({ entry }: { entry: AuditEntry }) {
    const { seq, at, kind, id, by, ...rest } = entry;
    return (
        <li>
            <details>
                <summary>
                    <span className="number faint">{seq}</span> <span className="strong">{kind}</span>{" "}
                    <code>{String(id)}</code> <span>by {by}</span>{" "}
                    <span className="faint">
                        <Ago at={at} />
                    </span>
                    <span className="says">{glance(rest, 100)}</span>
                </summary>
                <CodeBlock text={JSON.stringify(entry, null, 2)} label={`entry ${seq}`} />
            </details>
        </li>
    );
}
