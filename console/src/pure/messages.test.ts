import { expect, test } from "vitest";

import { readMessages, readText } from "./messages";

test("chat completions are read, with calls of tools and their answers", () => {
    const told = {
        messages: [
            { role: "system", content: "Be brief." },
            {
                role: "user",
                content: [
                    { type: "text", text: "Where is it?" },
                    { type: "image_url", image_url: { url: "https://elsewhere" } },
                ],
            },
            {
                role: "assistant",
                content: null,
                tool_calls: [{ id: "1", function: { name: "find", arguments: '{"order":"A"}' } }],
            },
            { role: "tool", tool_call_id: "1", content: "sent" },
        ],
    };
    expect(readMessages(told as never)).toEqual([
        { role: "system", text: "Be brief.", calls: [] },
        { role: "user", text: "Where is it?\n[an image, not shown]", calls: [] },
        { role: "assistant", text: "", calls: [{ name: "find", arguments: { order: "A" } }] },
        { role: "tool", text: "sent", calls: [], answers: "1" },
    ]);
});

test("the answer of a provider is read where it lies", () => {
    expect(readMessages({ choices: [{ message: { role: "assistant", content: "Yes." } }] })).toEqual([
        { role: "assistant", text: "Yes.", calls: [] },
    ]);
    expect(
        readMessages({ role: "assistant", content: [{ type: "tool_use", name: "pay", input: { cents: 1 } }] }),
    ).toEqual([{ role: "assistant", text: "", calls: [{ name: "pay", arguments: { cents: 1 } }] }]);
    expect(readMessages({ output: [{ type: "function_call", name: "pay", arguments: "{" }] })).toEqual([
        { role: "assistant", text: "", calls: [{ name: "pay", arguments: "{" }] },
    ]);
});

test("arguments of a step that hold messages are read", () => {
    expect(readMessages([[{ role: "user", content: "hi" }], {}])).toEqual([{ role: "user", text: "hi", calls: [] }]);
});

test("what is no conversation is left alone", () => {
    for (const value of [
        null,
        undefined,
        5,
        "text",
        [],
        {},
        [1, 2],
        { messages: [] },
        { role: 5 },
        { a: { b: { c: { d: { role: "user", content: "deep" } } } } },
    ]) {
        expect(readMessages(value as never)).toBeNull();
    }
});

test("markup stays the text that it is", () => {
    expect(readText("<img src=x onerror=alert(1)>")).toBe("<img src=x onerror=alert(1)>");
    expect(readText({ message: "hi" })).toBe("hi");
    expect(readText({ message: "hi", a: 1, b: 2, c: 3 })).toBeNull();
});
