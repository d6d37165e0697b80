// What a review is about: the part of its details that an edit replaces.

import type { Ballot, Json, Review } from "../api/types";

/** The arguments when the details have such a part, otherwise all of them. */
export function subjectOf(review: Review): Json {
    for (const name of ["arguments", "args", "input", "proposed"]) {
        const found = review.details[name];
        if (found !== undefined) return found;
    }
    return review.details;
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
