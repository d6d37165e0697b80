// The state of a session and its editor: a merge patch that is only taken when nobody else has changed it meanwhile.

import { useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { ask } from "../api/call";
import type { JsonObject, Session } from "../api/types";
import { DiffBlock } from "../parts/diff";
import { useNotices } from "../parts/notices";
import { Trouble } from "../parts/parts";
import { CodeBlock } from "../parts/value";
import { mergePatch } from "../pure/patch";
import { readJson } from "../pure/schema";

export function StatePane({ session, path, isBusy }: { session: Session; path: string; isBusy: boolean }) {
    const client = useQueryClient();
    const { tell } = useNotices();
    const [draft, setDraft] = useState<{ text: string; base: JsonObject; version: number } | null>(null);
    const [error, setError] = useState<unknown>(null);
    const read = useMemo(() => (draft ? readJson(draft.text) : {}), [draft]);
    const isObject = typeof read.value === "object" && read.value !== null && !Array.isArray(read.value);
    const fault = read.fault ?? (draft && !isObject ? "the state is an object" : undefined);
    const save = async () => {
        if (!draft || fault) return;
        try {
            const patch = mergePatch(draft.base, read.value as JsonObject);
            await ask(`${path}/state`, {
                method: "PATCH",
                body: patch,
                headers: { "If-Match": `"${draft.version}"`, "Content-Type": "application/merge-patch+json" },
            });
            tell("The state is saved.");
            setDraft(null);
            setError(null);
            void client.invalidateQueries({ queryKey: ["session", session.agent, session.key] });
        } catch (problem) {
            setError(problem);
        }
    };
    return (
        <section className="card statepane" aria-labelledby="state">
            <header>
                <h2 id="state">
                    State <span className="pill">version {session.version}</span>
                </h2>
                {draft === null && (
                    <button
                        type="button"
                        className="small"
                        disabled={isBusy}
                        title={isBusy ? "A turn is under way: the state belongs to it" : undefined}
                        onClick={() =>
                            setDraft({
                                text: JSON.stringify(session.state, null, 2),
                                base: session.state,
                                version: session.version,
                            })
                        }
                    >
                        Edit
                    </button>
                )}
            </header>
            {draft === null ? (
                <CodeBlock text={JSON.stringify(session.state, null, 2)} label="the state" />
            ) : (
                <>
                    <label className="field">
                        <span className="unseen">The state as JSON</span>
                        <textarea
                            className="code-input"
                            rows={Math.min(24, draft.text.split("\n").length + 1)}
                            spellCheck={false}
                            value={draft.text}
                            aria-invalid={fault !== undefined}
                            aria-describedby="state-fault"
                            onChange={(event) => setDraft({ ...draft, text: event.target.value })}
                            autoFocus
                        />
                        <span id="state-fault" className="fault" role="status">
                            {fault ?? ""}
                        </span>
                    </label>
                    <DiffBlock
                        before={JSON.stringify(draft.base, null, 2)}
                        after={draft.text}
                        label="what you change"
                    />
                    {error !== null && <Trouble error={error} />}
                    {draft.version !== session.version && (
                        <p className="asks">
                            Somebody saved version {session.version} meanwhile.{" "}
                            <button
                                type="button"
                                className="small"
                                onClick={() => setDraft({ ...draft, base: session.state, version: session.version })}
                            >
                                Go on with mine on top of it
                            </button>
                        </p>
                    )}
                    <footer>
                        <button
                            type="button"
                            onClick={() => {
                                setDraft(null);
                                setError(null);
                            }}
                        >
                            Leave it
                        </button>
                        <button
                            type="button"
                            className="main"
                            disabled={fault !== undefined}
                            onClick={() => void save()}
                        >
                            Save
                        </button>
                    </footer>
                </>
            )}
            <p className="faint">Only saved when nobody else has changed it meanwhile (If-Match).</p>
        </section>
    );
}
