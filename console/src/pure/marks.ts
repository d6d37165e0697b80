// What changed and may be why: releases that began, objectives that were missed, holds that were on, incidents that people look
// into. For the plots and for the list beside them, which says the same to who cannot see a plot.

import type { Alert, Hold, Overview, Review } from "../api/types";
import { glance, readAt } from "./words";

export type Kind = "release" | "alert" | "hold" | "incident";

export interface Mark {
    kind: Kind;
    /** Instants in milliseconds. `end` null: it has none yet, or (a release) is a moment. */
    begin: number;
    end: number | null;
    text: string;
    /** The page that says more. */
    place: string[];
    query: Record<string, string>;
}

function covered(hold: Hold): string {
    const named = Object.entries(hold.selector).flatMap(([name, value]) =>
        value === null ? [] : [`${name} ${value}`],
    );
    return named.length > 0 ? named.join(", ") : "everything";
}

/** Those that touch the span, newest first; with an agent only what may concern it. */
export function marksOf(found: Overview, alerts: Alert[], holds: Hold[], incidents: Review[], agent: string): Mark[] {
    const begin = readAt(found.begin);
    const isOf = (name: string | null) => agent === "" || name === null || name === agent;
    const released: Mark[] = found.releases.map((one) => ({
        kind: "release",
        begin: readAt(one.at),
        end: null,
        text: `${one.agent} went over to release ${one.release.slice(0, 12)}`,
        place: ["runs"],
        query: { agent: one.agent },
    }));
    const missed: Mark[] = alerts
        .filter((one) => isOf(one.agent))
        .map((one) => ({
            kind: "alert",
            begin: readAt(one.since),
            end: one.resolved_at === null ? null : readAt(one.resolved_at),
            text: one.summary,
            place: ["alerts"],
            query: {},
        }));
    const held: Mark[] = holds
        .filter((one) => isOf(one.selector.agent))
        .map((one) => ({
            kind: "hold",
            begin: readAt(one.placed_at),
            end: one.lifted_at === null ? null : readAt(one.lifted_at),
            text: `Hold (${one.effect}) over ${covered(one)}: ${one.reason}`,
            place: ["holds"],
            query: {},
        }));
    const opened: Mark[] = incidents
        .filter((one) => isOf(one.agent || null))
        .map((one) => {
            const closed = one.status === "open" ? null : (one.decided_at ?? one.expires_at);
            const { happened } = one.details;
            return {
                kind: "incident",
                begin: readAt(one.created_at),
                end: closed === null ? null : readAt(closed),
                text: typeof happened === "string" ? `${one.question} ${glance(happened, 160)}` : one.question,
                place: ["reviews", one.id],
                query: {},
            };
        });
    return [...released, ...missed, ...held, ...opened]
        .filter((one) => (one.kind === "release" ? one.begin : (one.end ?? Infinity)) >= begin)
        .sort((a, b) => b.begin - a.begin);
}

/** Whether something of the mark lies between two instants. */
export function touches(mark: Mark, begin: number, end: number): boolean {
    const last = mark.kind === "release" ? mark.begin : (mark.end ?? Infinity);
    return mark.begin < end && last >= begin;
}
