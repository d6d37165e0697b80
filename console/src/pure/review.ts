// What a review is about: the part of its details that an edit replaces.

import type { Json, Review } from "../api/types";

/** The arguments when the details have such a part, otherwise all of them. */
export function subjectOf(review: Review): Json {
    for (const name of ["arguments", "args", "input", "proposed"]) {
        const found = review.details[name];
        if (found !== undefined) return found;
    }
    return review.details;
}
