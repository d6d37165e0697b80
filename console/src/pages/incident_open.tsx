// Opening an incident about a run or an agent: it becomes a review, closed by somebody else than who opened it.

import { useState } from "react";

import { post } from "../api/call";
import type { Review } from "../api/types";
import { Form } from "../parts/form";
import { Dialog } from "../parts/parts";
import { go } from "../shell/place";

export function OpenIncident({ agent, run }: { agent: string; run?: string }) {
    const [isOpen, setOpen] = useState(false);
    return (
        <>
            <button type="button" onClick={() => setOpen(true)}>
                Incident
            </button>
            {isOpen && <IncidentDialog about={run ? { run } : { agent }} onClose={() => setOpen(false)} />}
        </>
    );
}

function IncidentDialog({ about, onClose }: { about: { run: string } | { agent: string }; onClose: () => void }) {
    const [happened, setHappened] = useState("");
    const open = async () => {
        const made = await post<Review>("v1/incidents", { happened: happened.trim(), ...about });
        onClose();
        go(["reviews", made.id]);
    };
    return (
        <Dialog title="Open an incident" onClose={onClose}>
            <Form action="Open the incident" isReady={happened.trim() !== ""} onClose={onClose} onSend={open}>
                <p>
                    Something went wrong here, and people find out what. Somebody else than you closes it. What runs
                    goes on: a hold stops it.
                </p>
                <label className="field">
                    What happened
                    <textarea
                        rows={4}
                        value={happened}
                        maxLength={10_000}
                        onChange={(event) => setHappened(event.target.value)}
                    />
                </label>
            </Form>
        </Dialog>
    );
}
