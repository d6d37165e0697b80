import { expect, test } from "vitest";

import type { Alert, Hold, Overview, Review } from "../api/types";
import { marksOf, touches } from "./marks";

const at = (minute: number) => new Date(Date.UTC(2026, 10, 28, 10, minute)).toISOString();
const found = { begin: at(10), end: at(50), releases: [{ agent: "desk", release: "r".repeat(40), at: at(20) }] };
const alert = (agent: string, since: number, resolved: number | null) =>
    ({
        agent,
        since: at(since),
        resolved_at: resolved === null ? null : at(resolved),
        summary: `${agent} misses`,
    }) as Alert;
const hold = (agent: string | null, placed: number, lifted: number | null) =>
    ({
        effect: "pause",
        reason: "why",
        placed_at: at(placed),
        lifted_at: lifted === null ? null : at(lifted),
        selector: { region: null, agent, release: null, tool: null, run: null, session: null },
    }) as Hold;
const incident = (agent: string, opened: number, closed: number | null) =>
    ({
        id: "rev_1",
        agent,
        question: "An incident.",
        details: { happened: "Twice." },
        status: closed === null ? "open" : "decided",
        created_at: at(opened),
        expires_at: null,
        decided_at: closed === null ? null : at(closed),
    }) as unknown as Review;
const marks = (alerts: Alert[], holds: Hold[], agent = "", incidents: Review[] = []) =>
    marksOf(found as unknown as Overview, alerts, holds, incidents, agent);

test("releases, alerts and holds stand together, newest first", () => {
    const all = marks([alert("desk", 30, 40)], [hold(null, 25, null)]);
    expect(all.map((one) => one.kind)).toEqual(["alert", "hold", "release"]);
    expect(all.map((one) => one.text)).toEqual([
        "desk misses",
        "Hold (pause) over everything: why",
        "desk went over to release rrrrrrrrrrrr",
    ]);
});

test("an incident lasts until it is closed and says what happened", () => {
    const given = [incident("desk", 30, null), incident("", 20, 25), incident("other", 30, null), incident("", 1, 5)];
    const all = marks([], [], "desk", given).filter((one) => one.kind === "incident");
    expect(all.map((one) => [one.text, one.begin, one.end])).toEqual([
        ["An incident. Twice.", Date.parse(at(30)), null],
        ["An incident. Twice.", Date.parse(at(20)), Date.parse(at(25))],
    ]);
});

test("what was over before the span is not told, and what began before it and goes on is", () => {
    const all = marks([alert("desk", 1, 5), alert("desk", 2, null)], [hold("desk", 3, 12), hold("desk", 3, 9)]);
    expect(all.map((one) => one.kind)).toEqual(["release", "hold", "alert"]);
});

test("with an agent chosen others are left out, and what covers all stays", () => {
    const all = marks([alert("other", 30, null)], [hold("other", 30, null), hold(null, 31, null)], "desk");
    expect(all.map((one) => one.kind)).toEqual(["hold", "release"]);
});

test("a mark belongs to the slices that it touches", () => {
    const [mark] = marks([alert("desk", 30, 40)], []);
    const slice = (from: number, to: number) => touches(mark!, Date.parse(at(from)), Date.parse(at(to)));
    expect([slice(20, 30), slice(25, 31), slice(35, 36), slice(40, 41), slice(41, 42)]).toEqual([
        false,
        true,
        true,
        true,
        false,
    ]);
    const release = marks([], [])[0]!;
    expect(touches(release, Date.parse(at(20)), Date.parse(at(21)))).toBe(true);
    expect(touches(release, Date.parse(at(21)), Date.parse(at(22)))).toBe(false);
});
