import { expect, test } from "vitest";

import { readPlace, writePlace } from "./route";

test("an address that was written is read as the same place", () => {
    const parts = ["sessions", "desk", "a/b %#? ü"];
    const query = { status: "failed,running", agent: "a&b=c" };
    expect(readPlace(writePlace(parts, query))).toEqual({ parts, query });
});

test("nothing is a place too, and broken escapes break nothing", () => {
    expect(readPlace("")).toEqual({ parts: [], query: {} });
    expect(readPlace("#/runs/%E0%A4%A")).toEqual({ parts: ["runs", "%E0%A4%A"], query: {} });
});

test("what is empty is not in the address", () => {
    expect(writePlace(["runs"], { agent: "", status: null, session: undefined })).toBe("#/runs");
});
