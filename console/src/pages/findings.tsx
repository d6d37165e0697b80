// Findings of bias audits: what was found, who has dealt with it, and what becomes of it.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { post } from "../api/call";
import { type Finding, useFindings } from "../api/figures";
import { Form } from "../parts/form";
import { useNotices } from "../parts/notices";
import { Ago, Asked, Dialog, Empty } from "../parts/parts";
import { Words } from "../parts/value";
import { type FindingState, MEANS, movesOf, ratioOf } from "../pure/figures";
import { adjust, to } from "../shell/place";

const STATES: FindingState[] = ["open", "accepted", "mitigated", "closed"];

export function FindingsPanel({ state }: { state: string }) {
    const chosen = STATES.find((one) => one === state) ?? "";
    const found = useFindings(chosen);
    const items = [...(found.data?.items ?? [])].reverse();
    return (
        <>
            <div className="segments" role="group" aria-label="Which findings">
                {["", ...STATES].map((one) => (
                    <button
                        key={one}
                        type="button"
                        aria-pressed={chosen === one}
                        onClick={() => adjust({ state: one || null })}
                    >
                        {one || "all"}
                    </button>
                ))}
            </div>
            <Asked query={found} what="findings" />
            {found.data && items.length === 0 && (
                <Empty title={chosen ? `No finding is ${chosen}` : "Nothing was found yet"}>
                    <p>
                        A finding is opened by an audit, for each group that is large enough and favoured less than four
                        fifths as often as the most favoured one. Run an audit with the button above.
                    </p>
                </Empty>
            )}
            <ul className="findings">
                {items.map((one) => (
                    <FindingCard key={one.id} finding={one} hasAudit />
                ))}
            </ul>
        </>
    );
}

export function FindingCard({ finding, hasAudit = false }: { finding: Finding; hasAudit?: boolean }) {
    const [isMoving, setMoving] = useState(false);
    const interval = finding.low === null || finding.high === null ? null : { low: finding.low, high: finding.high };
    return (
        <li className="card" aria-label={`Finding about ${finding.group}`}>
            <header>
                <h3>
                    {finding.agent}: {finding.attribute} “{finding.group}”
                </h3>
                <span className={`pill state-${finding.state}`}>{finding.state}</span>
            </header>
            <p>
                Favoured {ratioOf(finding.ratio, interval)} times as often as “{finding.reference}”, of {finding.count}{" "}
                cases.
            </p>
            {finding.history.length > 0 && (
                <ol className="moves" aria-label="What was done about it">
                    {finding.history.map((move) => (
                        <li key={move.at + move.state}>
                            <span className="strong">{move.state}</span> by {move.by} <Ago at={move.at} />
                            <Words text={move.reason} />
                        </li>
                    ))}
                </ol>
            )}
            <footer>
                {hasAudit && <a href={to(["bias", finding.audit])}>The audit that found it last</a>}
                {movesOf(finding.state).length > 0 && (
                    <button type="button" onClick={() => setMoving(true)}>
                        Change the state
                    </button>
                )}
            </footer>
            {isMoving && <MoveFinding finding={finding} onClose={() => setMoving(false)} />}
        </li>
    );
}

function MoveFinding({ finding, onClose }: { finding: Finding; onClose: () => void }) {
    const client = useQueryClient();
    const { tell } = useNotices();
    const moves = movesOf(finding.state);
    const [state, setState] = useState<FindingState>(moves[0]!);
    const [reason, setReason] = useState("");
    const move = async () => {
        await post<Finding>(`v1/bias/findings/${encodeURIComponent(finding.id)}`, { state, reason: reason.trim() });
        tell(`The finding is ${state}.`);
        void client.invalidateQueries({ queryKey: ["bias", "findings"] });
        onClose();
    };
    return (
        <Dialog title="Change the state of this finding" onClose={onClose}>
            <Form action="Change it" isReady={reason.trim() !== ""} close="Leave it" onClose={onClose} onSend={move}>
                <fieldset className="choices">
                    <legend>It is {finding.state}, and becomes</legend>
                    {moves.map((one) => (
                        <label key={one}>
                            <input
                                type="radio"
                                name="state"
                                value={one}
                                checked={state === one}
                                onChange={() => setState(one)}
                            />
                            {MEANS[one]}
                        </label>
                    ))}
                </fieldset>
                <label className="field">
                    Why <span className="faint">(kept with your name, and never changed)</span>
                    <textarea
                        rows={3}
                        value={reason}
                        maxLength={1000}
                        onChange={(event) => setReason(event.target.value)}
                    />
                </label>
            </Form>
        </Dialog>
    );
}
