// Deciding alone what takes others: for who has the role, in an emergency, with a reason. Somebody else looks at it after.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { post, Problem } from "../api/call";
import type { Review } from "../api/types";
import { Form } from "../parts/form";
import { Dialog } from "../parts/parts";
import { useWho } from "../shell/gate";
import type { Deciding } from "./review_decide";

const ROLE = "break-glass";

/** Nothing for who may not, and where one's own word is enough anyway. */
export function DecideAlone({ review, onDone, onLate }: Deciding) {
    const who = useWho();
    const [isOpen, setOpen] = useState(false);
    const { ballot } = review;
    const mayBreak = who?.kind === "human" && (who.roles.includes(ROLE) || who.roles.includes("*"));
    if (!mayBreak || !ballot || (ballot.refusal === null && ballot.quorum === 1)) return null;
    return (
        <>
            <p>
                <button type="button" className="small danger" onClick={() => setOpen(true)}>
                    Break the glass…
                </button>
            </p>
            {isOpen && <BreakGlass review={review} onDone={onDone} onLate={onLate} onClose={() => setOpen(false)} />}
        </>
    );
}

function BreakGlass({ review, onDone, onLate, onClose }: Deciding & { onClose: () => void }) {
    const client = useQueryClient();
    const [verdict, setVerdict] = useState<"approve" | "reject">("approve");
    const [reason, setReason] = useState("");
    const send = async () => {
        try {
            const body = { verdict, reason: reason.trim(), break_glass: true };
            const after = await post<Review>(`v1/reviews/${encodeURIComponent(review.id)}/decision`, body);
            onClose();
            onDone(after);
        } catch (fault) {
            if (!(fault instanceof Problem && fault.code === "review_closed")) throw fault;
            onClose();
            onLate(verdict);
        } finally {
            void client.invalidateQueries({ queryKey: ["reviews"] });
        }
    };
    return (
        <Dialog title="Decide this alone?" onClose={onClose}>
            <Form
                action="Decide alone"
                isDanger
                isReady={reason.trim() !== ""}
                close="Leave it"
                onClose={onClose}
                onSend={send}
            >
                <p className="asks">
                    Your word counts at once and for all who should have been asked. The audit log tells it, and
                    somebody else is asked afterwards whether it was right.
                </p>
                <fieldset>
                    <legend>Your verdict</legend>
                    {(["approve", "reject"] as const).map((one) => (
                        <label key={one} className="check">
                            <input
                                type="radio"
                                name="verdict"
                                checked={verdict === one}
                                onChange={() => setVerdict(one)}
                            />{" "}
                            {one}
                        </label>
                    ))}
                </fieldset>
                <label className="field">
                    Why it cannot wait
                    <input value={reason} maxLength={1000} onChange={(event) => setReason(event.target.value)} />
                </label>
            </Form>
        </Dialog>
    );
}
