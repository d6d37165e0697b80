// What starts runs without a caller: the clock rules, when they fire next, and what the last firing became.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { post } from "../api/call";
import { useChanges } from "../api/changes";
import { collect } from "../api/pages";
import type { Run, Schedule } from "../api/types";
import { Act } from "../parts/form";
import { useNotices } from "../parts/notices";
import { Ago, Asked, Empty, Head } from "../parts/parts";
import { Table } from "../parts/table";
import { count, shortId, span } from "../pure/words";
import { to } from "../shell/place";

export function SchedulesPage() {
    const client = useQueryClient();
    const { tell } = useNotices();
    /** The run of each schedule that was started here out of turn: the schedule itself does not tell of those. */
    const [started, setStarted] = useState<Record<string, string>>({});
    const found = useQuery({
        queryKey: ["schedules"],
        queryFn: ({ signal }) => collect<Schedule>("v1/schedules", {}, signal),
        refetchInterval: 10_000,
    });
    useChanges(() => void client.invalidateQueries({ queryKey: ["schedules"] }));
    const act = async (one: Schedule, what: "pause" | "resume" | "run") => {
        const made = await post<Schedule | Run>(`v1/schedules/${encodeURIComponent(one.name)}/${what}`);
        if (what === "run") setStarted((before) => ({ ...before, [one.name]: (made as Run).id }));
        tell(
            what === "run"
                ? `Started ${shortId((made as Run).id)}.`
                : what === "pause"
                  ? `${one.name} fires no more until it is resumed.`
                  : `${one.name} fires again.`,
        );
        void client.invalidateQueries({ queryKey: ["schedules"] });
    };
    const items = found.data?.items ?? [];
    return (
        <div className="page">
            <Head title="Schedules" about="Clock rules that start runs without a caller." />
            <Asked query={found} what="schedules" />
            {found.data && items.length === 0 && (
                <Empty title="Nothing is scheduled">
                    <p>
                        A schedule is a section of <code>pilothouse.toml</code>, or is made with{" "}
                        <code>POST /v1/schedules</code>: an agent, an input, and a rule such as <code>0 6 * * 1-5</code>
                        .
                    </p>
                </Empty>
            )}
            {items.length > 0 && (
                <div className="card">
                    <Table label="Schedules" columns={["Schedule", "Agent", "Rule", "Next", "Last", "Left out", ""]}>
                        {items.map((one) => (
                            <tr key={one.name}>
                                <th scope="row">
                                    {one.name} {one.status === "paused" && <span className="pill">paused</span>}
                                    {one.problem && <p className="bad wrap">{one.problem}</p>}
                                </th>
                                <td className="text">
                                    <a href={to(["agents", one.agent])}>{one.agent}</a>
                                </td>
                                <td className="text">
                                    <code>
                                        {one.cron ??
                                            (one.every_seconds !== null
                                                ? `every ${span(one.every_seconds * 1000)}`
                                                : one.at)}
                                    </code>{" "}
                                    <span className="faint">{one.zone}</span>
                                </td>
                                <td className="text">
                                    {one.next_at && one.status === "active" ? (
                                        <Ago at={one.next_at} />
                                    ) : (
                                        <span className="faint">not</span>
                                    )}
                                </td>
                                <td className="text">
                                    {one.last_run ? (
                                        <a href={to(["runs", one.last_run])}>{shortId(one.last_run)}</a>
                                    ) : (
                                        <span className="faint">never</span>
                                    )}
                                    {started[one.name] && (
                                        <p>
                                            now:{" "}
                                            <a href={to(["runs", started[one.name]!])}>{shortId(started[one.name]!)}</a>
                                        </p>
                                    )}
                                </td>
                                <td className="text">{count(one.left_out)}</td>
                                <td className="text">
                                    <span className="row">
                                        <Act onSend={() => act(one, "run")}>Now</Act>
                                        <Act onSend={() => act(one, one.status === "paused" ? "resume" : "pause")}>
                                            {one.status === "paused" ? "Resume" : "Pause"}
                                        </Act>
                                    </span>
                                </td>
                            </tr>
                        ))}
                    </Table>
                </div>
            )}
        </div>
    );
}
