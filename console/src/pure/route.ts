// The address of a page: `#/runs/run_1?tab=events`. It lives behind the `#`, so the node serves one page whatever the
// path in front is, and neither ids nor filters reach the log of a proxy.

export interface Place {
    parts: string[];
    query: Record<string, string>;
}

export function readPlace(hash: string): Place {
    const [path = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
    const parts = path.split("/").filter(Boolean).map(decode);
    const query: Record<string, string> = {};
    for (const [name, value] of new URLSearchParams(search)) query[name] = value;
    return { parts, query };
}

export function writePlace(parts: string[], query: Record<string, string | null | undefined> = {}): string {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
    const text = search.toString().replaceAll("%2C", ",");
    return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

function decode(part: string): string {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}
