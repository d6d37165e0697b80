// Who may vote in whose name, and until when: one lends a role of one's own for a time, and ends it before.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { ask, get, post } from "../api/call";
import type { Delegation, PageOf } from "../api/types";
import { Act, Form } from "../parts/form";
import { Ago, Dialog, Trouble } from "../parts/parts";
import { Table } from "../parts/table";
import { readAt } from "../pure/words";
import { useWho } from "../shell/gate";

const KEY = ["delegations"];
const DAY = 86_400;
const SPANS: [seconds: number, text: string][] = [
    [DAY / 2, "12 hours"],
    [DAY, "a day"],
    [3 * DAY, "3 days"],
    [7 * DAY, "a week"],
    [28 * DAY, "4 weeks"],
];

/** Those that count now. */
export function useDelegations() {
    return useQuery({
        queryKey: KEY,
        queryFn: async () => {
            const { items } = await get<PageOf<Delegation>>("v1/delegations");
            return items.filter((one) => readAt(one.until) > Date.now());
        },
        staleTime: 10_000,
        retry: false,
    });
}

export function DelegationsDialog({ onClose }: { onClose: () => void }) {
    const client = useQueryClient();
    const found = useDelegations();
    const who = useWho();
    const [error, setError] = useState<unknown>(null);
    const items = found.data ?? [];
    const end = async (one: Delegation) => {
        setError(null);
        try {
            await ask(`v1/delegations/${encodeURIComponent(one.id)}`, { method: "DELETE" });
        } catch (fault) {
            setError(fault);
        }
        void client.invalidateQueries({ queryKey: KEY });
    };
    return (
        <Dialog title="Who votes in whose name" onClose={onClose} wide>
            {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
            {found.data && items.length === 0 && <p className="muted">Nobody votes in the name of another.</p>}
            {items.length > 0 && (
                <Table label="Delegations" columns={["From", "To", "Roles", "Until", ""]}>
                    {items.map((one) => (
                        <tr key={one.id}>
                            <th scope="row">{one.by}</th>
                            <td className="text">{one.to}</td>
                            <td className="text wrap">{one.roles.join(", ")}</td>
                            <td className="text">
                                <Ago at={one.until} />
                            </td>
                            <td className="text">
                                {who && (who.roles.includes("*") || [one.by, one.to].includes(who.name)) && (
                                    <Act onSend={() => end(one)}>End</Act>
                                )}
                            </td>
                        </tr>
                    ))}
                </Table>
            )}
            {error !== null && <Trouble error={error} />}
            {who && who.roles.length > 0 ? (
                <Lend roles={who.roles} />
            ) : (
                <p className="faint">You hold no role that somebody could vote with in your name.</p>
            )}
        </Dialog>
    );
}

function Lend({ roles }: { roles: string[] }) {
    const client = useQueryClient();
    const [name, setName] = useState("");
    const [lent, setLent] = useState<string[]>(roles.length === 1 ? roles : []);
    const [seconds, setSeconds] = useState(3 * DAY);
    const make = async () => {
        await post<Delegation>("v1/delegations", { to: name.trim(), roles: lent, seconds });
        setName("");
        void client.invalidateQueries({ queryKey: KEY });
    };
    return (
        <Form
            aria-label="Let somebody vote in your name"
            action="Let them vote"
            isReady={name.trim() !== "" && lent.length > 0}
            onSend={make}
        >
            <label className="field">
                Who votes in your name
                <input
                    value={name}
                    maxLength={128}
                    placeholder="the name on their key"
                    onChange={(event) => setName(event.target.value)}
                />
            </label>
            <fieldset>
                <legend>With which of your roles</legend>
                {roles.map((role) => (
                    <label key={role} className="check">
                        <input
                            type="checkbox"
                            checked={lent.includes(role)}
                            onChange={(event) =>
                                setLent(event.target.checked ? [...lent, role] : lent.filter((one) => one !== role))
                            }
                        />{" "}
                        {role === "*" ? "all of them" : role}
                    </label>
                ))}
            </fieldset>
            <label className="field">
                For how long
                <select value={seconds} onChange={(event) => setSeconds(Number(event.target.value))}>
                    {SPANS.map(([value, text]) => (
                        <option key={value} value={value}>
                            {text}
                        </option>
                    ))}
                </select>
            </label>
        </Form>
    );
}
