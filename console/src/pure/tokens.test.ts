import { expect, test } from "vitest";

import { tokens } from "./tokens";

test("the parts of a text together are the text", () => {
    for (const text of ['{"a": [1, -2.5e3, "x\\"y", true, null]}', "plain words", '"cut off', "", "[1,2"]) {
        expect(
            tokens(text)
                .map((part) => part.text)
                .join(""),
        ).toBe(text);
    }
});

test("keys, strings, numbers and words are told apart", () => {
    const kinds = tokens('{"a": "b", "c": 1, "d": null}')
        .filter((part) => part.kind !== "plain")
        .map((part) => part.kind);
    expect(kinds).toEqual(["key", "string", "key", "number", "key", "word"]);
});
