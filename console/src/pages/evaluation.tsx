// One evaluation, and how it compares with another one on the same dataset.

import { useQuery } from "@tanstack/react-query";

import { get } from "../api/call";
import { type Evaluation, type EvaluationComparison, useEvaluations } from "../api/figures";
import { Ago, Asked, Command, Facts, Head, Loading, Trouble } from "../parts/parts";
import { Range } from "../parts/range";
import { numbers, Table } from "../parts/table";
import { percent, scoreOf, signed, verdictOn } from "../pure/figures";
import { count, shortId } from "../pure/words";
import { adjust, to } from "../shell/place";

export function EvaluationPage({ id, query }: { id: string; query: Record<string, string> }) {
    const found = useQuery({
        queryKey: ["evaluations", "one", id],
        queryFn: () => get<Evaluation>(`v1/evaluations/${encodeURIComponent(id)}`),
    });
    const one = found.data;
    return (
        <div className="page">
            <p className="crumbs">
                <a href={to(["evaluations"])}>Evaluations</a>
            </p>
            <Head
                title={one ? `${one.agent} on ${one.dataset}:${one.number}` : "Evaluation"}
                about="What one release scored on one version of a dataset. It is never changed."
            />
            <Asked query={found} what="the evaluation" />
            {one && (
                <>
                    <section className="card" aria-labelledby="scores">
                        <h2 id="scores">Scores</h2>
                        <Facts
                            facts={[
                                ["Release", <code key="r">{one.release}</code>],
                                ["Part", one.part ?? "all of it"],
                                ["Examples", count(one.examples)],
                                ["Failed runs, which score 0", count(one.failed)],
                                ["Left out, which no gate lets pass", count(one.left_out)],
                                ["Withdrawn before", count(one.withdrawn)],
                                ...(one.judge_agreement === null
                                    ? []
                                    : [
                                          ["The judge agrees with people", percent(one.judge_agreement)] as [
                                              string,
                                              string,
                                          ],
                                      ]),
                                ["Made", <Ago key="m" at={one.at} />],
                                ["By", one.by],
                            ]}
                        />
                        <Table
                            label="Scores by evaluator"
                            columns={[
                                "Evaluator",
                                ...numbers(
                                    "Score (interval of 95 %)",
                                    ["Surely at least", "the lower bound, which a gate looks at"],
                                    "Examples",
                                ),
                                { unseen: "Score on a scale" },
                            ]}
                        >
                            {one.scores.map(({ evaluator, score }) => (
                                <tr key={evaluator}>
                                    <th scope="row">{evaluator}</th>
                                    <td className="number">{scoreOf(score.mean, score.interval)}</td>
                                    <td className="number">{score.interval.low.toFixed(3)}</td>
                                    <td className="number">{count(score.count)}</td>
                                    <td>
                                        <Range value={score.mean} interval={score.interval} />
                                    </td>
                                </tr>
                            ))}
                        </Table>
                    </section>
                    <Compare one={one} other={query.to ?? ""} />
                </>
            )}
        </div>
    );
}

function Compare({ one, other }: { one: Evaluation; other: string }) {
    const all = useEvaluations(one.agent);
    const others = (all.data?.items ?? []).filter((each) => each.id !== one.id && each.dataset === one.dataset);
    const compared = useQuery({
        queryKey: ["evaluations", "compared", one.id, other],
        queryFn: () =>
            get<EvaluationComparison>(`v1/evaluations/${encodeURIComponent(one.id)}/comparison`, { to: other }),
        enabled: other !== "",
    });
    const rows = compared.data?.evaluators ?? [];
    return (
        <section className="card" aria-labelledby="compared">
            <h2 id="compared">Compared with another</h2>
            {all.error && <Trouble error={all.error} again={() => void all.refetch()} />}
            {all.data && others.length === 0 && (
                <>
                    <p className="muted">
                        It is the only evaluation of {one.agent} on {one.dataset}. Score another release on it, and the
                        two are compared here.
                    </p>
                    <Command text={`pilothouse eval run ${one.agent} --dataset ${one.dataset}:${one.number}`} />
                </>
            )}
            {others.length > 0 && (
                <label className="field">
                    The earlier one
                    <select value={other} onChange={(event) => adjust({ to: event.target.value || null })}>
                        <option value="">choose one</option>
                        {others.map((each) => (
                            <option key={each.id} value={each.id}>
                                release {each.release.slice(0, 12)} on {each.dataset}:{each.number}, {shortId(each.id)}
                            </option>
                        ))}
                    </select>
                </label>
            )}
            {compared.error && <Trouble error={compared.error} again={() => void compared.refetch()} />}
            {compared.isLoading && <Loading what="the comparison" />}
            {compared.data && rows.length === 0 && (
                <p className="asks">There is nothing to compare: no example and evaluator is in both.</p>
            )}
            {rows.length > 0 && (
                <Table
                    label="Differences by evaluator"
                    columns={[
                        "Evaluator",
                        ...numbers(
                            ["Difference (95 %)", "positive: this one is better than the earlier one"],
                            ["p", "of McNemar's exact test, where scores are 0 or 1"],
                            "Better",
                            "Worse",
                            ["In both", "examples that both have scored"],
                        ),
                        { unseen: "Difference on a scale" },
                        "So it is",
                    ]}
                >
                    {rows.map(({ evaluator, difference, is_worse }) => {
                        const [kind, text] = verdictOn(difference, is_worse);
                        const { low, high } = difference.interval;
                        return (
                            <tr key={evaluator}>
                                <th scope="row">{evaluator}</th>
                                <td className="number">
                                    {signed(difference.mean)} ({signed(low)} to {signed(high)})
                                </td>
                                <td className="number">{difference.p === null ? "none" : difference.p.toFixed(3)}</td>
                                <td className="number">{count(difference.better)}</td>
                                <td className="number">{count(difference.worse)}</td>
                                <td className="number">{count(difference.count)}</td>
                                <td>
                                    <Range value={difference.mean} interval={difference.interval} from={-1} mark={0} />
                                </td>
                                <td className={`text judged ${kind}`}>{text}</td>
                            </tr>
                        );
                    })}
                </Table>
            )}
        </section>
    );
}
