// Notifications to others: which arrived, which are tried again, which were given up.

import { useQuery, useQueryClient } from "@tanstack/react-query";

import { post } from "../api/call";
import { collect } from "../api/pages";
import type { Delivery } from "../api/types";
import { Act } from "../parts/form";
import { useNotices } from "../parts/notices";
import { Ago, Asked, Empty, Head } from "../parts/parts";
import { Table } from "../parts/table";
import { count, shortId } from "../pure/words";
import { adjust, to } from "../shell/place";

const SHOWN = 200;

export function DeliveriesPage({ query }: { query: Record<string, string> }) {
    const client = useQueryClient();
    const { tell } = useNotices();
    const status = query.status ?? "";
    const found = useQuery({
        queryKey: ["deliveries", status],
        queryFn: ({ signal }) => collect<Delivery>("v1/deliveries", { status }, signal, SHOWN),
        refetchInterval: 5000,
    });
    const again = async (id: string) => {
        await post(`v1/deliveries/${encodeURIComponent(id)}/retry`);
        tell("It is delivered once more.");
        void client.invalidateQueries({ queryKey: ["deliveries"] });
    };
    const items = found.data?.items ?? [];
    return (
        <div className="page">
            <Head
                title="Deliveries"
                about="Webhooks that tell others how runs end. The same id on every try, so that a receiver can tell repeats."
            >
                <div className="segments" role="group" aria-label="Which deliveries">
                    {["", "pending", "delivered", "dead"].map((one) => (
                        <button
                            key={one}
                            type="button"
                            aria-pressed={status === one}
                            onClick={() => adjust({ status: one })}
                        >
                            {one || "all"}
                        </button>
                    ))}
                </div>
            </Head>
            <Asked query={found} what="deliveries" />
            {found.data && items.length === 0 && (
                <Empty title="No delivery">
                    <p>
                        A request that has a <code>webhook</code> is told the end of its run there.
                    </p>
                </Empty>
            )}
            {items.length > 0 && (
                <div className="card">
                    <Table
                        label="Deliveries"
                        columns={[
                            "Delivery",
                            "State",
                            "Tells",
                            "Run",
                            "Receiver",
                            "Tries",
                            "Made",
                            "Next",
                            "Why not",
                            "",
                        ]}
                    >
                        {items.map((one) => (
                            <tr key={one.id}>
                                <th scope="row">
                                    <code>{shortId(one.id)}</code>
                                </th>
                                <td className={`text${one.status === "dead" ? " bad" : ""}`}>{one.status}</td>
                                <td className="text">{one.type}</td>
                                <td className="text">
                                    <a href={to(["runs", one.run])}>{shortId(one.run)}</a>
                                </td>
                                <td className="text wrap">{one.receiver}</td>
                                <td className="text">{count(one.attempt)}</td>
                                <td className="text">
                                    <Ago at={one.created_at} />
                                </td>
                                <td className="text">
                                    {one.due_at && one.status === "pending" ? <Ago at={one.due_at} /> : ""}
                                </td>
                                <td className="text wrap">{one.reason ?? ""}</td>
                                <td className="text">
                                    {one.status !== "delivered" && <Act onSend={() => again(one.id)}>Again</Act>}
                                </td>
                            </tr>
                        ))}
                    </Table>
                    {found.data?.hasMore && <p className="faint">There are older ones; choose a state to see more.</p>}
                </div>
            )}
        </div>
    );
}
