import { expect, test } from "vitest";

import type { JsonObject } from "../api/types";
import { mergePatch } from "./patch";

function apply(target: JsonObject, patch: JsonObject): JsonObject {
    const found = { ...target };
    for (const [name, value] of Object.entries(patch)) {
        if (value === null) delete found[name];
        else if (typeof value === "object" && !Array.isArray(value)) {
            const old = found[name];
            found[name] = apply(typeof old === "object" && old !== null && !Array.isArray(old) ? old : {}, value);
        } else found[name] = value;
    }
    return found;
}

test.each([
    [{ a: 1 }, { a: 1 }],
    [
        { a: 1, b: 2 },
        { b: 3, c: [1] },
    ],
    [{ a: { x: 1, y: 2 } }, { a: { x: 1, z: { q: 1 } } }],
    [{ a: [1, 2] }, { a: [2] }],
    [{ a: { x: 1 } }, { a: 5 }],
    [{ a: 5 }, { a: { x: 1 } }],
    [{}, { a: "" }],
])("the patch from %j leads to %j", (before, after) => {
    expect(apply(before as JsonObject, mergePatch(before as JsonObject, after as JsonObject))).toEqual(after);
});

test("what is the same is not sent", () => {
    expect(mergePatch({ a: 1, b: { c: 2, d: 3 } }, { a: 1, b: { c: 2, d: 4 } })).toEqual({ b: { d: 4 } });
});
