// One session as a person would read it: the conversation, and beside it what the agent keeps. One can go on with it.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";

import { ask, get, post, Problem } from "../api/call";
import { useChanges } from "../api/changes";
import { useAgents } from "../api/pages";
import type { Agent, Json, JsonObject, PageOf, Run, Session, Turn } from "../api/types";
import { DiffBlock } from "../parts/diff";
import { useNotices } from "../parts/notices";
import { Ago, Copy, Dialog, Empty, Facts, Head, Loading, StatusMark, Trouble } from "../parts/parts";
import { CodeBlock, Value } from "../parts/value";
import { mergePatch } from "../pure/patch";
import { readText } from "../pure/messages";
import { readJson } from "../pure/schema";
import { count, shortId } from "../pure/words";
import { go, to } from "../shell/place";
import { InputForm } from "./agent_form";
import { LiveTurn } from "./agent_try";

const PAGE = 30;

export function SessionPage({ agent, name }: { agent: string; name: string }) {
  const client = useQueryClient();
  const path = `v1/agents/${encodeURIComponent(agent)}/sessions/${encodeURIComponent(name)}`;
  const session = useQuery({ queryKey: ["session", agent, name], queryFn: () => get<Session>(path), retry: false });
  const live = useQuery({
    queryKey: ["session", agent, name, "live"],
    queryFn: () => get<PageOf<Run>>("v1/runs", { agent, session: name, status: ["queued", "running", "waiting"], limit: 20 }),
  });
  const turnsOfIt = useRef(new Set<string>());
  useChanges((changed) => {
    if (changed.runs === null || [...changed.runs].some((run) => turnsOfIt.current.has(run)) || live.data?.items.length) {
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
        <a href={to(["sessions"])}>Sessions</a> <span aria-hidden="true">/</span> <a href={to(["sessions"], { agent })}>{agent}</a>
      </p>
      <Head
        title={name}
        about={
          <span className="idline">
            <Copy text={name} label="Copy the key" /> {isNew ? "Not begun yet: its first turn makes it." : <a href={to(["runs"], { agent, session: name })}>its runs</a>}
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
          <History path={path} agent={agent} name={name} session={session.data} live={live.data?.items ?? []} />
          {known && <SayMore agent={known} name={name} onSaid={again} live={live.data?.items ?? []} />}
        </section>
        {session.data && <StatePane session={session.data} path={path} isBusy={(live.data?.items.length ?? 0) > 0} />}
      </div>
    </div>
  );
}

function History({ path, agent, name, session, live }: { path: string; agent: string; name: string; session: Session | undefined; live: Run[] }) {
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
        {turn.status === "succeeded" ? <Value value={turn.output} label={`output of turn ${turn.number}`} /> : <StatusMark status={turn.status} />}
      </div>
      <p className="turnline">
        turn {turn.number} · <a href={to(["runs", turn.run])}>{shortId(turn.run)}</a> · <Ago at={turn.finished_at} />
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
      await post<Run>(`v1/agents/${encodeURIComponent(agent.name)}/runs`, { input, session: name }, { Prefer: "respond-async" });
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
          placeholder={live.length > 0 ? "It will be answered after the turn that is under way" : `Message to ${agent.name}`}
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

function StatePane({ session, path, isBusy }: { session: Session; path: string; isBusy: boolean }) {
  const client = useQueryClient();
  const { tell } = useNotices();
  const [draft, setDraft] = useState<{ text: string; base: JsonObject; version: number } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const read = useMemo(() => (draft ? readJson(draft.text) : {}), [draft]);
  const isObject = typeof read.value === "object" && read.value !== null && !Array.isArray(read.value);
  const fault = read.fault ?? (draft && !isObject ? "the state is an object" : undefined);
  const save = async () => {
    if (!draft || fault) return;
    try {
      const patch = mergePatch(draft.base, read.value as JsonObject);
      await ask(`${path}/state`, { method: "PATCH", body: patch, headers: { "If-Match": `"${draft.version}"`, "Content-Type": "application/merge-patch+json" } });
      tell("The state is saved.");
      setDraft(null);
      setError(null);
      void client.invalidateQueries({ queryKey: ["session", session.agent, session.key] });
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <section className="card statepane" aria-labelledby="state">
      <header>
        <h2 id="state">
          State <span className="pill">version {session.version}</span>
        </h2>
        {draft === null && (
          <button type="button" className="small" disabled={isBusy} title={isBusy ? "A turn is under way: the state belongs to it" : undefined} onClick={() => setDraft({ text: JSON.stringify(session.state, null, 2), base: session.state, version: session.version })}>
            Edit
          </button>
        )}
      </header>
      {draft === null ? (
        <CodeBlock text={JSON.stringify(session.state, null, 2)} label="the state" />
      ) : (
        <>
          <label className="field">
            <span className="unseen">The state as JSON</span>
            <textarea className="code-input" rows={Math.min(24, draft.text.split("\n").length + 1)} spellCheck={false} value={draft.text} aria-invalid={fault !== undefined} aria-describedby="state-fault" onChange={(event) => setDraft({ ...draft, text: event.target.value })} autoFocus />
            <span id="state-fault" className="fault" role="status">
              {fault ?? ""}
            </span>
          </label>
          <DiffBlock before={JSON.stringify(draft.base, null, 2)} after={draft.text} label="what you change" />
          {error !== null && <Trouble error={error} />}
          {draft.version !== session.version && (
            <p className="asks">
              Somebody saved version {session.version} meanwhile.{" "}
              <button type="button" className="small" onClick={() => setDraft({ ...draft, base: session.state, version: session.version })}>
                Go on with mine on top of it
              </button>
            </p>
          )}
          <footer>
            <button type="button" onClick={() => { setDraft(null); setError(null); }}>
              Leave it
            </button>
            <button type="button" className="main" disabled={fault !== undefined} onClick={() => void save()}>
              Save
            </button>
          </footer>
        </>
      )}
      <p className="faint">Only saved when nobody else has changed it meanwhile (If-Match).</p>
    </section>
  );
}

function SessionActions({ session, path }: { session: Session; path: string }) {
  const { tell, fail } = useNotices();
  const [open, setOpen] = useState<"fork" | "drop" | null>(null);
  const [key, setKey] = useState(`${session.key}-copy`);
  const [after, setAfter] = useState("");
  const history = useQuery({ queryKey: ["session", session.agent, session.key, "forkable"], queryFn: () => get<PageOf<Turn>>(`${path}/history`, { limit: 100 }), enabled: open === "fork" });
  const fork = async () => {
    try {
      const made = await post<Session>(`${path}/fork`, after ? { key, after } : { key });
      tell(`Forked as ${made.key}.`);
      setOpen(null);
      go(["sessions", session.agent, made.key]);
    } catch (error) {
      fail(error);
    }
  };
  const drop = async () => {
    try {
      await ask(path, { method: "DELETE" });
      tell("The session is deleted.");
      go(["sessions"], { agent: session.agent });
    } catch (error) {
      fail(error);
    }
  };
  return (
    <>
      <button type="button" onClick={() => setOpen("fork")}>
        Fork
      </button>
      <button type="button" className="danger" onClick={() => setOpen("drop")}>
        Delete
      </button>
      {open === "fork" && (
        <Dialog title="Fork this session" onClose={() => setOpen(null)}>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void fork();
            }}
          >
            <p>A session of its own with the same turns and state. This one stays as it is.</p>
            <label className="field">
              Key of the new session
              <input value={key} maxLength={256} onChange={(event) => setKey(event.target.value)} autoFocus />
            </label>
            <label className="field">
              With the turns up to
              <select value={after} onChange={(event) => setAfter(event.target.value)}>
                <option value="">the last one</option>
                {[...(history.data?.items ?? [])].reverse().map((turn) => (
                  <option key={turn.run} value={turn.run}>
                    {turn.number}: {(readText(turn.input) ?? JSON.stringify(turn.input)).slice(0, 60)}
                  </option>
                ))}
              </select>
            </label>
            <footer>
              <button type="button" onClick={() => setOpen(null)}>
                Close
              </button>
              <button type="submit" className="main" disabled={!key.trim()}>
                Fork
              </button>
            </footer>
          </form>
        </Dialog>
      )}
      {open === "drop" && (
        <Dialog title="Delete this session?" onClose={() => setOpen(null)}>
          <p>
            Its {count(session.turns)} turns and its state are gone then, for good. Runs that are kept stay.
          </p>
          <footer>
            <button type="button" onClick={() => setOpen(null)}>
              Keep it
            </button>
            <button type="button" className="danger" onClick={() => void drop()}>
              Delete the session
            </button>
          </footer>
        </Dialog>
      )}
    </>
  );
}
