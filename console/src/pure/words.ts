// Numbers, spans and instants as a person reads them: three figures, one unit, no surprise.

export function readAt(instant: string): number {
    return Date.parse(instant);
}

/** Milliseconds as `850 ms`, `4.2 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`. */
export function span(milliseconds: number): string {
    if (!Number.isFinite(milliseconds)) return "";
    const ms = Math.max(0, milliseconds);
    if (ms < 1) return ms === 0 ? "0 ms" : "<1 ms";
    if (ms < 999.5) return `${Math.round(ms)} ms`;
    const seconds = ms / 1000;
    if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    const pair = (big: number, bigUnit: string, small: number, smallUnit: string) =>
        small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`;
    if (whole < 3600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
    const minutes = Math.round(seconds / 60);
    if (minutes < 24 * 60) return pair(Math.floor(minutes / 60), "h", minutes % 60, "min");
    const hours = Math.round(seconds / 3600);
    return pair(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** How far `at` is from `now`: `just now`, `12 s ago`, `in 4 min`. One unit, since it changes while it is read. */
export function distance(at: number, now: number): string {
    const seconds = Math.abs(now - at) / 1000;
    if (seconds < 2) return "just now";
    const units: [number, string][] = [
        [60, "s"],
        [3600, "min"],
        [86_400, "h"],
        [Infinity, "d"],
    ];
    const sizes = [1, 60, 3600, 86_400];
    const index = units.findIndex(([limit]) => seconds < limit);
    const text = `${Math.floor(seconds / sizes[index]!)} ${units[index]![1]}`;
    return at > now ? `in ${text}` : `${text} ago`;
}

export function count(value: number): string {
    return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** `1,234`, `12.3k`, `4.5M`: for places where the magnitude is what counts. */
export function brief(value: number): string {
    if (Math.abs(value) < 10_000)
        return Number.isInteger(value) ? count(value) : value.toPrecision(3).replace(/\.?0+$/, "");
    const [size, unit] = Math.abs(value) < 999_500 ? [1e3, "k"] : Math.abs(value) < 999.5e6 ? [1e6, "M"] : [1e9, "G"];
    return `${(value / size).toPrecision(3).replace(/\.0+$/, "")}${unit}`;
}

/** Bytes as `312 MiB`; nothing for 0. */
export function bytes(value: number): string {
    if (value === 0) return "";
    const [size, unit] =
        value < 1024 ** 2 ? [1024, "KiB"] : value < 1024 ** 3 ? [1024 ** 2, "MiB"] : [1024 ** 3, "GiB"];
    return `${(value / size).toPrecision(3).replace(/\.0+$/, "")} ${unit}`;
}

export function money(usd: number): string {
    if (usd === 0) return "$0";
    if (usd < 0.0001) return "<$0.0001";
    if (usd < 1) return `$${usd.toFixed(4).replace(/0{1,2}$/, "")}`;
    return `$${usd.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

export function share(part: number, whole: number): string {
    if (whole === 0) return "0 %";
    const percent = (100 * part) / whole;
    return percent > 0 && percent < 0.1
        ? "<0.1 %"
        : `${percent < 10 ? percent.toFixed(1).replace(/\.0$/, "") : Math.round(percent)} %`;
}

/** `run_0123456789` as `run_01234567`, short enough for a column and long enough to find it again. */
export function shortId(id: string): string {
    const [kind = "", rest = ""] = [id.slice(0, id.indexOf("_") + 1), id.slice(id.indexOf("_") + 1)];
    return rest.length <= 10 ? id : `${kind}…${rest.slice(-8)}`;
}

/** One line of at most `limit` characters for any JSON value. */
export function glance(value: unknown, limit = 120): string {
    const text =
        typeof value === "string" ? value : isObject(value) ? pairs(value, limit) : (JSON.stringify(value) ?? "");
    const line = text
        .slice(0, limit * 4)
        .replace(/\s+/g, " ")
        .trim();
    return line.length > limit ? `${line.slice(0, limit - 1)}…` : line;
}

function isObject(value: unknown): value is Record<string, unknown> {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

function pairs(value: Record<string, unknown>, limit: number): string {
    const found: string[] = [];
    let length = 0;
    for (const [key, one] of Object.entries(value)) {
        if (one === null || length > limit) continue;
        const text = `${key}: ${typeof one === "string" ? one : JSON.stringify(one)}`;
        found.push(text);
        length += text.length;
    }
    return found.join(" · ");
}
