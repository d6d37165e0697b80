// What a review is about and what may be answered: by its kind, and by the terms of those who decide together.

import type { Ballot, Json, Review } from "../api/types";

export type Verdict = "approve" | "edit" | "reject" | "respond";

export interface Kind {
    label: string;
    about: string;
}

/** In the order of the filter: those that a run waits for, then those about what was done. */
export const KINDS: Record<string, Kind> = {
    gate: { label: "gate", about: "An agent asks before it goes on." },
    action: { label: "action", about: "A policy leaves this call of a tool to people." },
    unknown_outcome: { label: "unknown outcome", about: "A step that may run only once was cut off." },
    budget: { label: "budget", about: "A budget is used up." },
    sample: { label: "sample", about: "A run that was chosen to be looked at." },
    appeal: { label: "appeal", about: "Somebody does not accept what came out." },
    incident: { label: "incident", about: "Something went wrong." },
    audit: { label: "audit", about: "Somebody decided alone, and others look at that." },
};

const AFTERWARDS = new Set(["sample", "appeal", "incident", "audit"]);

/** Whether it is about what was done, so that no run waits for it. */
export function isAfterwards(kind: string): boolean {
    return AFTERWARDS.has(kind);
}

const MEANING: Record<string, string> = {
    unknown_outcome:
        "A step that may run only once had begun, and its end was not seen. Look at the outside whether it happened. " +
        "Approve: it did not, run it. Edit: it did, with this result. Respond: it did, with this text. Reject: the step fails.",
    sample:
        "This run was chosen to be looked at. Approve: it was right. Edit: this should have come out, which becomes an " +
        "example. Reject: it was wrong. Respond: a word on it.",
    appeal:
        "Somebody does not accept what came out. Approve: they are right. Edit: they are right, and this is in force " +
        "from now on. Reject: it stands. Respond: it stands, and they are told this.",
    incident: "Something went wrong. Approve: it is mended. Respond: it is mended, like this. Reject: it was none.",
    audit: "Somebody decided alone. Approve: that was right. Reject: it was not. Respond: a word on it.",
};

/** What a verdict does, where that is more than to let a run go on or not. */
export function meaningOf(kind: string): string | undefined {
    return MEANING[kind];
}

/** What may be answered. An edit needs something to edit, and of an appeal that several people decide the node takes none. */
export function verdictsOf(review: Review): Verdict[] {
    const isWithoutEdit =
        review.kind === "incident" ||
        review.kind === "audit" ||
        (review.kind === "appeal" && (review.ballot?.quorum ?? 1) > 1);
    return isWithoutEdit ? ["approve", "reject", "respond"] : ["approve", "edit", "reject", "respond"];
}

/** What an edit starts from: the arguments when the details have such a part, otherwise all of them; of what was done,
 * what came out or was answered. */
export function subjectOf(review: Review): Json {
    const { about, output } = review.details;
    if (review.kind === "appeal" && typeof about === "object" && about !== null && !Array.isArray(about))
        return about.answer ?? null;
    if (review.kind === "appeal" || review.kind === "sample") return output ?? null;
    for (const name of ["arguments", "args", "input", "proposed"]) {
        const found = review.details[name];
        if (found !== undefined) return found;
    }
    return review.details;
}

/** How many more have to agree, as a sentence; empty where one person decides or all have. */
export function stillNeeded(ballot: Ballot | null | undefined): string {
    const left = ballot ? ballot.quorum - ballot.counted : 0;
    if (!ballot || ballot.quorum < 2 || left < 1) return "";
    return left === 1 ? "One more person has to agree." : `${left} more people have to agree.`;
}

/** What whoever decided is told. A question that several people decide stays open until enough of them agree. */
export function saidOf(verdict: Verdict, after: Review): string {
    if (after.status === "open") return `Your vote is counted. ${stillNeeded(after.ballot)}`.trim();
    const isWaitedFor = !isAfterwards(after.kind);
    switch (verdict) {
        case "approve":
            return isWaitedFor ? "Approved; the run goes on." : "Approved, and closed.";
        case "edit":
            return isWaitedFor ? "Approved with your changes; the run goes on." : "Closed with what you wrote.";
        case "reject":
            return isWaitedFor ? "Rejected; the run is told." : "Rejected, and closed.";
        case "respond":
            return isWaitedFor ? "Your response is sent to the agent." : "Closed with your response.";
    }
}

/** Who is asked as well when nobody answers, and after how long a silence. */
export function nextRung(ballot: Ballot): string {
    const next = ballot.ladder.find((rung) => !rung.is_asked);
    return next ? `After ${inWords(next.after_seconds)} of silence ${next.role} is asked as well.` : "";
}

function inWords(seconds: number): string {
    for (const [size, unit] of [
        [86_400, "day"],
        [3600, "hour"],
        [60, "minute"],
    ] as const) {
        if (seconds >= size) {
            const count = Math.round((seconds / size) * 10) / 10;
            return `${count} ${unit}${count === 1 ? "" : "s"}`;
        }
    }
    return `${seconds} second${seconds === 1 ? "" : "s"}`;
}
