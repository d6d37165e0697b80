// Who may ask this deployment for what: keys, made and revoked. The text of a new key is shown once.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { ask, post } from "../api/call";
import { collect } from "../api/pages";
import type { ApiKey } from "../api/types";
import { Confirm, Form } from "../parts/form";
import { useNotices } from "../parts/notices";
import { Ago, Asked, Command, Dialog, Empty, Head } from "../parts/parts";
import { Table } from "../parts/table";

const SCOPES = [
    "runs:read",
    "runs:write",
    "reviews:read",
    "reviews:decide",
    "holds:write",
    "policy:write",
    "audit:read",
    "keys:write",
    "tenants:write",
    "metrics:read",
    "groups:write",
    "bias:audit",
    "examples:read",
    "examples:write",
    "subjects:erase",
];

export function KeysPage() {
    const client = useQueryClient();
    const { tell } = useNotices();
    const [isMaking, setMaking] = useState(false);
    const [ending, setEnding] = useState<ApiKey | null>(null);
    const [isAll, setAll] = useState(false);
    const found = useQuery({ queryKey: ["keys"], queryFn: ({ signal }) => collect<ApiKey>("v1/keys", {}, signal) });
    const items = (found.data?.items ?? []).filter((one) => isAll || (one.state === "active" && one.parent === null));
    const revoke = async (key: ApiKey) => {
        await ask(`v1/keys/${encodeURIComponent(key.id)}`, { method: "DELETE" });
        tell("The key opens nothing any more.");
        void client.invalidateQueries({ queryKey: ["keys"] });
    };
    return (
        <div className="page">
            <Head
                title="Keys"
                about="Who may ask for what. Where there is no key, only this machine may ask, and for everything."
            >
                <button type="button" className="main" onClick={() => setMaking(true)}>
                    New key
                </button>
            </Head>
            <label className="check">
                <input type="checkbox" checked={isAll} onChange={(event) => setAll(event.target.checked)} /> with those
                of signed-in browsers, and those that ended
            </label>
            <Asked query={found} what="keys" />
            {found.data && items.length === 0 && (
                <Empty title="There is no key" command={'pilothouse keys create NAME --kind human --scope "*"'}>
                    <p>
                        The first one closes the door: from then on every request needs one. Make it with all scopes,
                        and keep its text.
                    </p>
                </Empty>
            )}
            {items.length > 0 && (
                <div className="card">
                    <Table label="Keys" columns={["Principal", "Key", "May", "Roles", "State", "Made", "Ends", ""]}>
                        {items.map((one) => (
                            <tr key={one.id}>
                                <th scope="row">
                                    {one.name} <span className="pill">{one.parent ? "browser" : one.kind}</span>
                                </th>
                                <td className="text">
                                    <code>{one.id}</code>
                                </td>
                                <td className="text wrap">{one.scopes.join(", ")}</td>
                                <td className="text wrap">{one.roles.join(", ")}</td>
                                <td className={`text${one.state === "active" ? "" : " faint"}`}>{one.state}</td>
                                <td className="text">
                                    <Ago at={one.created_at} />
                                </td>
                                <td className="text">
                                    <Ago at={one.expires_at} />
                                </td>
                                <td className="text">
                                    {one.state === "active" && (
                                        <button type="button" className="small danger" onClick={() => setEnding(one)}>
                                            Revoke
                                        </button>
                                    )}
                                </td>
                            </tr>
                        ))}
                    </Table>
                </div>
            )}
            {isMaking && (
                <NewKey
                    onClose={() => {
                        setMaking(false);
                        void client.invalidateQueries({ queryKey: ["keys"] });
                    }}
                />
            )}
            {ending && (
                <Confirm
                    title="Revoke this key?"
                    action="Revoke the key"
                    isDanger
                    close="Keep it"
                    onClose={() => setEnding(null)}
                    onSure={() => revoke(ending)}
                >
                    <p>
                        The key <code>{ending.id}</code> of {ending.name} opens nothing from the next request on, and
                        whoever signed in with it is out. That cannot be undone.
                    </p>
                </Confirm>
            )}
        </div>
    );
}

function NewKey({ onClose }: { onClose: () => void }) {
    const [name, setName] = useState("");
    const [kind, setKind] = useState("service");
    const [scopes, setScopes] = useState<string[]>(["runs:read"]);
    const [roles, setRoles] = useState("");
    const [days, setDays] = useState("90");
    const [made, setMade] = useState<string | null>(null);
    const make = async () => {
        const body = {
            name,
            kind,
            scopes,
            roles: roles.split(/[\s,]+/).filter(Boolean),
            expires_in_seconds: days ? Number(days) * 86_400 : null,
        };
        setMade((await post<{ text: string }>("v1/keys", body)).text);
    };
    if (made !== null) {
        return (
            <Dialog title="The new key" onClose={onClose}>
                <p>This is the only time that it is shown. Give it to {name} in a way that nobody else can read.</p>
                <Command text={made} />
                <footer>
                    <button type="button" className="main" onClick={onClose}>
                        I have it
                    </button>
                </footer>
            </Dialog>
        );
    }
    return (
        <Dialog title="New key" onClose={onClose}>
            <Form action="Make the key" isReady={name !== "" && scopes.length > 0} onClose={onClose} onSend={make}>
                <label className="field">
                    For whom
                    <input
                        value={name}
                        maxLength={128}
                        placeholder="billing"
                        onChange={(event) => setName(event.target.value)}
                        autoFocus
                    />
                </label>
                <label className="field">
                    Who that is
                    <select value={kind} onChange={(event) => setKind(event.target.value)}>
                        <option value="service">a service</option>
                        <option value="human">a person</option>
                        <option value="agent">an agent</option>
                    </select>
                </label>
                <fieldset>
                    <legend>What it may</legend>
                    <div className="scopes">
                        {["*", ...SCOPES].map((one) => (
                            <label key={one} className="check">
                                <input
                                    type="checkbox"
                                    checked={scopes.includes(one)}
                                    onChange={(event) =>
                                        setScopes(
                                            event.target.checked
                                                ? [...scopes, one]
                                                : scopes.filter((other) => other !== one),
                                        )
                                    }
                                />
                                {one === "*" ? "everything" : <code>{one}</code>}
                            </label>
                        ))}
                    </div>
                </fieldset>
                <label className="field">
                    Roles in reviews
                    <input
                        value={roles}
                        placeholder="finance, on-call"
                        onChange={(event) => setRoles(event.target.value)}
                    />
                </label>
                <label className="field">
                    Days until it ends
                    <input
                        value={days}
                        inputMode="numeric"
                        placeholder="never"
                        onChange={(event) => setDays(event.target.value.replace(/\D/g, ""))}
                    />
                </label>
            </Form>
        </Dialog>
    );
}
