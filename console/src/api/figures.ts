// Bias audits, findings, datasets and evaluations: their shapes in the public API, and what the pages ask for.

import { useQuery } from "@tanstack/react-query";

import type { Difference, FindingState, Interval } from "../pure/figures";
import { get } from "./call";
import { collect } from "./pages";
import type { PageOf } from "./types";

export interface GroupFigures {
    group: string;
    count: number;
    selected: number;
    rate: number;
    rate_interval: Interval;
    ratio: number | null;
    ratio_interval: Interval | null;
    is_small: boolean;
    is_flagged: boolean;
    true_positive_rate: number | null;
    false_positive_rate: number | null;
}

export interface AttributeFigures {
    attribute: string;
    reference: string | null;
    groups: GroupFigures[];
    demographic_parity_difference: number | null;
    demographic_parity_ratio: number | null;
    equalized_odds_difference: number | null;
    equalized_odds_ratio: number | null;
}

export interface BiasAudit {
    id: string;
    agent: string;
    at: string;
    by: string;
    since: string;
    until: string;
    outcomes: "original" | "in_force";
    decision: { outcome: string; favourable: (boolean | number | string)[]; groups: string[] };
    releases: string[];
    cases: number;
    selected: number;
    minimum: number;
    confidence: number;
    not_ended: number;
    undecided: number;
    overridden: number;
    attributes: AttributeFigures[];
    findings: string[];
}

export interface Finding {
    id: string;
    agent: string;
    audit: string;
    attribute: string;
    group: string;
    reference: string;
    ratio: number;
    low: number | null;
    high: number | null;
    count: number;
    state: FindingState;
    history: { state: FindingState; by: string; at: string; reason: string }[];
}

export interface DatasetVersion {
    name: string;
    number: number;
    digest: string;
    agent: string;
    examples: number;
    train: number;
    test: number;
    by: string;
    at: string;
}

export interface Evaluation {
    id: string;
    agent: string;
    release: string;
    dataset: string;
    number: number;
    digest: string;
    part: string | null;
    scores: { evaluator: string; score: { mean: number; count: number; interval: Interval } }[];
    examples: number;
    failed: number;
    withdrawn: number;
    left_out: number;
    judge_agreement: number | null;
    seed: number;
    by: string;
    at: string;
}

export interface EvaluationComparison {
    first: string;
    second: string;
    evaluators: { evaluator: string; difference: Difference; is_worse: boolean }[];
}

export function useBiasAudits(agent: string) {
    return useQuery({
        queryKey: ["bias", "audits", agent],
        queryFn: ({ signal }) => collect<BiasAudit>("v1/bias/audits", { agent }, signal),
    });
}

export function useFindings(state: string) {
    return useQuery({
        queryKey: ["bias", "findings", state],
        queryFn: ({ signal }) => collect<Finding>("v1/bias/findings", { state }, signal),
    });
}

export function useDatasets() {
    return useQuery({
        queryKey: ["datasets"],
        queryFn: ({ signal }) => get<PageOf<DatasetVersion>>("v1/datasets", {}, signal),
    });
}

export function useEvaluations(agent: string) {
    return useQuery({
        queryKey: ["evaluations", agent],
        queryFn: ({ signal }) => collect<Evaluation>("v1/evaluations", { agent }, signal),
    });
}
