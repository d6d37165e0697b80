// What model calls have cost this month, by whatever one asks, and what the month will come to.

import { useQuery } from "@tanstack/react-query";

import { get } from "../api/call";
import type { Costs } from "../api/types";
import { Empty, Facts, Head, Loading, Panel, Tabs, Trouble } from "../parts/parts";
import { numbers, Table } from "../parts/table";
import { brief, count, money, share } from "../pure/words";
import { adjust } from "../shell/place";

const GROUPS = ["agent", "session", "provider", "model", "day"] as const;

export function CostsPage({ query }: { query: Record<string, string> }) {
    const group = GROUPS.find((one) => one === query.group) ?? "agent";
    const found = useQuery({
        queryKey: ["costs", group],
        queryFn: () => get<Costs>("v1/costs", { group, limit: 200 }),
        refetchInterval: 15_000,
    });
    const costs = found.data;
    return (
        <div className="page">
            <Head
                title="Costs"
                about="What model calls have cost this month, in US dollars and days of UTC, as the records keep it."
            />
            {found.error && <Trouble error={found.error} again={() => void found.refetch()} />}
            {costs && <Summary costs={costs} />}
            <Tabs
                label="Grouped by"
                chosen={group}
                onChoose={(name) => adjust({ group: name === "agent" ? null : name })}
                tabs={GROUPS.map((name) => ({ name, label: `By ${name}` }))}
            />
            <Panel name={group}>
                {found.isPending && <Loading what="costs" />}
                {costs && costs.items.length === 0 && (
                    <Empty title="Nothing was spent this month" command="pilothouse costs --help">
                        <p>
                            Calls of models count here once an agent has made one. What a model costs comes from the
                            table of <code>pilothouse[prices]</code>, or from your own prices.
                        </p>
                    </Empty>
                )}
                {costs && costs.items.length > 0 && <Sums costs={costs} />}
            </Panel>
        </div>
    );
}

function Summary({ costs }: { costs: Costs }) {
    const { forecast, total } = costs;
    const facts: [string, React.ReactNode][] = [
        [`From ${costs.first_day} to ${costs.last_day}`, money(total.cost_usd)],
        ["Calls", count(total.calls)],
    ];
    if (total.unpriced_calls > 0) facts.push(["Calls of models without a price", count(total.unpriced_calls)]);
    if (total.untold_calls > 0) facts.push(["Calls of unknown size", count(total.untold_calls)]);
    if (forecast) {
        facts.push([`Expected for ${forecast.month}`, money(forecast.expected_usd)]);
        facts.push([
            `With ${share(forecast.share, 1)} confidence`,
            `${money(forecast.low_usd)} to ${money(forecast.high_usd)}, from ${count(forecast.days)} days`,
        ]);
    }
    return <Facts facts={facts} />;
}

function Sums({ costs }: { costs: Costs }) {
    return (
        <div className="card">
            <Table
                label="Costs"
                columns={[costs.group, ...numbers("Cost", "Share", "Calls", "Tokens in", "From a cache", "Tokens out")]}
            >
                {costs.items.map((one) => (
                    <tr key={one.name}>
                        <th scope="row">{one.name}</th>
                        <td className="number">{money(one.cost_usd)}</td>
                        <td className="number">{share(one.cost_usd, costs.total.cost_usd)}</td>
                        <td className="number">{count(one.calls)}</td>
                        <td className="number">{brief(one.input_tokens)}</td>
                        <td className="number">{brief(one.cache_tokens)}</td>
                        <td className="number">{brief(one.output_tokens)}</td>
                    </tr>
                ))}
            </Table>
            {!costs.is_whole && <p className="faint">There are more; the sum above holds them all.</p>}
        </div>
    );
}
