// A form from the JSON schema of an agent's input. What a person can fill in gets a field; what a form cannot say well
// (unions, free objects) is a field for JSON. The node checks the input in any case: this only helps to write it.

import type { Json, JsonObject } from "../api/types";

export type Field =
    | { kind: "text" | "number" | "integer"; name: string; about: string; isRequired: boolean; initial: string }
    | { kind: "choice"; name: string; about: string; isRequired: boolean; choices: Json[]; initial: string }
    | { kind: "switch"; name: string; about: string; isRequired: boolean; initial: boolean }
    | { kind: "lines"; name: string; about: string; isRequired: boolean; initial: string }
    | { kind: "json"; name: string; about: string; isRequired: boolean; initial: string }
    | { kind: "group"; name: string; about: string; isRequired: boolean; fields: Field[] };

export type Filled = { [name: string]: string | boolean | Filled };

const DEPTH = 4;

function isObject(value: Json | undefined): value is JsonObject {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Follows `$ref` within the document, and takes the one real choice of a union with null. */
function resolve(schema: Json | undefined, root: JsonObject, depth = 0): JsonObject {
    if (!isObject(schema) || depth > 8) return {};
    if (typeof schema.$ref === "string" && schema.$ref.startsWith("#/")) {
        let found: Json | undefined = root;
        for (const part of schema.$ref.slice(2).split("/"))
            found = isObject(found) ? found[part.replaceAll("~1", "/").replaceAll("~0", "~")] : undefined;
        const { $ref: _, ...beside } = schema;
        return { ...resolve(found, root, depth + 1), ...beside };
    }
    const choices = Array.isArray(schema.anyOf) ? schema.anyOf : Array.isArray(schema.oneOf) ? schema.oneOf : null;
    const real = choices?.filter((one) => !(isObject(one) && one.type === "null")) ?? [];
    if (choices && real.length === 1) {
        const { anyOf: _, oneOf: __, ...beside } = schema;
        return { ...resolve(real[0], root, depth + 1), ...beside };
    }
    if (Array.isArray(schema.type)) {
        const types = schema.type.filter((one) => one !== "null");
        if (types.length === 1) return { ...schema, type: types[0]! };
    }
    return schema;
}

/** The fields of an input. One unnamed field for an input that is no object. */
export function fieldsOf(schema: JsonObject): Field[] {
    const top = resolve(schema, schema);
    return isForm(top) ? propertiesOf(top, schema, 0) : [fieldOf("", top, true, schema, 0)];
}

/** Whether the input is an object with known fields; otherwise the one field is the input. */
export function isForm(schema: JsonObject): boolean {
    const top = resolve(schema, schema);
    return top.type === "object" && isObject(top.properties) && Object.keys(top.properties).length > 0;
}

function propertiesOf(schema: JsonObject, root: JsonObject, depth: number): Field[] {
    const required = new Set(Array.isArray(schema.required) ? schema.required : []);
    return Object.entries(schema.properties as JsonObject).map(([name, one]) =>
        fieldOf(name, resolve(one, root), required.has(name), root, depth),
    );
}

function fieldOf(name: string, schema: JsonObject, isRequired: boolean, root: JsonObject, depth: number): Field {
    const about = typeof schema.description === "string" ? schema.description : "";
    const given = schema.default;
    const known = { name, about, isRequired };
    if (Array.isArray(schema.enum))
        return {
            ...known,
            kind: "choice",
            choices: schema.enum,
            initial: given === undefined ? "" : JSON.stringify(given),
        };
    const text = given === undefined || given === null ? "" : typeof given === "string" ? given : JSON.stringify(given);
    switch (schema.type) {
        case "string":
            return { ...known, kind: "text", initial: text };
        case "integer":
        case "number":
            return { ...known, kind: schema.type, initial: text };
        case "boolean":
            return { ...known, kind: "switch", initial: given === true };
        case "array":
            if (resolve(schema.items, root).type === "string" && !resolve(schema.items, root).enum) {
                return { ...known, kind: "lines", initial: Array.isArray(given) ? given.join("\n") : "" };
            }
            break;
        case "object":
            if (isForm(schema) && depth < DEPTH)
                return { ...known, kind: "group", fields: propertiesOf(schema, root, depth + 1) };
            break;
    }
    return { ...known, kind: "json", initial: given === undefined ? "" : JSON.stringify(given, null, 2) };
}

export function initialOf(fields: Field[]): Filled {
    return Object.fromEntries(
        fields.map((field) => [field.name, field.kind === "group" ? initialOf(field.fields) : field.initial]),
    );
}

export interface Written {
    value: Json;
    /** By the path of the field: `customer`, `address.city`. */
    faults: Record<string, string>;
}

/** The input that a filled form says. Fields that are empty and may be are left out. */
export function writeInput(schema: JsonObject, filled: Filled): Written {
    const faults: Record<string, string> = {};
    const fields = fieldsOf(schema);
    const object = writeFields(fields, filled, "", faults);
    return { value: isForm(schema) ? object : (object[""] ?? null), faults };
}

function writeFields(fields: Field[], filled: Filled, path: string, faults: Record<string, string>): JsonObject {
    const found: JsonObject = {};
    for (const field of fields) {
        const at = path ? `${path}.${field.name}` : field.name;
        const given = filled[field.name];
        if (field.kind === "group") {
            const inner = writeFields(field.fields, (given ?? {}) as Filled, at, faults);
            if (field.isRequired || Object.keys(inner).length > 0) found[field.name] = inner;
            continue;
        }
        if (field.kind === "switch") {
            if (field.isRequired || given !== field.initial) found[field.name] = given === true;
            continue;
        }
        const text = String(given ?? "");
        if (text.trim() === "" && !(field.kind === "text" && field.isRequired)) {
            if (field.isRequired && field.kind !== "lines") faults[at] = "needs a value";
            else if (field.isRequired) found[field.name] = [];
            continue;
        }
        const written = writeText(field.kind, text);
        if (typeof written === "object" && written !== null && "fault" in written && field.kind !== "json")
            faults[at] = String(written.fault);
        else if (field.kind === "json") {
            const read = readJson(text);
            if (read.fault) faults[at] = read.fault;
            else found[field.name] = read.value!;
        } else found[field.name] = written as Json;
    }
    return found;
}

function writeText(kind: Field["kind"], text: string): Json | { fault: string } {
    switch (kind) {
        case "integer":
            return /^\s*-?\d+\s*$/.test(text) ? Number(text) : { fault: "needs a whole number" };
        case "number":
            return Number.isFinite(Number(text)) ? Number(text) : { fault: "needs a number" };
        case "choice":
            return JSON.parse(text) as Json;
        case "lines":
            return text.split("\n").filter((line) => line.trim() !== "");
        default:
            return text;
    }
}

export function readJson(text: string): { value?: Json; fault?: string } {
    try {
        return { value: JSON.parse(text) as Json };
    } catch (error) {
        return { fault: error instanceof Error ? error.message : String(error) };
    }
}
