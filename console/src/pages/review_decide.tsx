// The answer to a review: a verdict, what belongs to it, and why.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";

import { post, Problem } from "../api/call";
import type { Json, Review } from "../api/types";
import { DiffBlock } from "../parts/diff";
import { useNotices } from "../parts/notices";
import { isAfterwards, saidOf, subjectOf, type Verdict, verdictsOf } from "../pure/review";
import { readJson } from "../pure/schema";
import { useKeys } from "../shell/keys";

export interface Deciding {
    review: Review;
    onDone: (after: Review) => void;
    /** Somebody else was first, so this verdict does not count. */
    onLate: (verdict: Verdict) => void;
}

export function Decide({ review, onDone, onLate }: Deciding) {
    const client = useQueryClient();
    const { tell, fail } = useNotices();
    const subject = useMemo(() => JSON.stringify(subjectOf(review), null, 2), [review]);
    const [verdict, setVerdict] = useState<Verdict | null>(null);
    const [edited, setEdited] = useState(subject);
    const [response, setResponse] = useState("");
    const [reason, setReason] = useState("");
    const [isSending, setSending] = useState(false);
    const first = useRef<HTMLTextAreaElement & HTMLInputElement>(null);
    const read = readJson(edited);
    useEffect(() => {
        first.current?.focus();
    }, [verdict]);
    const choices = CHOICES.filter(([name]) => verdictsOf(review).includes(name));
    useKeys(Object.fromEntries(choices.map(([name, , key]) => [key, () => setVerdict(name)])));
    const isReady =
        verdict !== null &&
        !isSending &&
        (verdict !== "edit" || read.fault === undefined) &&
        (verdict !== "respond" || response.trim() !== "");
    const send = async () => {
        if (!verdict || !isReady) return;
        setSending(true);
        const body: { verdict: Verdict; reason?: string; edited?: Json; response?: string } = { verdict };
        if (reason.trim()) body.reason = reason.trim();
        if (verdict === "edit") body.edited = read.value!;
        if (verdict === "respond") body.response = response;
        try {
            const after = await post<Review>(`v1/reviews/${encodeURIComponent(review.id)}/decision`, body);
            tell(saidOf(verdict, after));
            onDone(after);
        } catch (error) {
            if (error instanceof Problem && error.code === "review_closed") onLate(verdict);
            else fail(error);
        } finally {
            setSending(false);
            void client.invalidateQueries({ queryKey: ["reviews"] });
        }
    };
    return (
        <form
            className="decide"
            aria-label="Your decision"
            onSubmit={(event) => {
                event.preventDefault();
                void send();
            }}
        >
            <div className="verdicts" role="radiogroup" aria-label="Decision">
                {choices.map(([name, label, key]) => (
                    <button
                        key={name}
                        type="button"
                        role="radio"
                        aria-checked={verdict === name}
                        className={name}
                        onClick={() => setVerdict(name)}
                    >
                        {label} <kbd>{key}</kbd>
                    </button>
                ))}
            </div>
            {verdict === "edit" && (
                <>
                    <label className="field">
                        What it shall be instead
                        <textarea
                            ref={first}
                            className="code-input"
                            rows={Math.min(18, edited.split("\n").length + 1)}
                            spellCheck={false}
                            value={edited}
                            aria-invalid={read.fault !== undefined}
                            aria-describedby="edit-fault"
                            onChange={(event) => setEdited(event.target.value)}
                        />
                        <span id="edit-fault" className="fault" role="status">
                            {read.fault ? `This is not JSON: ${read.fault}` : ""}
                        </span>
                    </label>
                    <DiffBlock before={subject} after={edited} label="what you change" />
                </>
            )}
            {verdict === "respond" && (
                <label className="field">
                    {isAfterwards(review.kind) ? "Your response" : "What the agent is told"}
                    <textarea
                        ref={first}
                        rows={4}
                        value={response}
                        maxLength={100_000}
                        onChange={(event) => setResponse(event.target.value)}
                    />
                </label>
            )}
            {verdict !== null && (
                <>
                    <label className="field">
                        Reason <span className="faint">(optional, kept with the decision)</span>
                        <input
                            ref={verdict === "approve" || verdict === "reject" ? first : undefined}
                            value={reason}
                            maxLength={1000}
                            onChange={(event) => setReason(event.target.value)}
                        />
                    </label>
                    <footer>
                        <button type="button" onClick={() => setVerdict(null)}>
                            Not yet
                        </button>
                        <button type="submit" className={verdict === "reject" ? "danger" : "main"} disabled={!isReady}>
                            {SEND[verdict]}
                        </button>
                    </footer>
                </>
            )}
        </form>
    );
}

const CHOICES: [Verdict, string, string][] = [
    ["approve", "Approve", "a"],
    ["edit", "Edit", "e"],
    ["reject", "Reject", "x"],
    ["respond", "Respond", "r"],
];
const SEND: Record<Verdict, string> = {
    approve: "Approve it",
    edit: "Approve with these changes",
    reject: "Reject it",
    respond: "Send the response",
};
