import { expect, test } from "vitest";

import type { JsonObject } from "../api/types";
import { fieldsOf, initialOf, isForm, writeInput } from "./schema";

const CLAIM: JsonObject = {
    $ref: "#/$defs/Claim",
    $defs: {
        Claim: {
            type: "object",
            properties: {
                customer: { type: "string", description: "Who asks." },
                cents: { type: "integer" },
                channel: { enum: ["mail", "web"], default: "web" },
                urgent: { type: "boolean", default: false },
                tags: { anyOf: [{ type: "array", items: { type: "string" } }, { type: "null" }], default: null },
                where: { $ref: "#/$defs/Where" },
                more: {},
            },
            required: ["customer", "cents"],
        },
        Where: {
            type: "object",
            properties: { city: { type: "string" }, floor: { type: ["integer", "null"] } },
            required: ["city"],
        },
    },
};

test("each kind of value gets a field of its kind", () => {
    expect(fieldsOf(CLAIM).map((field) => [field.name, field.kind, field.isRequired])).toEqual([
        ["customer", "text", true],
        ["cents", "integer", true],
        ["channel", "choice", false],
        ["urgent", "switch", false],
        ["tags", "lines", false],
        ["where", "group", false],
        ["more", "json", false],
    ]);
});

test("what is filled in becomes the input, and what is left empty is left out", () => {
    const filled = {
        ...initialOf(fieldsOf(CLAIM)),
        customer: "ada",
        cents: "12",
        tags: "a\n\nb",
        more: "[1]",
        where: { city: "Bonn", floor: "" },
    };
    expect(writeInput(CLAIM, filled)).toEqual({
        value: { customer: "ada", cents: 12, channel: "web", tags: ["a", "b"], where: { city: "Bonn" }, more: [1] },
        faults: {},
    });
});

test("faults name the field", () => {
    const { faults } = writeInput(CLAIM, { customer: "ada", cents: "1.5", more: "{", where: { city: "", floor: "x" } });
    expect(Object.keys(faults).sort()).toEqual(["cents", "more", "where.floor"]);
});

test("an input that is one value has one field without a name", () => {
    expect(isForm({ type: "string" })).toBe(false);
    expect(writeInput({ type: "string" }, { "": "hello" })).toEqual({ value: "hello", faults: {} });
    expect(writeInput({ type: "integer" }, { "": "7" }).value).toBe(7);
    expect(writeInput({}, { "": '{"a": 1}' }).value).toEqual({ a: 1 });
});

test("a schema that leads in circles ends", () => {
    const circle: JsonObject = {
        $ref: "#/$defs/A",
        $defs: { A: { type: "object", properties: { next: { $ref: "#/$defs/A" } } } },
    };
    expect(fieldsOf(circle)).toHaveLength(1);
    expect(fieldsOf({ $ref: "#/$defs/B", $defs: { B: { $ref: "#/$defs/B" } } })).toHaveLength(1);
});
