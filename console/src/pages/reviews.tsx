// The inbox of those who decide: what is asked, by whom, until when, with the raw arguments; and the answer.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";

import { get, post } from "../api/call";
import { useChanges } from "../api/changes";
import { useSteps } from "../api/run";
import type { Ballot, Json, PageOf, Review, Run } from "../api/types";
import { DiffBlock } from "../parts/diff";
import { useNotices } from "../parts/notices";
import { useNow } from "../parts/now";
import { Ago, Empty, Facts, Head, Loading, StatusMark, Trouble } from "../parts/parts";
import { JsonBlock, Value, Words } from "../parts/value";
import { nextRung, subjectOf } from "../pure/review";
import { readJson } from "../pure/schema";
import { distance, glance, readAt, shortId } from "../pure/words";
import { useKeys } from "../shell/keys";
import { adjust, go, to } from "../shell/place";

const PAGE = 100;
const SOON = 15 * 60_000;
const BEFORE_SHOWN = 12;

type Verdict = "approve" | "edit" | "reject" | "respond";

export function ReviewsPage({ id, query }: { id: string | undefined; query: Record<string, string> }) {
    const client = useQueryClient();
    const isOpen = query.show !== "closed";
    const list = useQuery({
        queryKey: ["reviews", isOpen ? "open" : "closed"],
        queryFn: async () => {
            if (isOpen)
                return (await get<PageOf<Review>>("v1/reviews", { status: "open", limit: PAGE })).items.sort(
                    byDeadline,
                );
            const [decided, expired] = await Promise.all(
                ["decided", "expired"].map((status) => get<PageOf<Review>>("v1/reviews", { status, limit: PAGE })),
            );
            return [...decided!.items, ...expired!.items].sort((a, b) =>
                (b.decided_at ?? "").localeCompare(a.decided_at ?? ""),
            );
        },
    });
    useChanges((changed) => changed.reviews && void client.invalidateQueries({ queryKey: ["reviews"] }));
    const reviews = list.data ?? [];
    const at = reviews.findIndex((one) => one.id === id);
    const chosen =
        id ??
        (isOpen && reviews.length > 0 && window.matchMedia("(min-width: 901px)").matches ? reviews[0]!.id : undefined);
    const move = (by: number) => {
        const next = reviews[Math.min(reviews.length - 1, Math.max(0, (at < 0 ? (chosen ? 0 : -1) : at) + by))];
        if (next) go(["reviews", next.id], query);
    };
    useKeys({ j: () => move(1), k: () => move(-1) });
    return (
        <div className="page">
            <Head title="Reviews" about="What agents ask people before they go on. Whoever comes first decides.">
                <div className="segments" role="group" aria-label="Which reviews">
                    <button type="button" aria-pressed={isOpen} onClick={() => adjust({ show: null })}>
                        Open
                    </button>
                    <button type="button" aria-pressed={!isOpen} onClick={() => adjust({ show: "closed" })}>
                        Closed
                    </button>
                </div>
            </Head>
            {list.error && <Trouble error={list.error} again={() => void list.refetch()} />}
            {list.isPending && <Loading what="reviews" />}
            {list.data && reviews.length === 0 && id === undefined && (
                <Empty title={isOpen ? "Nobody is asked anything" : "Nothing was decided yet"}>
                    <p>
                        {isOpen
                            ? "A question appears here as soon as an agent calls "
                            : "Decisions appear here once somebody answered a "}
                        <code>ctx.review(…)</code>
                        {isOpen
                            ? ", or a step that may run only once was cut off. The number in the menu tells you."
                            : "."}
                    </p>
                </Empty>
            )}
            {(reviews.length > 0 || id !== undefined) && (
                <div className={`inbox${id !== undefined ? " with-one" : ""}`}>
                    <ul className="letters" aria-label="Reviews">
                        {reviews.map((review) => (
                            <li key={review.id}>
                                <a
                                    href={to(["reviews", review.id], query)}
                                    aria-current={review.id === chosen ? "true" : undefined}
                                >
                                    <span className="row between">
                                        <span className="strong">{review.agent}</span>
                                        <Deadline review={review} />
                                    </span>
                                    <span className="question">{review.question}</span>
                                    {review.ballot && review.ballot.quorum > 1 && review.status === "open" && (
                                        <span className="faint">
                                            {review.ballot.counted} of {review.ballot.quorum} votes
                                        </span>
                                    )}
                                </a>
                            </li>
                        ))}
                    </ul>
                    {chosen && (
                        <ReviewPane
                            key={chosen}
                            id={chosen}
                            onDone={() => at >= 0 && reviews[at + 1] && go(["reviews", reviews[at + 1]!.id], query)}
                        />
                    )}
                </div>
            )}
        </div>
    );
}

function byDeadline(a: Review, b: Review): number {
    return (a.expires_at ?? "9999").localeCompare(b.expires_at ?? "9999") || a.created_at.localeCompare(b.created_at);
}

function Deadline({ review }: { review: Review }) {
    const now = useNow();
    if (review.status !== "open") return <StatusMark status={review.status} />;
    if (review.expires_at === null) return <span className="faint">no deadline</span>;
    const left = readAt(review.expires_at) - now;
    return (
        <span className={left < SOON ? "bad strong" : "faint"} title={`ends ${review.expires_at}`}>
            {left <= 0 ? "ends now" : distance(readAt(review.expires_at), now)}
        </span>
    );
}

function ReviewPane({ id, onDone }: { id: string; onDone: () => void }) {
    const found = useQuery({
        queryKey: ["reviews", "one", id],
        queryFn: () => get<Review>(`v1/reviews/${encodeURIComponent(id)}`),
    });
    if (found.error) return <Trouble error={found.error} again={() => void found.refetch()} />;
    if (!found.data) return <Loading what="the review" />;
    return <ReviewView review={found.data} onDone={onDone} />;
}

/** What a verdict does, where no run waits for it. */
const MEANING: Record<string, string> = {
    appeal:
        "Somebody does not accept what came out. Approve: they are right. Edit: they are right, and this is in force " +
        "from now on. Reject: it stands. Respond: it stands, and they are told this.",
    incident: "Something went wrong. Approve: it is mended. Respond: it is mended, like this. Reject: it was none.",
};

function ReviewView({ review, onDone }: { review: Review; onDone: () => void }) {
    const run = useQuery({
        queryKey: ["run", review.run],
        queryFn: () => get<Run>(`v1/runs/${encodeURIComponent(review.run)}`),
        enabled: review.run !== "",
    });
    const isUnknown = review.kind === "unknown_outcome";
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
                    ["Agent", review.agent],
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
            {isUnknown && (
                <p className="asks">
                    A step that may run only once had begun, and its end was not seen. Look at the outside whether it
                    happened. Approve: it did not, run it. Edit: it did, with this result. Respond: it did, with this
                    text. Reject: the step fails.
                </p>
            )}
            {MEANING[review.kind] && <p className="asks">{MEANING[review.kind]}</p>}
            {review.ballot && <Votes review={review} ballot={review.ballot} />}
            {review.status !== "open" ? (
                <Decided review={review} />
            ) : review.ballot?.refusal ? (
                <p className="asks" role="note">
                    You may not decide this: {review.ballot.refusal}.
                </p>
            ) : (
                <Decide review={review} onDone={onDone} />
            )}
            <h3>What it is about, as the agent gave it</h3>
            <JsonBlock value={review.details} label="details" />
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
            <h3>What it did before it asked</h3>
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

function Decide({ review, onDone }: { review: Review; onDone: () => void }) {
    const client = useQueryClient();
    const { tell, fail } = useNotices();
    const subject = useMemo(() => JSON.stringify(subjectOf(review), null, 2), [review]);
    const [verdict, setVerdict] = useState<Verdict | null>(null);
    const [edited, setEdited] = useState(subject);
    const [response, setResponse] = useState("");
    const [reason, setReason] = useState("");
    const [isSending, setSending] = useState(false);
    const first = useRef<HTMLTextAreaElement & HTMLInputElement>(null);
    const read = readJson(edited);
    useEffect(() => {
        first.current?.focus();
    }, [verdict]);
    useKeys({
        a: () => setVerdict("approve"),
        e: () => setVerdict("edit"),
        x: () => setVerdict("reject"),
        r: () => setVerdict("respond"),
    });
    const isReady =
        verdict !== null &&
        !isSending &&
        (verdict !== "edit" || read.fault === undefined) &&
        (verdict !== "respond" || response.trim() !== "");
    const send = async () => {
        if (!verdict || !isReady) return;
        setSending(true);
        const body: { verdict: Verdict; reason?: string; edited?: Json; response?: string } = { verdict };
        if (reason.trim()) body.reason = reason.trim();
        if (verdict === "edit") body.edited = read.value!;
        if (verdict === "respond") body.response = response;
        try {
            const after = await post<Review>(`v1/reviews/${encodeURIComponent(review.id)}/decision`, body);
            // A question that several people decide stays open until enough of them agree.
            tell(after.status === "open" ? "Your vote is counted; it takes others, too." : SAID[verdict]);
            onDone();
        } catch (error) {
            fail(error);
        } finally {
            setSending(false);
            void client.invalidateQueries({ queryKey: ["reviews"] });
        }
    };
    return (
        <form
            className="decide"
            aria-label="Your decision"
            onSubmit={(event) => {
                event.preventDefault();
                void send();
            }}
        >
            <div className="verdicts" role="radiogroup" aria-label="Decision">
                {CHOICES.map(([name, label, key]) => (
                    <button
                        key={name}
                        type="button"
                        role="radio"
                        aria-checked={verdict === name}
                        className={name}
                        onClick={() => setVerdict(name)}
                    >
                        {label} <kbd>{key}</kbd>
                    </button>
                ))}
            </div>
            {verdict === "edit" && (
                <>
                    <label className="field">
                        What it shall be instead
                        <textarea
                            ref={first}
                            className="code-input"
                            rows={Math.min(18, edited.split("\n").length + 1)}
                            spellCheck={false}
                            value={edited}
                            aria-invalid={read.fault !== undefined}
                            aria-describedby="edit-fault"
                            onChange={(event) => setEdited(event.target.value)}
                        />
                        <span id="edit-fault" className="fault" role="status">
                            {read.fault ? `This is not JSON: ${read.fault}` : ""}
                        </span>
                    </label>
                    <DiffBlock before={subject} after={edited} label="what you change" />
                </>
            )}
            {verdict === "respond" && (
                <label className="field">
                    What the agent is told
                    <textarea
                        ref={first}
                        rows={4}
                        value={response}
                        maxLength={100_000}
                        onChange={(event) => setResponse(event.target.value)}
                    />
                </label>
            )}
            {verdict !== null && (
                <>
                    <label className="field">
                        Reason <span className="faint">(optional, kept with the decision)</span>
                        <input
                            ref={verdict === "approve" || verdict === "reject" ? first : undefined}
                            value={reason}
                            maxLength={1000}
                            onChange={(event) => setReason(event.target.value)}
                        />
                    </label>
                    <footer>
                        <button type="button" onClick={() => setVerdict(null)}>
                            Not yet
                        </button>
                        <button type="submit" className={verdict === "reject" ? "danger" : "main"} disabled={!isReady}>
                            {SEND[verdict]}
                        </button>
                    </footer>
                </>
            )}
        </form>
    );
}

const CHOICES: [Verdict, string, string][] = [
    ["approve", "Approve", "a"],
    ["edit", "Edit", "e"],
    ["reject", "Reject", "x"],
    ["respond", "Respond", "r"],
];
const SEND: Record<Verdict, string> = {
    approve: "Approve it",
    edit: "Approve with these changes",
    reject: "Reject it",
    respond: "Send the response",
};
const SAID: Record<Verdict, string> = {
    approve: "Approved; the run goes on.",
    edit: "Approved with your changes; the run goes on.",
    reject: "Rejected; the run is told.",
    respond: "Your response is sent to the agent.",
};
