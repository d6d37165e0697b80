// What changed in the span: the list beside the plots, and the key to the marks that are drawn in them.

import { useMemo } from "react";

import { useAlertsAndResolved, useHoldsWithin, useIncidents } from "../api/pages";
import type { Overview } from "../api/types";
import { Ago } from "../parts/parts";
import { type Kind, type Mark, marksOf } from "../pure/marks";
import { readAt, span } from "../pure/words";
import { to } from "../shell/place";

const SHOWN = 12;
const KINDS: Record<Kind, string> = { release: "Release", alert: "Alert", hold: "Hold", incident: "Incident" };

export function useMarks(found: Overview, agent: string): Mark[] {
    const alerts = useAlertsAndResolved();
    const incidents = useIncidents();
    const holds = useHoldsWithin(Math.round((readAt(found.end) - readAt(found.begin)) / 1000));
    return useMemo(
        () => marksOf(found, alerts.data?.items ?? [], holds.data ?? [], incidents.data?.items ?? [], agent),
        [found, alerts.data, holds.data, incidents.data, agent],
    );
}

export function Changes({ marks }: { marks: Mark[] }) {
    if (marks.length === 0) return null;
    return (
        <section className="card" aria-labelledby="changes">
            <h2 id="changes">What changed</h2>
            <ul className="changes">
                {marks.slice(0, SHOWN).map((mark) => (
                    <li key={`${mark.kind} ${mark.begin} ${mark.text}`}>
                        <span className={`cause ${mark.kind}`}>{KINDS[mark.kind]}</span>
                        <span className="faint">
                            <Ago at={new Date(mark.begin).toISOString()} />
                        </span>
                        <span>
                            <a href={to(mark.place, mark.query)}>{mark.text}</a>{" "}
                            {mark.kind !== "release" && (
                                <span className="faint">
                                    {mark.end === null ? "goes on" : `was over after ${span(mark.end - mark.begin)}`}
                                </span>
                            )}
                        </span>
                    </li>
                ))}
            </ul>
            {marks.length > SHOWN && <p className="faint">and {marks.length - SHOWN} more before</p>}
        </section>
    );
}
