// The models that agents call: whether they are asked now, how that goes, and what it has cost since the node started.

import { useQuery } from "@tanstack/react-query";

import { get } from "../api/call";
import type { PageOf, Provider } from "../api/types";
import { Asked, Empty, Head } from "../parts/parts";
import { numbers, Table } from "../parts/table";
import { brief, count, money, share, span } from "../pure/words";

const BREAKER: Record<Provider["breaker"], string> = {
    closed: "asked",
    half_open: "tried carefully",
    open: "not asked",
};

export function ProvidersPage() {
    const found = useQuery({
        queryKey: ["providers"],
        queryFn: () => get<PageOf<Provider>>("v1/providers"),
        refetchInterval: 5000,
    });
    const items = found.data?.items ?? [];
    return (
        <div className="page">
            <Head
                title="Providers"
                about="The models that agents of this node call, as it has seen them since it started."
            />
            <Asked query={found} what="providers" />
            {found.data && items.length === 0 && (
                <Empty title="No model has been called yet">
                    <p>
                        Calls are seen here that agents make through a bridge, or through the node's egress. How much
                        may be spent and how often a provider may fail is said in <code>pilothouse.toml</code>.
                    </p>
                </Empty>
            )}
            {items.length > 0 && (
                <div className="card">
                    <Table
                        label="Providers"
                        columns={[
                            "Model",
                            "State",
                            ...numbers(
                                "In flight",
                                "Waiting",
                                "Calls",
                                "Went wrong",
                                "Tokens in",
                                "Tokens out",
                                "Cost",
                                "Price in, out",
                            ),
                        ]}
                    >
                        {items.map((one) => {
                            const all = Object.values(one.calls).reduce((sum, calls) => sum + calls, 0);
                            const wrong = all - (one.calls.ok ?? 0);
                            const said = Object.entries(one.calls)
                                .map(([outcome, calls]) => `${outcome}: ${count(calls)}`)
                                .join(", ");
                            return (
                                <tr key={`${one.provider} ${one.model}`}>
                                    <th scope="row">
                                        {one.model} <span className="faint">{one.provider}</span>
                                    </th>
                                    <td className={`text${one.breaker === "closed" ? "" : " bad"}`}>
                                        {BREAKER[one.breaker]}
                                        {one.seconds_closed > 0 && ` for ${span(one.seconds_closed * 1000)}`}
                                    </td>
                                    <td>{count(one.in_flight)}</td>
                                    <td className={one.waiting > 0 ? "warn" : ""}>{count(one.waiting)}</td>
                                    <td title={said}>{count(all)}</td>
                                    <td className={wrong > 0 ? "bad" : ""} title={said}>
                                        {share(wrong, all)}
                                    </td>
                                    <td>{brief(one.input_tokens)}</td>
                                    <td>{brief(one.output_tokens)}</td>
                                    <td>{money(one.cost_usd)}</td>
                                    <td>
                                        {one.price
                                            ? `${money(one.price.input)}, ${money(one.price.output)}`
                                            : "not known"}
                                    </td>
                                </tr>
                            );
                        })}
                    </Table>
                    <p className="faint">Prices are for a million tokens.</p>
                </div>
            )}
        </div>
    );
}
