import { expect, test } from "vitest";

import type { Ballot } from "../api/types";
import { nextRung, subjectOf } from "./review";

const ballot: Ballot = {
    roles: ["legal"],
    quorum: 2,
    counted: 1,
    votes: [],
    ladder: [
        { role: "chief", after_seconds: 7200, is_asked: false },
        { role: "board", after_seconds: 90_000, is_asked: false },
    ],
    until: null,
    requester: "customer",
    open_to: [],
    refusal: null,
};

test("the next of those who are asked in silence is named, with how long that takes", () => {
    expect(nextRung(ballot)).toBe("After 2 hours of silence chief is asked as well.");
    const climbed = { ...ballot, ladder: [{ ...ballot.ladder[0]!, is_asked: true }, ballot.ladder[1]!] };
    expect(nextRung(climbed)).toBe("After 1 day of silence board is asked as well.");
    expect(nextRung({ ...ballot, ladder: [] })).toBe("");
});

test("an edit replaces the arguments where there are some", () => {
    const review = { details: { arguments: { a: 1 }, other: 2 } } as never;
    expect(subjectOf(review)).toEqual({ a: 1 });
});
