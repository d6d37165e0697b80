// The events of a run as they came, and what its code printed.

import { useState } from "react";

import type { Told } from "../api/run";
import type { RunEvent } from "../api/types";
import { Empty } from "../parts/parts";
import { CodeBlock } from "../parts/value";
import { glance, readAt, span } from "../pure/words";

const SHOWN = 400;

export function EventList({ told, from }: { told: Told; from: string }) {
    const [limit, setLimit] = useState(SHOWN);
    const [isQuiet, setQuiet] = useState(true);
    const start = readAt(from);
    const fitting = isQuiet ? told.events.filter((event) => event.type !== "output.delta") : told.events;
    const shown = fitting.slice(-limit);
    const deltas = told.events.filter((event) => event.type === "output.delta").length;
    return (
        <div>
            <div className="row between">
                <p className="muted">
                    {told.dropped > 0 && `The first ${told.dropped} are not held in this page any more. `}
                    {isQuiet && deltas > 0 && `${deltas} pieces of output are left out.`}
                </p>
                <label className="check">
                    <input type="checkbox" checked={!isQuiet} onChange={(event) => setQuiet(!event.target.checked)} />{" "}
                    with pieces of output
                </label>
            </div>
            {shown.length < fitting.length && (
                <button type="button" className="small" onClick={() => setLimit(limit + 1000)}>
                    Show earlier ones
                </button>
            )}
            <ol className="events">
                {shown.map((event) => (
                    <EventRow key={event.seq} event={event} start={start} />
                ))}
            </ol>
        </div>
    );
}

function EventRow({ event, start }: { event: RunEvent; start: number }) {
    const { type, run, seq, at, ...rest } = event;
    const [isOpen, setOpen] = useState(false);
    const isEmpty = Object.keys(rest).length === 0;
    return (
        <li>
            <button
                type="button"
                className="eventrow"
                aria-expanded={isOpen}
                disabled={isEmpty}
                onClick={() => setOpen(!isOpen)}
                title={`${run}, ${at}`}
            >
                <span className="number faint">{seq}</span>
                <span className="number faint">+{span(readAt(at) - start)}</span>
                <span className={`type ${type.split(".")[1] ?? ""}`}>{type}</span>
                <span className="says">{isEmpty ? "" : glance(rest, 160)}</span>
            </button>
            {isOpen && <CodeBlock text={JSON.stringify(rest, null, 2)} label={`event ${seq}`} />}
        </li>
    );
}

export function LogList({ told }: { told: Told }) {
    const lines = told.events.filter((event) => event.type === "run.log");
    if (lines.length === 0) {
        return (
            <Empty title="It has printed nothing">
                <p>What the agent's code prints or logs while it works on this run appears here, as it comes.</p>
            </Empty>
        );
    }
    return (
        <div className="logs" role="log" aria-label="What the code printed" tabIndex={0}>
            {lines.map((event) => (
                <p key={event.seq} className={String(event.stream)}>
                    <time dateTime={event.at}>{event.at.slice(11, 23)}</time> {String(event.text)}
                </p>
            ))}
        </div>
    );
}
