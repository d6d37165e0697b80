// Forking: a new run that keeps the finished steps up to one, whose result may be written anew.

import { useMemo, useState } from "react";

import { post } from "../api/call";
import { useSteps } from "../api/run";
import type { Json, Run, Step } from "../api/types";
import { Form } from "../parts/form";
import { useNotices } from "../parts/notices";
import { Dialog } from "../parts/parts";
import { shortId } from "../pure/words";
import { go } from "../shell/place";

export function ForkDialog({ run, step, onClose }: { run: Run; step?: Step; onClose: () => void }) {
    const steps = useSteps(run.id);
    const { tell } = useNotices();
    const ended = useMemo(() => (steps.data?.steps ?? []).filter((one) => one.finished_at !== null), [steps.data]);
    const [after, setAfter] = useState<string>(step?.key ?? "");
    const chosen = ended.find((one) => one.key === after) ?? null;
    const before = chosen ? JSON.stringify(chosen.output, null, 2) : "";
    const [text, setText] = useState<string | null>(null);
    const written = text ?? before;
    const parsed = useMemo(() => parse(written), [written]);
    const isEdited = text !== null && text !== before;
    const fork = async () => {
        const body: { after?: string; replace?: Record<string, Json> } = after ? { after } : {};
        if (chosen && isEdited && parsed.ok) body.replace = { [chosen.key]: parsed.value };
        const made = await post<Run>(`v1/runs/${run.id}/fork`, body);
        tell(`Forked as ${shortId(made.id)}.`);
        onClose();
        go(["runs", made.id]);
    };
    return (
        <Dialog title="Fork this run" onClose={onClose} wide>
            <Form
                action={isEdited ? "Fork with this result" : "Fork"}
                isReady={!isEdited || parsed.ok}
                onClose={onClose}
                onSend={fork}
            >
                <p>
                    A new run begins with the same input. The steps up to the chosen one are taken from the journal and
                    do not run again; what comes after them does.
                </p>
                <label className="field">
                    Keep the steps up to
                    <select
                        value={after}
                        onChange={(event) => {
                            setAfter(event.target.value);
                            setText(null);
                        }}
                    >
                        <option value="">the last one: all finished steps</option>
                        {ended.map((one) => (
                            <option key={one.key} value={one.key}>
                                {one.name} ({one.key})
                            </option>
                        ))}
                    </select>
                </label>
                {chosen && chosen.status === "succeeded" && (
                    <label className="field">
                        Its result, which the new run will see {isEdited && <span className="pill">edited</span>}
                        <textarea
                            rows={10}
                            className="code-input"
                            spellCheck={false}
                            value={written}
                            aria-invalid={isEdited && !parsed.ok}
                            aria-describedby="fork-fault"
                            onChange={(event) => setText(event.target.value)}
                        />
                        <span id="fork-fault" className="fault" role="status">
                            {isEdited && !parsed.ok ? `This is not JSON: ${parsed.fault}` : ""}
                        </span>
                    </label>
                )}
            </Form>
        </Dialog>
    );
}

function parse(text: string): { ok: true; value: Json } | { ok: false; fault: string } {
    try {
        return { ok: true, value: JSON.parse(text) as Json };
    } catch (error) {
        return { ok: false, fault: error instanceof Error ? error.message : String(error) };
    }
}
