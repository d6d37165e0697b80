// What a model was told and what it answered, as a conversation. The steps of a journal hold whatever a framework sends
// to its provider; this knows the three shapes that are in use (chat completions, responses, messages) and gives up on
// the rest, which is then shown as JSON. Everything here is text: nothing becomes markup.

import type { Json, JsonObject } from "../api/types";

export interface ToolCall {
    name: string;
    arguments: Json;
}

export interface Message {
    role: string;
    text: string;
    calls: ToolCall[];
    /** The call that a message of the role `tool` answers. */
    answers?: string;
}

function isObject(value: Json | undefined): value is JsonObject {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parsed(value: Json | undefined): Json {
    if (typeof value !== "string") return value ?? null;
    try {
        return JSON.parse(value) as Json;
    } catch {
        return value;
    }
}

function textOf(content: Json | undefined): { text: string; calls: ToolCall[]; answers?: string } {
    if (content === null || content === undefined) return { text: "", calls: [] };
    if (typeof content === "string") return { text: content, calls: [] };
    if (!Array.isArray(content)) return { text: JSON.stringify(content, null, 2), calls: [] };
    const texts: string[] = [];
    const calls: ToolCall[] = [];
    let answers: string | undefined;
    for (const part of content) {
        if (typeof part === "string") texts.push(part);
        else if (!isObject(part)) texts.push(JSON.stringify(part));
        else if (part.type === "tool_use") calls.push({ name: String(part.name), arguments: part.input ?? null });
        else if (part.type === "tool_result") {
            answers = String(part.tool_use_id ?? "");
            texts.push(textOf(part.content).text);
        } else if (typeof part.text === "string") texts.push(part.text);
        else if (part.type === "image" || part.type === "image_url" || part.type === "input_image")
            texts.push("[an image, not shown]");
        else texts.push(JSON.stringify(part));
    }
    return { text: texts.join("\n"), calls, ...(answers === undefined ? {} : { answers }) };
}

function readOne(value: Json): Message | null {
    if (!isObject(value)) return null;
    if (value.type === "function_call") {
        return {
            role: "assistant",
            text: "",
            calls: [{ name: String(value.name), arguments: parsed(value.arguments) }],
        };
    }
    if (value.type === "function_call_output") {
        return { role: "tool", text: textOf(value.output).text, calls: [], answers: String(value.call_id ?? "") };
    }
    if (typeof value.role !== "string") return null;
    const { text, calls, answers } = textOf(value.content);
    for (const call of Array.isArray(value.tool_calls) ? value.tool_calls : []) {
        const said = isObject(call) && isObject(call.function) ? call.function : call;
        if (isObject(said)) calls.push({ name: String(said.name), arguments: parsed(said.arguments) });
    }
    const answered = typeof value.tool_call_id === "string" ? value.tool_call_id : answers;
    const role = answers !== undefined && value.role === "user" ? "tool" : value.role;
    return { role, text, calls, ...(answered === undefined ? {} : { answers: answered }) };
}

function readList(value: Json[]): Message[] | null {
    if (value.length === 0) return null;
    const found = value.map(readOne);
    return found.every((one) => one !== null) ? found : null;
}

/** The messages in a value, or null when it is something else. */
export function readMessages(value: Json | undefined, depth = 0): Message[] | null {
    if (value === null || value === undefined || depth > 3) return null;
    if (Array.isArray(value)) {
        const list = readList(value);
        if (list) return list;
        return value.length <= 4 ? firstOf(value, depth) : null;
    }
    if (!isObject(value)) return null;
    if (Array.isArray(value.messages)) {
        const list = readList(value.messages);
        if (list)
            return typeof value.system === "string"
                ? [{ role: "system", text: value.system, calls: [] }, ...list]
                : list;
    }
    if (Array.isArray(value.choices)) {
        const list = value.choices.map((one) =>
            isObject(one) && one.message !== undefined ? readOne(one.message) : null,
        );
        if (list.length > 0 && list.every((one) => one !== null)) return list;
    }
    if (Array.isArray(value.output)) return readList(value.output);
    if (Array.isArray(value.input)) return readList(value.input);
    const one = readOne(value);
    if (one) return [one];
    return firstOf(Object.values(value), depth);
}

function firstOf(values: Json[], depth: number): Message[] | null {
    for (const value of values) {
        const found = typeof value === "object" ? readMessages(value, depth + 1) : null;
        if (found) return found;
    }
    return null;
}

/** What a person reads of an input or output: its text when there is one, otherwise null. */
export function readText(value: Json | undefined): string | null {
    if (typeof value === "string") return value;
    if (!isObject(value)) return null;
    for (const name of ["text", "message", "content", "prompt", "question", "answer", "reply", "output"]) {
        if (typeof value[name] === "string" && Object.keys(value).length <= 3) return value[name];
    }
    return null;
}
