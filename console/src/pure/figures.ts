// Figures of bias audits and evaluations in words: a share or a score never stands without how sure it is.

export interface Interval {
    low: number;
    high: number;
}

export function percent(value: number): string {
    return `${(100 * value).toFixed(1).replace(/\.0$/, "")} %`;
}

/** `40 % (17 to 69 %)`. */
export function rateOf(rate: number, interval: Interval): string {
    return `${percent(rate)} (${(100 * interval.low).toFixed(0)} to ${(100 * interval.high).toFixed(0)} %)`;
}

/** `0.50 (0.22 to 1.13)`; of a ratio that cannot be said, why. */
export function ratioOf(ratio: number | null, interval: Interval | null): string {
    if (ratio === null) return "cannot be said";
    return interval === null
        ? ratio.toFixed(2)
        : `${ratio.toFixed(2)} (${interval.low.toFixed(2)} to ${interval.high.toFixed(2)})`;
}

export function scoreOf(mean: number, interval: Interval): string {
    return `${mean.toFixed(3)} (${interval.low.toFixed(3)} to ${interval.high.toFixed(3)})`;
}

export interface Judged {
    group: string;
    ratio: number | null;
    is_small: boolean;
    is_flagged: boolean;
}

/** What a group comes to under the four-fifths rule. A group that is too small is shown and not judged. */
export function judgementOf(group: Judged, reference: string | null, minimum: number): [kind: string, text: string] {
    if (group.is_small) return ["small", `not judged: fewer than ${minimum} cases`];
    if (group.group === reference) return ["reference", "most favoured: the others are compared with it"];
    if (group.is_flagged) return ["flagged", "flagged: under four fifths"];
    if (group.ratio === null) return ["small", "cannot be compared"];
    return ["fair", "at least four fifths"];
}

export type FindingState = "open" | "accepted" | "mitigated" | "closed";

const MOVES: Record<FindingState, FindingState[]> = {
    open: ["mitigated", "accepted", "closed"],
    accepted: ["mitigated", "closed"],
    mitigated: ["closed", "accepted", "open"],
    closed: [],
};

export const MEANS: Record<FindingState, string> = {
    open: "open: nobody has dealt with it",
    accepted: "accepted: it is known and borne, with a reason",
    mitigated: "mitigated: something was changed",
    closed: "closed: for good; the next audit that finds it opens another",
};

/** What a finding may become. */
export function movesOf(state: FindingState): FindingState[] {
    return MOVES[state];
}

export interface Difference {
    mean: number;
    interval: Interval;
    count: number;
    better: number;
    worse: number;
    p: number | null;
}

/** Whether the second is better, as far as it is sure. */
export function verdictOn(difference: Difference, isWorse: boolean): [kind: string, text: string] {
    if (isWorse) return ["bad", "worse, and not by chance"];
    if (difference.interval.low > 0) return ["good", "better, and not by chance"];
    return ["even", "not told apart"];
}

export function signed(value: number): string {
    return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}
