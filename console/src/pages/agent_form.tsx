// A form for the input of an agent, made from its schema; or the same as JSON for those who prefer that.

import { useMemo, useState } from "react";

import type { Agent, Json } from "../api/types";
import { Form } from "../parts/form";
import { type Field, fieldsOf, type Filled, initialOf, readJson, writeInput } from "../pure/schema";

export function InputForm({
    agent,
    label,
    action,
    onSend,
}: {
    agent: Agent;
    label: string;
    action: string;
    onSend: (input: Json) => Promise<void>;
}) {
    const fields = useMemo(() => fieldsOf(agent.input_schema), [agent.input_schema]);
    const [filled, setFilled] = useState<Filled>(() => initialOf(fields));
    const [raw, setRaw] = useState<string | null>(null);
    const [isTouched, setTouched] = useState(false);
    const written = writeInput(agent.input_schema, filled);
    const read = raw === null ? null : readJson(raw);
    const faults = isTouched ? written.faults : {};
    const send = async () => {
        setTouched(true);
        if (read ? read.fault !== undefined : Object.keys(written.faults).length > 0) return;
        await onSend(read ? read.value! : written.value);
    };
    return (
        <Form className="card inputform" aria-label={label} noValidate action={action} onSend={send}>
            <header>
                <h2>{label}</h2>
                <button
                    type="button"
                    className="ghost small"
                    aria-pressed={raw !== null}
                    onClick={() => setRaw(raw === null ? JSON.stringify(written.value, null, 2) : null)}
                >
                    {raw === null ? "Write JSON" : "Fill in a form"}
                </button>
            </header>
            {raw === null ? (
                <Fields fields={fields} filled={filled} path="" faults={faults} onChange={setFilled} />
            ) : (
                <label className="field">
                    Input
                    <textarea
                        className="code-input"
                        rows={8}
                        spellCheck={false}
                        value={raw}
                        aria-invalid={read?.fault !== undefined}
                        onChange={(event) => setRaw(event.target.value)}
                    />
                    <span className="fault" role="status">
                        {read?.fault ? `This is not JSON: ${read.fault}` : ""}
                    </span>
                </label>
            )}
        </Form>
    );
}

function Fields({
    fields,
    filled,
    path,
    faults,
    onChange,
}: {
    fields: Field[];
    filled: Filled;
    path: string;
    faults: Record<string, string>;
    onChange: (filled: Filled) => void;
}) {
    return (
        <>
            {fields.map((field) => {
                const at = path ? `${path}.${field.name}` : field.name;
                const change = (value: string | boolean | Filled) => onChange({ ...filled, [field.name]: value });
                if (field.kind === "group") {
                    return (
                        <fieldset key={at}>
                            <legend>{field.name}</legend>
                            <Fields
                                fields={field.fields}
                                filled={(filled[field.name] ?? {}) as Filled}
                                path={at}
                                faults={faults}
                                onChange={change}
                            />
                        </fieldset>
                    );
                }
                return (
                    <One
                        key={at}
                        field={field}
                        at={at}
                        value={filled[field.name]}
                        fault={faults[at]}
                        onChange={change}
                    />
                );
            })}
        </>
    );
}

function One({
    field,
    at,
    value,
    fault,
    onChange,
}: {
    field: Exclude<Field, { kind: "group" }>;
    at: string;
    value: string | boolean | Filled | undefined;
    fault: string | undefined;
    onChange: (value: string | boolean) => void;
}) {
    const id = `field-${at || "input"}`;
    const label = field.name || "Input";
    if (field.kind === "switch") {
        return (
            <label className="check">
                <input type="checkbox" checked={value === true} onChange={(event) => onChange(event.target.checked)} />{" "}
                {label}
                {field.about && <span className="faint">{field.about}</span>}
            </label>
        );
    }
    const shared = {
        id,
        value: String(value ?? ""),
        "aria-invalid": fault !== undefined,
        "aria-describedby": `${id}-about`,
        "aria-required": field.isRequired,
    };
    return (
        <div className="field">
            <label htmlFor={id}>
                {label} {!field.isRequired && <span className="faint">optional</span>}
                {field.kind === "lines" && <span className="faint"> · one on each line</span>}
                {field.kind === "json" && <span className="faint"> · JSON</span>}
            </label>
            {field.kind === "choice" ? (
                <select {...shared} onChange={(event) => onChange(event.target.value)}>
                    {(!field.isRequired || shared.value === "") && <option value="">choose…</option>}
                    {field.choices.map((choice) => (
                        <option key={JSON.stringify(choice)} value={JSON.stringify(choice)}>
                            {String(choice)}
                        </option>
                    ))}
                </select>
            ) : field.kind === "text" || field.kind === "lines" || field.kind === "json" ? (
                <textarea
                    {...shared}
                    rows={field.kind === "text" ? 2 : 4}
                    className={field.kind === "json" ? "code-input" : ""}
                    spellCheck={field.kind === "text"}
                    onChange={(event) => onChange(event.target.value)}
                />
            ) : (
                <input
                    {...shared}
                    inputMode={field.kind === "integer" ? "numeric" : "decimal"}
                    onChange={(event) => onChange(event.target.value)}
                />
            )}
            <span id={`${id}-about`} className={fault ? "fault" : "about"}>
                {fault ?? field.about}
            </span>
        </div>
    );
}
