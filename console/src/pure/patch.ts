// The JSON merge patch (RFC 7396) that makes one object of another: what is gone is null, what is the same is left out.

import type { Json, JsonObject } from "../api/types";

export function mergePatch(before: JsonObject, after: JsonObject): JsonObject {
    const patch: JsonObject = {};
    for (const name of Object.keys(before)) if (!(name in after)) patch[name] = null;
    for (const [name, value] of Object.entries(after)) {
        const old = before[name];
        if (isObject(value) && isObject(old)) {
            const inner = mergePatch(old, value);
            if (Object.keys(inner).length > 0) patch[name] = inner;
        } else if (JSON.stringify(value) !== JSON.stringify(old) || !(name in before)) patch[name] = value;
    }
    return patch;
}

function isObject(value: Json | undefined): value is JsonObject {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}
