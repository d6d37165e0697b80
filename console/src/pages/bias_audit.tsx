// One bias audit: of each attribute the rates and ratios with their intervals, what is flagged, and what it found.

import { useQuery } from "@tanstack/react-query";

import { get } from "../api/call";
import { type AttributeFigures, type BiasAudit, useFindings } from "../api/figures";
import { Ago, Asked, Command, Facts, Head, Trouble } from "../parts/parts";
import { Range } from "../parts/range";
import { numbers, Table } from "../parts/table";
import { judgementOf, percent, rateOf, ratioOf } from "../pure/figures";
import { count, share } from "../pure/words";
import { to } from "../shell/place";
import { FindingCard } from "./findings";

const FOUR_FIFTHS = 0.8;
/** The scale of an impact ratio: an interval may end above one. */
const RATIO_TO = 1.5;

export function BiasAuditPage({ id }: { id: string }) {
    const found = useQuery({
        queryKey: ["bias", "audits", "one", id],
        queryFn: () => get<BiasAudit>(`v1/bias/audits/${encodeURIComponent(id)}`),
    });
    const findings = useFindings("");
    const audit = found.data;
    const mine = (findings.data?.items ?? []).filter((one) => audit?.findings.includes(one.id));
    return (
        <div className="page">
            <p className="crumbs">
                <a href={to(["bias"])}>Bias audits</a>
            </p>
            <Head
                title={audit ? `Audit of ${audit.agent}` : "Bias audit"}
                about="A flag is a reason to look, and no proof of unlawful treatment; no flag is no proof of the opposite."
            />
            <Asked query={found} what="the audit" />
            {audit && (
                <>
                    <section className="card" aria-labelledby="looked-at">
                        <h2 id="looked-at">What was looked at</h2>
                        <Facts
                            facts={[
                                ["Cases", count(audit.cases)],
                                ["Favoured", `${count(audit.selected)} (${share(audit.selected, audit.cases)})`],
                                ["Decided by", `${audit.decision.outcome} = ${audit.decision.favourable.join(" or ")}`],
                                ["Outcomes", audit.outcomes === "original" ? "what it decided" : "what is in force"],
                                ["Runs until", <Ago key="u" at={audit.until} />],
                                ["Releases", audit.releases.map((one) => one.slice(0, 12)).join(", ") || "none"],
                                ["Judged from", `${count(audit.minimum)} cases of a group`],
                                ["Intervals", percent(audit.confidence)],
                                ["Left out, not ended", count(audit.not_ended)],
                                ["Left out, undecided", count(audit.undecided)],
                                ["Overridden since", count(audit.overridden)],
                                ["Made", <Ago key="m" at={audit.at} />],
                                ["By", audit.by],
                            ]}
                        />
                    </section>
                    {audit.cases === 0 && (
                        <p className="asks">
                            No run of this span has both an outcome and groups. Record groups with{" "}
                            <code>PUT /v1/runs/RUN/groups</code> or <code>pilothouse bias groups</code>, and audit
                            again.
                        </p>
                    )}
                    {audit.attributes.map((one) => (
                        <Attribute key={one.attribute} figures={one} minimum={audit.minimum} />
                    ))}
                    <section className="card" aria-labelledby="found">
                        <h2 id="found">Findings</h2>
                        {audit.findings.length === 0 && (
                            <p className="muted">No group that is large enough is under four fifths.</p>
                        )}
                        {findings.error && audit.findings.length > 0 && (
                            <Trouble error={findings.error} again={() => void findings.refetch()} />
                        )}
                        <ul className="findings">
                            {mine.map((one) => (
                                <FindingCard key={one.id} finding={one} />
                            ))}
                        </ul>
                    </section>
                    <section className="card" aria-labelledby="report">
                        <h2 id="report">The report that a regulator reads</h2>
                        <Command text={`pilothouse bias audit ${audit.agent} --format html --output audit.html`} />
                    </section>
                </>
            )}
        </div>
    );
}

function Attribute({ figures, minimum }: { figures: AttributeFigures; minimum: number }) {
    const number = (value: number | null) => (value === null ? "cannot be said" : value.toFixed(3));
    const hasLabels = figures.groups.some((one) => one.true_positive_rate !== null || one.false_positive_rate !== null);
    return (
        <section className="card" aria-label={figures.attribute}>
            <h2>{figures.attribute}</h2>
            <Table
                label={`Groups by ${figures.attribute}`}
                columns={[
                    "Group",
                    ...numbers("Cases", "Favoured", "Selection rate", "Impact ratio"),
                    { unseen: "Impact ratio on a scale" },
                    ...(hasLabels
                        ? numbers(
                              ["True positives", "of those who should have been favoured"],
                              ["False positives", "of those who should not have been"],
                          )
                        : []),
                    "Four-fifths rule",
                ]}
            >
                {figures.groups.map((one) => {
                    const [kind, text] = judgementOf(one, figures.reference, minimum);
                    return (
                        <tr key={one.group}>
                            <th scope="row">{one.group}</th>
                            <td className="number">{count(one.count)}</td>
                            <td className="number">{count(one.selected)}</td>
                            <td className="number">{rateOf(one.rate, one.rate_interval)}</td>
                            <td className="number">{ratioOf(one.ratio, one.ratio_interval)}</td>
                            <td>
                                {one.ratio !== null && (
                                    <Range
                                        value={one.ratio}
                                        interval={one.ratio_interval}
                                        to={RATIO_TO}
                                        mark={FOUR_FIFTHS}
                                    />
                                )}
                            </td>
                            {hasLabels &&
                                [one.true_positive_rate, one.false_positive_rate].map((rate, at) => (
                                    <td key={at} className="number">
                                        {rate === null ? "no labels" : percent(rate)}
                                    </td>
                                ))}
                            <td className={`text judged ${kind}`}>{text}</td>
                        </tr>
                    );
                })}
            </Table>
            <Facts
                facts={[
                    ["Demographic parity, difference", number(figures.demographic_parity_difference)],
                    ["Demographic parity, ratio", number(figures.demographic_parity_ratio)],
                    ["Equalized odds, difference", number(figures.equalized_odds_difference)],
                    ["Equalized odds, ratio", number(figures.equalized_odds_ratio)],
                ]}
            />
        </section>
    );
}
