// JSON text as parts with a colour each. It only looks at the text: what is no JSON comes back as it is.

export interface Part {
    kind: "plain" | "key" | "string" | "number" | "word";
    text: string;
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;

export function tokens(text: string): Part[] {
    const first = text.trimStart()[0];
    if (first === undefined || !'{["-0123456789tfn'.includes(first)) return [{ kind: "plain", text }];
    const found: Part[] = [];
    let at = 0;
    for (const match of text.matchAll(TOKEN)) {
        if (match.index > at) found.push({ kind: "plain", text: text.slice(at, match.index) });
        const [whole, quoted, colon, number] = match;
        if (quoted !== undefined && colon !== undefined)
            found.push({ kind: "key", text: quoted }, { kind: "plain", text: colon });
        else
            found.push({
                kind: quoted !== undefined ? "string" : number !== undefined ? "number" : "word",
                text: whole,
            });
        at = match.index + whole.length;
    }
    if (at < text.length) found.push({ kind: "plain", text: text.slice(at) });
    return found;
}
