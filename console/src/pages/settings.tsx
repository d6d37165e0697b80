// What this node was told, and by whom; what may hold a secret is masked before it leaves the node.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { get } from "../api/call";
import type { PageOf, Setting } from "../api/types";
import { Asked, Head } from "../parts/parts";
import { Table } from "../parts/table";

export function SettingsPage() {
    const found = useQuery({
        queryKey: ["settings"],
        queryFn: () => get<PageOf<Setting>>("v1/settings"),
        staleTime: 60_000,
    });
    const [find, setFind] = useState("");
    const [isSetOnly, setSetOnly] = useState(false);
    const shown = (found.data?.items ?? []).filter(
        (one) => one.name.includes(find.trim().toLowerCase()) && (!isSetOnly || one.source !== "default"),
    );
    return (
        <div className="page">
            <Head
                title="Settings"
                about="What this node was started with. They are changed in pilothouse.toml, in the environment or by flags, and take effect at the next start."
            />
            <form
                className="filters"
                role="search"
                aria-label="Find a setting"
                onSubmit={(event) => event.preventDefault()}
            >
                <label className="grow">
                    <span className="unseen">Part of a name</span>
                    <input
                        type="search"
                        data-find
                        placeholder="Part of a name"
                        value={find}
                        onChange={(event) => setFind(event.target.value)}
                    />
                </label>
                <label className="check">
                    <input type="checkbox" checked={isSetOnly} onChange={(event) => setSetOnly(event.target.checked)} />{" "}
                    only those that were set
                </label>
            </form>
            <Asked query={found} what="settings" />
            {found.data && (
                <div className="card">
                    <Table label="Settings" className="settings" columns={["Setting", "Value", "Set by"]}>
                        {shown.map((one) => (
                            <tr key={one.name}>
                                <th scope="row">
                                    <code>{one.name}</code>
                                </th>
                                <td className="text wrap">
                                    {one.value === null ? (
                                        <span className="faint">not set</span>
                                    ) : (
                                        <code>
                                            {typeof one.value === "string" ? one.value : JSON.stringify(one.value)}
                                        </code>
                                    )}
                                </td>
                                <td className={`text${one.source === "default" ? " faint" : ""}`}>{one.source}</td>
                            </tr>
                        ))}
                    </Table>
                    {shown.length === 0 && <p className="faint">No setting fits.</p>}
                </div>
            )}
        </div>
    );
}
