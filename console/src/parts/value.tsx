// What agents, models and people said, shown as what it is: text. Nothing here becomes markup, an address in a text is
// no link, and nothing is loaded from anywhere.

import { useMemo, useState } from "react";

import type { Json } from "../api/types";
import { type Message, readMessages, readText } from "../pure/messages";
import { tokens } from "../pure/tokens";
import { count } from "../pure/words";
import { Copy } from "./parts";

const SHOWN = 6000;

export function CodeBlock({ text, label }: { text: string; label: string }) {
    const [isWhole, setWhole] = useState(false);
    const shown = isWhole || text.length <= SHOWN ? text : text.slice(0, SHOWN);
    const parts = useMemo(() => tokens(shown), [shown]);
    return (
        <div className="code">
            <Copy text={text} label={`Copy ${label}`} />
            <pre tabIndex={0} aria-label={label} role="group">
                {parts.map((part, index) =>
                    part.kind === "plain" ? (
                        part.text
                    ) : (
                        <span key={index} className={part.kind}>
                            {part.text}
                        </span>
                    ),
                )}
            </pre>
            {shown !== text && (
                <button type="button" className="small" onClick={() => setWhole(true)}>
                    Show all {count(text.length)} characters
                </button>
            )}
        </div>
    );
}

export function JsonBlock({ value, label }: { value: Json | undefined; label: string }) {
    const text = useMemo(() => JSON.stringify(value ?? null, null, 2), [value]);
    return <CodeBlock text={text} label={label} />;
}

export function Words({ text }: { text: string }) {
    const [isWhole, setWhole] = useState(false);
    const shown = isWhole || text.length <= SHOWN ? text : text.slice(0, SHOWN);
    return (
        <>
            <div className="words">{shown}</div>
            {shown !== text && (
                <button type="button" className="small" onClick={() => setWhole(true)}>
                    Show all {count(text.length)} characters
                </button>
            )}
        </>
    );
}

export function Conversation({ messages }: { messages: Message[] }) {
    return (
        <ol className="conversation">
            {messages.map((message, index) => (
                <li key={index} className={`said ${message.role}`}>
                    <p className="who">
                        {message.role}
                        {message.answers && <span className="faint"> answers {message.answers}</span>}
                    </p>
                    {message.text && <Words text={message.text} />}
                    {message.calls.map((call, at) => (
                        <ToolCallBlock key={at} name={call.name} input={call.arguments} />
                    ))}
                </li>
            ))}
        </ol>
    );
}

export function ToolCallBlock({ name, input }: { name: string; input: Json }) {
    const entries = typeof input === "object" && input !== null && !Array.isArray(input) ? Object.entries(input) : null;
    const isShort = entries !== null && entries.length > 0 && JSON.stringify(input).length < 400;
    return (
        <div className="toolcall">
            <p>
                calls <code>{name}</code>
            </p>
            {isShort ? (
                <dl>
                    {entries.map(([key, value]) => (
                        <div key={key}>
                            <dt>{key}</dt>
                            <dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd>
                        </div>
                    ))}
                </dl>
            ) : (
                <JsonBlock value={input} label={`arguments of ${name}`} />
            )}
        </div>
    );
}

/** A value as a person reads it, with its JSON one press away. */
export function Value({ value, label }: { value: Json | undefined; label: string }) {
    const [isRaw, setRaw] = useState(false);
    const messages = useMemo(() => readMessages(value), [value]);
    const text = useMemo(() => (messages ? null : readText(value)), [messages, value]);
    if (!messages && text === null) return <JsonBlock value={value} label={label} />;
    return (
        <div className="value">
            <div className="switch">
                <button type="button" className="ghost small" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
                    {isRaw ? "Read" : "JSON"}
                </button>
            </div>
            {isRaw ? (
                <JsonBlock value={value} label={label} />
            ) : messages ? (
                <Conversation messages={messages} />
            ) : (
                <Words text={text!} />
            )}
        </div>
    );
}
