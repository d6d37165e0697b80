import { expect, test } from "vitest";

import { brief, bytes, distance, glance, money, share, shortId, span } from "./words";

test.each([
    [0, "0 ms"],
    [0.4, "<1 ms"],
    [850, "850 ms"],
    [999.6, "1.0 s"],
    [4230, "4.2 s"],
    [9960, "10 s"],
    [59_600, "1 min"],
    [192_000, "3 min 12 s"],
    [3_600_000, "1 h"],
    [7_500_000, "2 h 5 min"],
    [86_400_000 * 3 + 4 * 3_600_000, "3 d 4 h"],
    [-5, "0 ms"],
])("%d ms is read as %s", (milliseconds, text) => expect(span(milliseconds)).toBe(text));

test("a distance has one unit, and says which way it lies", () => {
    expect(distance(0, 500)).toBe("just now");
    expect(distance(0, 12_300)).toBe("12 s ago");
    expect(distance(240_000, 0)).toBe("in 4 min");
    expect(distance(0, 90 * 86_400_000)).toBe("90 d ago");
});

test("large numbers keep three figures", () => {
    expect([0, 999, 9999, 12_345, 999_499, 1_234_567, 2.5e9].map(brief)).toEqual([
        "0",
        "999",
        "9,999",
        "12.3k",
        "999k",
        "1.23M",
        "2.50G",
    ]);
});

test("bytes have three figures and a unit", () => {
    expect([0, 900, 5_000_000, 327_155_712, 3_221_225_472].map(bytes)).toEqual([
        "",
        "0.879 KiB",
        "4.77 MiB",
        "312 MiB",
        "3 GiB",
    ]);
});

test("small money is not rounded to nothing", () => {
    expect([0, 0.00001, 0.0031, 0.5, 1234.5].map(money)).toEqual(["$0", "<$0.0001", "$0.0031", "$0.50", "$1,234.50"]);
});

test("a share of nothing is none, and a small one is not zero", () => {
    expect([share(0, 0), share(1, 100_000), share(1, 40), share(40, 40)]).toEqual(["0 %", "<0.1 %", "2.5 %", "100 %"]);
});

test("an id keeps its kind and its end", () => {
    expect(shortId("run_0123456789abcdef")).toBe("run_…89abcdef");
    expect(shortId("run_mine")).toBe("run_mine");
});

test("a glance is one line, and says the fields of an object", () => {
    expect(glance("two\n lines")).toBe("two lines");
    expect(glance({ customer: "ada", cents: 5, none: null })).toBe("customer: ada · cents: 5");
    expect(glance("x".repeat(500), 10)).toBe(`${"x".repeat(9)}…`);
});
