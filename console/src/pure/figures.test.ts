import { expect, test } from "vitest";

import { judgementOf, movesOf, rateOf, ratioOf, scoreOf, signed, verdictOn } from "./figures";

test("a rate, a ratio and a score stand with how sure they are", () => {
    expect(rateOf(0.4, { low: 0.168, high: 0.687 })).toBe("40 % (17 to 69 %)");
    expect(ratioOf(0.5, { low: 0.219, high: 1.1299 })).toBe("0.50 (0.22 to 1.13)");
    expect(ratioOf(0.5, null)).toBe("0.50");
    expect(ratioOf(null, null)).toBe("cannot be said");
    expect(scoreOf(0.9, { low: 0.5958, high: 0.9821 })).toBe("0.900 (0.596 to 0.982)");
});

test("a group that is too small is not judged, whatever its ratio", () => {
    const group = { group: "other", ratio: 0.1, is_small: true, is_flagged: false };
    expect(judgementOf(group, "male", 5)).toEqual(["small", "not judged: fewer than 5 cases"]);
    const large = { ...group, is_small: false };
    expect(judgementOf({ ...large, is_flagged: true }, "male", 5)[0]).toBe("flagged");
    expect(judgementOf({ ...large, ratio: 0.9 }, "male", 5)[0]).toBe("fair");
    expect(judgementOf({ ...large, group: "male", ratio: 1 }, "male", 5)[0]).toBe("reference");
    expect(judgementOf({ ...large, ratio: null }, null, 5)[0]).toBe("small");
});

test("a finding that is closed stays closed", () => {
    expect(movesOf("open")).toEqual(["mitigated", "accepted", "closed"]);
    expect(movesOf("closed")).toEqual([]);
});

test("a difference counts when it is not by chance", () => {
    const difference = { mean: 0.1, interval: { low: 0.02, high: 0.2 }, count: 40, better: 6, worse: 2, p: 0.29 };
    expect(verdictOn(difference, false)[1]).toBe("better, and not by chance");
    expect(verdictOn({ ...difference, interval: { low: -0.1, high: 0.2 } }, false)[1]).toBe("not told apart");
    expect(verdictOn({ ...difference, mean: -0.4 }, true)[1]).toBe("worse, and not by chance");
    expect([signed(0.1), signed(-0.25)]).toEqual(["+0.100", "−0.250"]);
});
