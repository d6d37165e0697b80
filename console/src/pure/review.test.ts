import { expect, test } from "vitest";

import type { Ballot } from "../api/types";
import { KINDS, nextRung, saidOf, stillNeeded, subjectOf, verdictsOf } from "./review";

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

test("an edit of what was done starts from what came out, or from the answer that is appealed against", () => {
    const of = (kind: string, details: object) => subjectOf({ kind, details } as never);
    expect(of("sample", { input: 1, output: { granted: false } })).toEqual({ granted: false });
    expect(of("appeal", { input: 1, output: 2, about: null })).toBe(2);
    expect(of("appeal", { input: 1, output: 2, about: { answer: { verdict: "reject" } } })).toEqual({
        verdict: "reject",
    });
});

test("an edit is offered where there is something to edit", () => {
    const of = (kind: string, quorum = 1) => verdictsOf({ kind, ballot: { ...ballot, quorum } } as never);
    expect(of("gate")).toContain("edit");
    expect(of("appeal")).toContain("edit");
    expect(of("appeal", 2)).not.toContain("edit");
    expect(of("incident")).not.toContain("edit");
});

test("it is said how many more have to agree, and what a verdict came to", () => {
    expect(stillNeeded(ballot)).toBe("One more person has to agree.");
    expect(stillNeeded({ ...ballot, quorum: 3 })).toBe("2 more people have to agree.");
    expect(stillNeeded({ ...ballot, counted: 2 })).toBe("");
    expect(stillNeeded({ ...ballot, quorum: 1, counted: 0 })).toBe("");
    const after = (status: string, kind: string) => ({ status, kind, ballot }) as never;
    expect(saidOf("approve", after("open", "action"))).toBe("Your vote is counted. One more person has to agree.");
    expect(saidOf("approve", after("decided", "gate"))).toBe("Approved; the run goes on.");
    expect(saidOf("approve", after("decided", "appeal"))).toBe("Approved, and closed.");
});

test("every kind has a mark", () => {
    expect(Object.keys(KINDS).sort()).toEqual(
        ["action", "appeal", "audit", "budget", "gate", "incident", "sample", "unknown_outcome"].sort(),
    );
});
