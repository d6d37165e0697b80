// One session as a person would read it: the conversation, and beside it what the agent keeps. One can go on with it.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";

import { get, post, Problem } from "../api/call";
import { useChanges } from "../api/changes";
import { useAgents } from "../api/pages";
import type { Agent, Json, PageOf, Run, Session, Turn } from "../api/types";
import { useNotices } from "../parts/notices";
import { Ago, Copy, Empty, Facts, Head, Loading, StatusMark, Trouble } from "../parts/parts";
import { Value } from "../parts/value";
import { count, shortId } from "../pure/words";
import { to } from "../shell/place";
import { InputForm } from "./agent_form";
import { LiveTurn } from "./agent_try";
import { SessionActions } from "./session_actions";
import { StatePane } from "./session_state";

const PAGE = 30;

export function SessionPage({ agent, name }: { agent: string; name: string }) {
    const client = useQueryClient();
    const path = `v1/agents/${encodeURIComponent(agent)}/sessions/${encodeURIComponent(name)}`;
    const session = useQuery({ queryKey: ["session", agent, name], queryFn: () => get<Session>(path), retry: false });
    const live = useQuery({
        queryKey: ["session", agent, name, "live"],
        queryFn: () =>
            get<PageOf<Run>>("v1/runs", { agent, session: name, status: ["queued", "running", "waiting"], limit: 20 }),
    });
    const turnsOfIt = useRef(new Set<string>());
    useChanges((changed) => {
        if (
            changed.runs === null ||
            [...changed.runs].some((run) => turnsOfIt.current.has(run)) ||
            live.data?.items.length
        ) {
            void client.invalidateQueries({ queryKey: ["session", agent, name] });
        }
    });
    const isNew = session.error instanceof Problem && session.error.status === 404;
    const agents = useAgents();
    const known = agents.data?.items.find((one) => one.name === agent);
    const again = () => void client.invalidateQueries({ queryKey: ["session", agent, name] });
    return (
        <div className="page">
            <p className="crumbs">
                <a href={to(["sessions"])}>Sessions</a> <span aria-hidden="true">/</span>{" "}
                <a href={to(["sessions"], { agent })}>{agent}</a>
            </p>
            <Head
                title={name}
                about={
                    <span className="idline">
                        <Copy text={name} label="Copy the key" />{" "}
                        {isNew ? (
                            "Not begun yet: its first turn makes it."
                        ) : (
                            <a href={to(["runs"], { agent, session: name })}>its runs</a>
                        )}
                    </span>
                }
            >
                {session.data && <SessionActions session={session.data} path={path} />}
            </Head>
            {session.error && !isNew && <Trouble error={session.error} again={again} />}
            {session.isPending && <Loading what="the session" />}
            {session.data && (
                <Facts
                    facts={[
                        ["Turns", count(session.data.turns)],
                        ["Begun", <Ago key="b" at={session.data.created_at} />],
                        ["Changed", <Ago key="c" at={session.data.updated_at} />],
                        ["Ends", session.data.expires_at ? <Ago key="e" at={session.data.expires_at} /> : "never"],
                    ]}
                />
            )}
            <div className="talk">
                <section aria-label="Conversation" className="turns">
                    <History
                        path={path}
                        agent={agent}
                        name={name}
                        session={session.data}
                        live={live.data?.items ?? []}
                    />
                    {known && <SayMore agent={known} name={name} onSaid={again} live={live.data?.items ?? []} />}
                </section>
                {session.data && (
                    <StatePane session={session.data} path={path} isBusy={(live.data?.items.length ?? 0) > 0} />
                )}
            </div>
        </div>
    );
}

function History({
    path,
    agent,
    name,
    session,
    live,
}: {
    path: string;
    agent: string;
    name: string;
    session: Session | undefined;
    live: Run[];
}) {
    const [limit, setLimit] = useState(PAGE);
    const history = useQuery({
        queryKey: ["session", agent, name, "history", limit],
        queryFn: () => get<PageOf<Turn>>(`${path}/history`, { limit }),
        enabled: session !== undefined,
        placeholderData: (before) => before,
    });
    const turns = history.data?.items ?? [];
    const isEmpty = turns.length === 0 && live.length === 0;
    const end = useRef<HTMLDivElement>(null);
    const last = turns.at(-1)?.run;
    useEffect(() => {
        void end.current?.scrollIntoView({ block: "nearest" });
    }, [last]);
    return (
        <>
            {history.error && <Trouble error={history.error} again={() => void history.refetch()} />}
            {history.data?.next_cursor && limit < 200 && (
                <button type="button" className="small" onClick={() => setLimit(Math.min(200, limit + 60))}>
                    Show earlier turns
                </button>
            )}
            {isEmpty && session === undefined && (
                <Empty title="Nothing has been said here">
                    <p>Write the first message below.</p>
                </Empty>
            )}
            <ol className="bubbles">
                {turns.map((turn) => (
                    <TurnView key={turn.number} turn={turn} />
                ))}
                {[...live].reverse().map((run) => (
                    <LiveTurn key={run.id} run={run} />
                ))}
            </ol>
            <div ref={end} />
        </>
    );
}

function TurnView({ turn }: { turn: Turn }) {
    return (
        <li>
            <div className="bubble asked">
                <Value value={turn.input} label={`input of turn ${turn.number}`} />
            </div>
            <div className="bubble answered">
                {turn.status === "succeeded" ? (
                    <Value value={turn.output} label={`output of turn ${turn.number}`} />
                ) : (
                    <StatusMark status={turn.status} />
                )}
            </div>
            <p className="turnline">
                turn {turn.number} · <a href={to(["runs", turn.run])}>{shortId(turn.run)}</a> ·{" "}
                <Ago at={turn.finished_at} />
            </p>
        </li>
    );
}

/** Says the next thing: a line for agents that take text, a form for the others. */
function SayMore({ agent, name, onSaid, live }: { agent: Agent; name: string; onSaid: () => void; live: Run[] }) {
    const { fail } = useNotices();
    const [text, setText] = useState("");
    const [isSending, setSending] = useState(false);
    const isText = agent.input_schema.type === "string";
    const say = async (input: Json) => {
        setSending(true);
        try {
            await post<Run>(
                `v1/agents/${encodeURIComponent(agent.name)}/runs`,
                { input, session: name },
                { Prefer: "respond-async" },
            );
            setText("");
            onSaid();
        } catch (error) {
            fail(error);
        } finally {
            setSending(false);
        }
    };
    if (!isText) return <InputForm agent={agent} label="Next turn" action="Say it" onSend={say} />;
    return (
        <form
            className="say"
            onSubmit={(event) => {
                event.preventDefault();
                if (text.trim() && !isSending) void say(text);
            }}
        >
            <label className="grow">
                <span className="unseen">Message to {agent.name}</span>
                <textarea
                    rows={2}
                    value={text}
                    placeholder={
                        live.length > 0
                            ? "It will be answered after the turn that is under way"
                            : `Message to ${agent.name}`
                    }
                    onChange={(event) => setText(event.target.value)}
                    onKeyDown={(event) => {
                        if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
                            event.preventDefault();
                            event.currentTarget.form?.requestSubmit();
                        }
                    }}
                />
            </label>
            <button type="submit" className="main" disabled={!text.trim() || isSending}>
                Send
            </button>
        </form>
    );
}
