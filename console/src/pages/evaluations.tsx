// What releases scored on datasets, how sure that is, and the versions of datasets that they were scored on.

import { useDatasets, useEvaluations } from "../api/figures";
import { Ago, Asked, Empty, Head, Panel, Tabs } from "../parts/parts";
import { Range } from "../parts/range";
import { numbers, Table } from "../parts/table";
import { scoreOf } from "../pure/figures";
import { count, shortId } from "../pure/words";
import { adjust, to } from "../shell/place";

export function EvaluationsPage({ query }: { query: Record<string, string> }) {
    const tab = query.tab === "datasets" ? "datasets" : "evaluations";
    return (
        <div className="page">
            <Head
                title="Evaluations"
                about="What releases score on what people said was right. A score is given with how sure it is."
            />
            <Tabs
                label="Evaluations"
                chosen={tab}
                onChoose={(name) => adjust({ tab: name === "evaluations" ? null : name, dataset: null })}
                tabs={[
                    { name: "evaluations", label: "Evaluations" },
                    { name: "datasets", label: "Datasets" },
                ]}
            />
            <Panel name={tab}>
                {tab === "evaluations" ? (
                    <Evaluations agent={query.agent ?? ""} dataset={query.dataset ?? ""} />
                ) : (
                    <Datasets />
                )}
            </Panel>
        </div>
    );
}

function Evaluations({ agent, dataset }: { agent: string; dataset: string }) {
    const found = useEvaluations(agent);
    const items = (found.data?.items ?? []).filter((one) => !dataset || `${one.dataset}:${one.number}` === dataset);
    return (
        <>
            {dataset && (
                <p className="muted">
                    Only those on <code>{dataset}</code>.{" "}
                    <button type="button" className="small" onClick={() => adjust({ dataset: null })}>
                        Show all
                    </button>
                </p>
            )}
            <Asked query={found} what="evaluations" />
            {found.data && items.length === 0 && (
                <Empty
                    title={dataset ? `No release was scored on ${dataset} yet` : "No release was scored yet"}
                    command={`pilothouse eval run AGENT --dataset ${dataset || "NAME"} --evaluator exact`}
                >
                    <p>
                        The command below runs an agent on each example of a dataset version and keeps what it scores.
                        There is no dataset yet? Make one of what people said of runs: see the tab “Datasets”.
                    </p>
                </Empty>
            )}
            {items.length > 0 && (
                <div className="card">
                    <Table
                        label="Evaluations"
                        columns={[
                            "Evaluation",
                            "Agent",
                            "Release",
                            "Dataset",
                            "Scores, with the interval of 95 %",
                            ...numbers("Examples", ["Failed", "runs without an output; they score 0"]),
                            "Made",
                            "By",
                        ]}
                    >
                        {items.map((one) => (
                            <tr key={one.id}>
                                <th scope="row">
                                    <a href={to(["evaluations", one.id])}>{shortId(one.id)}</a>
                                </th>
                                <td className="text">{one.agent}</td>
                                <td className="text">
                                    <code>{one.release.slice(0, 12)}</code>
                                </td>
                                <td className="text">
                                    {one.dataset}:{one.number}
                                    {one.part && ` (${one.part})`}
                                </td>
                                <td className="text">
                                    <ul>
                                        {one.scores.map(({ evaluator, score }) => (
                                            <li key={evaluator}>
                                                {evaluator} {scoreOf(score.mean, score.interval)}{" "}
                                                <Range value={score.mean} interval={score.interval} />
                                            </li>
                                        ))}
                                    </ul>
                                </td>
                                <td className="number">{count(one.examples)}</td>
                                <td className={`number${one.failed > 0 ? " bad" : ""}`}>{count(one.failed)}</td>
                                <td className="text">
                                    <Ago at={one.at} />
                                </td>
                                <td className="text">{one.by}</td>
                            </tr>
                        ))}
                    </Table>
                    {found.data?.hasMore && (
                        <p className="faint">
                            There are older ones that are not shown: choose an agent in the address.
                        </p>
                    )}
                </div>
            )}
        </>
    );
}

function Datasets() {
    const found = useDatasets();
    const items = [...(found.data?.items ?? [])].sort((a, b) => a.name.localeCompare(b.name) || b.number - a.number);
    return (
        <>
            <Asked query={found} what="datasets" />
            {found.data && items.length === 0 && (
                <Empty title="There is no dataset yet" command="pilothouse datasets make NAME AGENT">
                    <p>
                        What people say of runs (<code>pilothouse feedback</code>, overrides, reviews of samples)
                        becomes examples. The command below makes a version of a dataset of those that there are.
                    </p>
                </Empty>
            )}
            {items.length > 0 && (
                <div className="card">
                    <Table
                        label="Datasets"
                        columns={[
                            "Version",
                            "Agent",
                            ...numbers("Examples", "Train", "Test"),
                            "Digest",
                            "Made",
                            "By",
                            "Scored on it",
                        ]}
                    >
                        {items.map((one) => (
                            <tr key={`${one.name}:${one.number}`}>
                                <th scope="row">
                                    {one.name}:{one.number}
                                </th>
                                <td className="text">{one.agent}</td>
                                <td className="number">{count(one.examples)}</td>
                                <td className="number">{count(one.train)}</td>
                                <td className="number">{count(one.test)}</td>
                                <td className="text">
                                    <code title={one.digest}>{one.digest.slice(0, 12)}</code>
                                </td>
                                <td className="text">
                                    <Ago at={one.at} />
                                </td>
                                <td className="text">{one.by}</td>
                                <td className="text">
                                    <a href={to(["evaluations"], { dataset: `${one.name}:${one.number}` })}>
                                        evaluations
                                        <span className="unseen">
                                            {" "}
                                            on {one.name}:{one.number}
                                        </span>
                                    </a>
                                </td>
                            </tr>
                        ))}
                    </Table>
                </div>
            )}
        </>
    );
}
