// Two runs side by side: their steps, matched by key first (the same step with the same arguments), then by name in
// order (the same step with other arguments). What matches nothing stands alone, where it happened.

import type { Step } from "../api/types";

export type Verdict = "same" | "other result" | "other arguments" | "only left" | "only right";

export interface Pair {
    left: Step | null;
    right: Step | null;
    verdict: Verdict;
}

export function matchSteps(left: readonly Step[], right: readonly Step[]): Pair[] {
    const partner = new Map<Step, Step>();
    const taken = new Set<Step>();
    const byKey = new Map(right.map((step) => [step.key, step]));
    for (const step of left) {
        const other = byKey.get(step.key);
        if (other) {
            partner.set(step, other);
            taken.add(other);
        }
    }
    for (const step of left) {
        if (partner.has(step)) continue;
        const other = right.find((one) => !taken.has(one) && one.name === step.name && one.kind === step.kind);
        if (other) {
            partner.set(step, other);
            taken.add(other);
        }
    }
    const pairs: Pair[] = [];
    const waiting = right.filter((step) => !taken.has(step));
    const order = new Map(right.map((step, index) => [step, index]));
    for (const step of left) {
        const other = partner.get(step) ?? null;
        if (other) {
            while (waiting.length > 0 && order.get(waiting[0]!)! < order.get(other)!)
                pairs.push({ left: null, right: waiting.shift()!, verdict: "only right" });
        }
        pairs.push({ left: step, right: other, verdict: other === null ? "only left" : judge(step, other) });
    }
    for (const step of waiting) pairs.push({ left: null, right: step, verdict: "only right" });
    return pairs;
}

function judge(left: Step, right: Step): Verdict {
    if (left.key !== right.key) return "other arguments";
    const same =
        left.status === right.status &&
        JSON.stringify(left.output) === JSON.stringify(right.output) &&
        left.error?.message === right.error?.message;
    return same ? "same" : "other result";
}
