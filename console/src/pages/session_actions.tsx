// What can be done with a session as a whole: a fork of it, and its end.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { ask, get, post } from "../api/call";
import type { PageOf, Session, Turn } from "../api/types";
import { Confirm, Form } from "../parts/form";
import { useNotices } from "../parts/notices";
import { Dialog } from "../parts/parts";
import { readText } from "../pure/messages";
import { count } from "../pure/words";
import { go } from "../shell/place";

export function SessionActions({ session, path }: { session: Session; path: string }) {
    const { tell } = useNotices();
    const [open, setOpen] = useState<"fork" | "drop" | null>(null);
    const [key, setKey] = useState(`${session.key}-copy`);
    const [after, setAfter] = useState("");
    const history = useQuery({
        queryKey: ["session", session.agent, session.key, "forkable"],
        queryFn: () => get<PageOf<Turn>>(`${path}/history`, { limit: 100 }),
        enabled: open === "fork",
    });
    const fork = async () => {
        const made = await post<Session>(`${path}/fork`, after ? { key, after } : { key });
        tell(`Forked as ${made.key}.`);
        setOpen(null);
        go(["sessions", session.agent, made.key]);
    };
    const drop = async () => {
        await ask(path, { method: "DELETE" });
        tell("The session is deleted.");
        go(["sessions"], { agent: session.agent });
    };
    return (
        <>
            <button type="button" onClick={() => setOpen("fork")}>
                Fork
            </button>
            <button type="button" className="danger" onClick={() => setOpen("drop")}>
                Delete
            </button>
            {open === "fork" && (
                <Dialog title="Fork this session" onClose={() => setOpen(null)}>
                    <Form action="Fork" isReady={key.trim() !== ""} onClose={() => setOpen(null)} onSend={fork}>
                        <p>A session of its own with the same turns and state. This one stays as it is.</p>
                        <label className="field">
                            Key of the new session
                            <input
                                value={key}
                                maxLength={256}
                                onChange={(event) => setKey(event.target.value)}
                                autoFocus
                            />
                        </label>
                        <label className="field">
                            With the turns up to
                            <select value={after} onChange={(event) => setAfter(event.target.value)}>
                                <option value="">the last one</option>
                                {[...(history.data?.items ?? [])].reverse().map((turn) => (
                                    <option key={turn.run} value={turn.run}>
                                        {turn.number}:{" "}
                                        {(readText(turn.input) ?? JSON.stringify(turn.input)).slice(0, 60)}
                                    </option>
                                ))}
                            </select>
                        </label>
                    </Form>
                </Dialog>
            )}
            {open === "drop" && (
                <Confirm
                    title="Delete this session?"
                    action="Delete the session"
                    isDanger
                    close="Keep it"
                    onClose={() => setOpen(null)}
                    onSure={drop}
                >
                    <p>
                        Its {count(session.turns)} turns and its state are gone then, for good. Runs that are kept stay.
                    </p>
                </Confirm>
            )}
        </>
    );
}
