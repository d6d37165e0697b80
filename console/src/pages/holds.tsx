// The switch that stops agents, tools or runs: what is held, since when, by whom, and whether nothing of it runs any more.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { ask, post } from "../api/call";
import { collect, useAgents } from "../api/pages";
import type { Hold } from "../api/types";
import { Confirm, Form } from "../parts/form";
import { useNotices } from "../parts/notices";
import { Ago, Asked, Dialog, Empty, Head } from "../parts/parts";
import { Table } from "../parts/table";
import { span } from "../pure/words";

const EFFECTS: Record<string, string> = {
    pause: "Pause: runs wait in the queue",
    stop: "Stop: runs end as cancelled",
    quarantine: "Quarantine: a pause that takes no new runs in",
};
const FIELDS = ["agent", "tool", "release", "session", "run", "region"] as const;
const LIFTED = 100;

export function HoldsPage() {
    const client = useQueryClient();
    const { tell } = useNotices();
    const [isPlacing, setPlacing] = useState(false);
    const [lifting, setLifting] = useState<Hold | null>(null);
    const found = useQuery({
        queryKey: ["holds"],
        queryFn: async ({ signal }) => {
            const [on, lifted] = await Promise.all([
                Promise.all(["placed", "effective"].map((status) => collect<Hold>("v1/holds", { status }, signal))),
                collect<Hold>("v1/holds", { status: "lifted" }, signal, LIFTED),
            ]);
            const items = on.flatMap((one) => one.items).sort((a, b) => b.placed_at.localeCompare(a.placed_at));
            // One that becomes effective, or is lifted, between the answers is in two of them.
            const each = new Map([...items, ...lifted.items].map((one) => [one.id, one]));
            return { items: [...each.values()], hasMore: lifted.hasMore };
        },
        refetchInterval: 3000,
    });
    const items = found.data?.items ?? [];
    const lift = async (hold: Hold) => {
        try {
            const { value } = await ask<Hold>(`v1/holds/${encodeURIComponent(hold.id)}`, { method: "DELETE" });
            tell(
                value.status === "lifted"
                    ? "The hold is lifted."
                    : "Your wish is noted; a second person has to lift it as well.",
            );
        } finally {
            void client.invalidateQueries({ queryKey: ["holds"] });
        }
    };
    return (
        <div className="page">
            <Head
                title="Holds"
                about="The switch that stops agents, tools or runs. It beats approvals, and no agent can lift it."
            >
                <button type="button" className="danger" onClick={() => setPlacing(true)}>
                    Place a hold
                </button>
            </Head>
            <Asked query={found} what="holds" />
            {found.data && items.length === 0 && (
                <Empty title="Nothing is held">
                    <p>
                        When an agent does harm, place a hold on it: nothing of it begins from then on, and what runs is
                        stopped.
                    </p>
                </Empty>
            )}
            {items.length > 0 && (
                <div className="card">
                    <Table label="Holds" columns={["Covers", "Does", "State", "Why", "Placed", "By", ""]}>
                        {items.map((one) => (
                            <tr key={one.id} className={one.status === "lifted" ? "faint" : ""}>
                                <th scope="row">{covers(one)}</th>
                                <td className="text">{one.effect}</td>
                                <td className="text">
                                    {one.status}
                                    {one.effective_after_seconds !== null && (
                                        <span className="faint"> after {span(one.effective_after_seconds * 1000)}</span>
                                    )}
                                    {one.status !== "lifted" && one.lifts.length > 0 && (
                                        <span className="faint"> · {one.lifts.join(", ")} would lift it</span>
                                    )}
                                </td>
                                <td className="text wrap">{one.reason}</td>
                                <td className="text">
                                    <Ago at={one.placed_at} />
                                </td>
                                <td className="text">{one.placed_by}</td>
                                <td className="text">
                                    {one.status !== "lifted" && (
                                        <button type="button" className="small" onClick={() => setLifting(one)}>
                                            Lift
                                        </button>
                                    )}
                                </td>
                            </tr>
                        ))}
                    </Table>
                    {found.data?.hasMore && <p className="faint">Of the lifted ones, the newest {LIFTED}.</p>}
                </div>
            )}
            {isPlacing && (
                <PlaceHold
                    onClose={() => {
                        setPlacing(false);
                        void client.invalidateQueries({ queryKey: ["holds"] });
                    }}
                />
            )}
            {lifting && (
                <Confirm
                    title="Lift this hold?"
                    action="Lift the hold"
                    close="Leave it"
                    onClose={() => setLifting(null)}
                    onSure={() => lift(lifting)}
                >
                    <p>
                        {covers(lifting)} goes on from then. It was placed by {lifting.placed_by}: {lifting.reason}
                    </p>
                    {lifting.takes_two && <p className="asks">It covers so much that two people have to lift it.</p>}
                </Confirm>
            )}
        </div>
    );
}

function covers(hold: Hold): string {
    const named = FIELDS.filter((name) => hold.selector[name] !== null).map((name) => `${name} ${hold.selector[name]}`);
    return named.length === 0 ? "everything" : named.join(", ");
}

function PlaceHold({ onClose }: { onClose: () => void }) {
    const agents = useAgents();
    const { tell } = useNotices();
    const [effect, setEffect] = useState("pause");
    const [reason, setReason] = useState("");
    const [given, setGiven] = useState<Record<string, string>>({});
    const isWide = Object.values(given).every((value) => !value);
    const place = async () => {
        const named = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
        await post<Hold>("v1/holds", { effect, reason, ...named });
        tell("The hold is placed. It is effective once nothing that it covers runs any more.");
        onClose();
    };
    return (
        <Dialog title="Place a hold" onClose={onClose}>
            <Form action="Place the hold" isDanger isReady={reason.trim() !== ""} onClose={onClose} onSend={place}>
                <label className="field">
                    What it does
                    <select value={effect} onChange={(event) => setEffect(event.target.value)}>
                        {Object.entries(EFFECTS).map(([name, text]) => (
                            <option key={name} value={name}>
                                {text}
                            </option>
                        ))}
                    </select>
                </label>
                <label className="field">
                    Agent
                    <select
                        value={given.agent ?? ""}
                        onChange={(event) => setGiven({ ...given, agent: event.target.value })}
                    >
                        <option value="">all of them</option>
                        {(agents.data?.items ?? []).map((one) => (
                            <option key={one.name}>{one.name}</option>
                        ))}
                    </select>
                </label>
                {(["tool", "session", "run"] as const).map((name) => (
                    <label key={name} className="field">
                        Only the {name}
                        <input
                            value={given[name] ?? ""}
                            maxLength={256}
                            placeholder="any"
                            onChange={(event) => setGiven({ ...given, [name]: event.target.value.trim() })}
                        />
                    </label>
                ))}
                <label className="field">
                    Why
                    <input value={reason} maxLength={1000} onChange={(event) => setReason(event.target.value)} />
                </label>
                {isWide && (
                    <p className="asks">It would cover everything of this tenant, and take two people to lift.</p>
                )}
            </Form>
        </Dialog>
    );
}
