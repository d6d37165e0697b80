// The inbox of those who decide: what is asked, of which kind, and until when; the nearest deadline first.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { useChanges } from "../api/changes";
import { type Collected, collect } from "../api/pages";
import type { Review } from "../api/types";
import { Asked, Empty, Head } from "../parts/parts";
import { KINDS } from "../pure/review";
import { useWho } from "../shell/gate";
import { useKeys } from "../shell/keys";
import { adjust, go, to } from "../shell/place";
import { DelegationsDialog, useDelegations } from "./delegations";
import { Deadline, KindMark } from "./review_kind";
import { ReviewPane } from "./review_view";

const SHOWN = 100;

/** The open ones that were asked first, or of the others the ones that were asked last. `roles` null: whoever is asked.
 * Otherwise where one of them is asked, each review once. */
async function find(
    status: string,
    kind: string,
    roles: string[] | null,
    signal: AbortSignal,
): Promise<Collected<Review>> {
    const wanted = { status, kind, newest: status !== "open" };
    if (roles === null) return collect<Review>("v1/reviews", wanted, signal, SHOWN);
    const pages = await Promise.all(
        roles.map((role) => collect<Review>("v1/reviews", { ...wanted, role }, signal, SHOWN)),
    );
    const items = new Map(pages.flatMap((page) => page.items.map((one) => [one.id, one])));
    return { items: [...items.values()], hasMore: pages.some((page) => page.hasMore) };
}

/** One's own roles and those that were lent to one. Who has every role has none by name: all is asked of them. */
function useRoles(): string[] {
    const who = useWho();
    const lent = useDelegations();
    const given = (lent.data ?? []).filter((one) => one.to === who?.name).flatMap((one) => one.roles);
    return [...new Set([...(who?.roles ?? []), ...given])].filter((role) => role !== "*").sort();
}

export function ReviewsPage({ id, query }: { id: string | undefined; query: Record<string, string> }) {
    const client = useQueryClient();
    const isOpen = query.show !== "closed";
    const kind = query.kind && query.kind in KINDS ? query.kind : "";
    const mine = useRoles();
    const isMine = query.for === "me" && mine.length > 0;
    const roles = isMine ? mine : null;
    const [isLending, setLending] = useState(false);
    const list = useQuery({
        queryKey: ["reviews", isOpen ? "open" : "closed", kind, roles],
        queryFn: async ({ signal }): Promise<Collected<Review>> => {
            if (isOpen) {
                const found = await find("open", kind, roles, signal);
                return { ...found, items: found.items.sort(byDeadline) };
            }
            const both = await Promise.all(["decided", "expired"].map((status) => find(status, kind, roles, signal)));
            const items = both.flatMap((found) => found.items);
            return {
                items: items.sort((a, b) => (b.decided_at ?? "").localeCompare(a.decided_at ?? "")),
                hasMore: both.some((found) => found.hasMore),
            };
        },
    });
    useChanges((changed) => changed.reviews && void client.invalidateQueries({ queryKey: ["reviews"] }));
    const reviews = list.data?.items ?? [];
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
            <Head title="Reviews" about="What people are asked: before a run goes on, and about what was done.">
                <label className="inline">
                    <span>Kind</span>
                    <select value={kind} onChange={(event) => adjust({ kind: event.target.value || null })}>
                        <option value="">all kinds</option>
                        {Object.entries(KINDS).map(([name, one]) => (
                            <option key={name} value={name}>
                                {one.label}
                            </option>
                        ))}
                    </select>
                </label>
                {mine.length > 0 && (
                    <button
                        type="button"
                        aria-pressed={isMine}
                        title={mine.join(", ")}
                        onClick={() => adjust({ for: isMine ? null : "me" })}
                    >
                        For my roles
                    </button>
                )}
                <button type="button" onClick={() => setLending(true)}>
                    Delegations
                </button>
                <div className="segments" role="group" aria-label="Which reviews">
                    <button type="button" aria-pressed={isOpen} onClick={() => adjust({ show: null })}>
                        Open
                    </button>
                    <button type="button" aria-pressed={!isOpen} onClick={() => adjust({ show: "closed" })}>
                        Closed
                    </button>
                </div>
            </Head>
            {isLending && <DelegationsDialog onClose={() => setLending(false)} />}
            <Asked query={list} what="reviews" />
            {list.data && reviews.length === 0 && id === undefined && (
                <Empty title={emptyTitle(isOpen, kind)}>
                    {isMine && (
                        <p>
                            Only what asks for {mine.join(" or ")} is looked for.{" "}
                            <button type="button" className="small" onClick={() => adjust({ for: null })}>
                                Show what asks others
                            </button>
                        </p>
                    )}
                    {kind && (
                        <p>
                            {KINDS[kind]!.about}{" "}
                            <button type="button" className="small" onClick={() => adjust({ kind: null })}>
                                Show all kinds
                            </button>
                        </p>
                    )}
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
                                        <span className="strong">{review.agent || "no agent"}</span>
                                        <Deadline review={review} />
                                    </span>
                                    <span className="question">{review.question}</span>
                                    <span className="row between">
                                        <KindMark kind={review.kind} />
                                        {review.ballot && review.ballot.quorum > 1 && review.status === "open" && (
                                            <span className="faint">
                                                {review.ballot.counted} of {review.ballot.quorum} votes
                                            </span>
                                        )}
                                    </span>
                                </a>
                            </li>
                        ))}
                        {list.data?.hasMore && (
                            <li className="faint more">
                                There are more; these are the {isOpen ? "oldest" : "newest"} {reviews.length}.
                            </li>
                        )}
                    </ul>
                    {chosen && (
                        <ReviewPane
                            key={chosen}
                            id={chosen}
                            onDone={(after) =>
                                after.status !== "open" &&
                                at >= 0 &&
                                reviews[at + 1] &&
                                go(["reviews", reviews[at + 1]!.id], query)
                            }
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

function emptyTitle(isOpen: boolean, kind: string): string {
    const of = kind ? ` of the kind “${KINDS[kind]!.label}”` : "";
    return isOpen ? `Nobody is asked anything${of}` : `Nothing${of} was decided yet`;
}
