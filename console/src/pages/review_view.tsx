// One review as whoever decides it reads it: what is asked, what it is about, who has agreed so far, and what was answered.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { get } from "../api/call";
import { useSteps } from "../api/run";
import type { Ballot, Json, Review, Run } from "../api/types";
import { DiffBlock } from "../parts/diff";
import { Ago, Facts, Loading, StatusMark, Trouble } from "../parts/parts";
import { Value, Words } from "../parts/value";
import { isAfterwards, meaningOf, nextRung, stillNeeded, subjectOf, type Verdict } from "../pure/review";
import { glance, shortId } from "../pure/words";
import { useWho } from "../shell/gate";
import { to } from "../shell/place";
import { DecideAlone } from "./review_alone";
import { Decide } from "./review_decide";
import { AboutKind, Deadline, KindMark } from "./review_kind";

const BEFORE_SHOWN = 12;
const VOTES_EVERY = 3000;

export function ReviewPane({ id, onDone }: { id: string; onDone: (after: Review) => void }) {
    const found = useQuery({
        queryKey: ["reviews", "one", id],
        queryFn: () => get<Review>(`v1/reviews/${encodeURIComponent(id)}`),
        // The feed tells of questions and answers, and not of the votes between.
        refetchInterval: ({ state: { data } }) =>
            data?.status === "open" && (data.ballot?.quorum ?? 1) > 1 ? VOTES_EVERY : false,
    });
    if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
    if (!found.data) return <Loading what="the review" />;
    return <ReviewView review={found.data} onDone={onDone} />;
}

function ReviewView({ review, onDone }: { review: Review; onDone: (after: Review) => void }) {
    const run = useQuery({
        queryKey: ["run", review.run],
        queryFn: () => get<Run>(`v1/runs/${encodeURIComponent(review.run)}`),
        enabled: review.run !== "",
    });
    const who = useWho();
    const meaning = meaningOf(review.kind);
    const [late, setLate] = useState<Verdict | null>(null);
    return (
        <article className="card letter" aria-labelledby="question">
            <p className="crumbs only-narrow">
                <a href={to(["reviews"])}>All reviews</a>
            </p>
            <h2 id="question" className="asked">
                {review.question}
            </h2>
            <Facts
                facts={[
                    ["Kind", <KindMark key="k" kind={review.kind} />],
                    ["Agent", review.agent || "none"],
                    [
                        "Run",
                        review.run === "" ? (
                            "none"
                        ) : (
                            <a key="r" href={to(["runs", review.run])}>
                                {shortId(review.run)}
                            </a>
                        ),
                    ],
                    ["Asked", <Ago key="a" at={review.created_at} />],
                    ["Ends", <Deadline key="d" review={review} />],
                    ["Step", <code key="s">{review.step}</code>],
                    ...termsOf(review),
                ]}
            />
            {meaning && <p className="asks">{meaning}</p>}
            {review.ballot && <Votes review={review} ballot={review.ballot} />}
            {late && (
                <p className="asks" role="alert">
                    Your “{late}” came too late and does not count: somebody else was first. What counts is below.
                </p>
            )}
            {review.status !== "open" ? (
                <Decided review={review} />
            ) : review.ballot?.refusal ? (
                <p className="asks" role="note">
                    {who && review.ballot.votes.some((vote) => vote.by === who.name)
                        ? "You have agreed. Others have to as well, and nobody agrees twice."
                        : `You may not decide this: ${review.ballot.refusal}.`}
                </p>
            ) : (
                <Decide review={review} onDone={onDone} onLate={setLate} />
            )}
            {review.status === "open" && <DecideAlone review={review} onDone={onDone} onLate={setLate} />}
            <AboutKind review={review} />
            {review.run !== "" && <Before review={review} />}
            <h3>What the run was asked to do</h3>
            {review.run === "" ? (
                <p className="faint">It is about no single run.</p>
            ) : run.data ? (
                <Value value={run.data.input} label="input of the run" />
            ) : run.error ? (
                <p className="faint">The run is not kept any more.</p>
            ) : (
                <Loading what="the run" />
            )}
        </article>
    );
}

/** What the run did before it asked, from its journal: where what it proposes comes from. */
function Before({ review }: { review: Review }) {
    const found = useSteps(review.run);
    const asked = review.created_at;
    const steps = (found.data?.steps ?? []).filter(
        (step) =>
            step.key !== review.step && step.finished_at !== null && step.started_at <= asked && step.kind !== "value",
    );
    if (steps.length === 0) return null;
    return (
        <>
            <h3>{isAfterwards(review.kind) ? "What the run did" : "What it did before it asked"}</h3>
            <ol className="before">
                {steps.slice(-BEFORE_SHOWN).map((step) => (
                    <li key={step.key}>
                        <details>
                            <summary>
                                <span className={`kind ${step.kind}`}>{step.kind}</span>{" "}
                                <span className="strong">{step.name}</span>{" "}
                                {step.status === "failed" && <StatusMark status="failed" />}
                                <span className="says">
                                    {step.error ? step.error.message : glance(step.output, 120)}
                                </span>
                            </summary>
                            {step.input !== null && <Value value={step.input} label={`arguments of ${step.name}`} />}
                            <Value
                                value={step.error ? (step.error as unknown as Json) : step.output}
                                label={`result of ${step.name}`}
                            />
                        </details>
                    </li>
                ))}
            </ol>
            {steps.length > BEFORE_SHOWN && (
                <p className="faint">
                    The last {BEFORE_SHOWN} of {steps.length}. <a href={to(["runs", review.run])}>The run</a> has all.
                </p>
            )}
        </>
    );
}

/** Who is asked, where the details say so: a role, how many of it, who may not, and what the context has read. */
function termsOf(review: Review): [string, string][] {
    const { requester, risk, labels } = review.details;
    const terms: [string, string][] = [];
    if (typeof requester === "string" && requester) terms.push(["Asked for by, who may not decide", requester]);
    if (typeof risk === "string" && risk) terms.push(["Risk", risk]);
    if (Array.isArray(labels) && labels.length > 0) terms.push(["The run has read", labels.join(", ")]);
    return terms;
}

/** How far the people are who have to agree: a mark for each vote that it takes, who gave theirs, who still may. */
function Votes({ review, ballot }: { review: Review; ballot: Ballot }) {
    const marks = Array.from({ length: ballot.quorum }, (_, number) => number < ballot.counted);
    return (
        <section className="votes" aria-label="Votes">
            <p>
                <span
                    className="marks"
                    role="img"
                    aria-label={`${ballot.counted} of ${ballot.quorum} ${ballot.quorum === 1 ? "vote" : "votes"}`}
                >
                    {marks.map((isGiven, number) => (
                        <span key={number} className={isGiven ? "vote given" : "vote"} aria-hidden="true" />
                    ))}
                </span>{" "}
                <span className="strong">
                    {ballot.counted} of {ballot.quorum}
                </span>{" "}
                {ballot.roles.length > 0 && <>with the role {ballot.roles.join(" or ")}</>}
            </p>
            {review.status === "open" && stillNeeded(ballot) && (
                <p className="strong" role="status">
                    {stillNeeded(ballot)}
                </p>
            )}
            {ballot.votes.length > 0 && (
                <ul aria-label="Votes so far">
                    {ballot.votes.map((vote) => (
                        <li key={`${vote.by} ${vote.at}`} className={vote.counts ? undefined : "faint"}>
                            <span className="strong">{vote.by}</span>
                            {vote.on_behalf_of && ` in the name of ${vote.on_behalf_of}`} agreed <Ago at={vote.at} />
                            {!vote.counts && ", and has lost the role since: it does not count"}
                            {vote.reason && <Words text={vote.reason} />}
                        </li>
                    ))}
                </ul>
            )}
            {review.status === "open" && (
                <p className="faint">
                    {ballot.open_to.length > 0
                        ? `May still vote: ${ballot.open_to.join(", ")}. `
                        : ballot.counted < ballot.quorum && ballot.quorum > 1
                          ? "Nobody who holds a key may vote now. "
                          : ""}
                    {nextRung(ballot)}
                </p>
            )}
        </section>
    );
}

function Decided({ review }: { review: Review }) {
    const answer = review.answer;
    if (!answer) return <p className="faint">It was closed without an answer.</p>;
    return (
        <section className="verdict" aria-label="The answer">
            <p>
                <span className="strong">{answer.verdict}</span>
                {answer.by && ` by ${answer.by}`} <Ago at={review.decided_at} />
            </p>
            {answer.reason && <Words text={answer.reason} />}
            {answer.response && <Words text={answer.response} />}
            {answer.edited !== undefined && answer.edited !== null && (
                <DiffBlock
                    before={JSON.stringify(subjectOf(review), null, 2)}
                    after={JSON.stringify(answer.edited, null, 2)}
                    label="what was changed"
                />
            )}
        </section>
    );
}
