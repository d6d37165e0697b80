import { expect, test } from "vitest";

import type { RunEvent, Step } from "../api/types";
import { makeAttempts, makeScale, makeTicks, makeWaterfall } from "./waterfall";

const T = Date.parse("2026-01-01T00:00:00Z");
const at = (ms: number) => new Date(T + ms).toISOString();
const event = (type: string, ms: number, more = {}): RunEvent => ({ type, run: "run_1", seq: 1, at: at(ms), ...more });
const step = (key: string, from: number, to: number | null, kind = "step"): Step => ({
    key,
    kind,
    name: key,
    status: to === null ? "started" : "succeeded",
    attempt: 1,
    input: null,
    output: null,
    error: null,
    started_at: at(from),
    finished_at: to === null ? null : at(to),
    once: false,
    due_at: null,
});

test("attempts begin and end with the events of the run", () => {
    const events = [
        event("run.queued", 0),
        event("run.started", 10, { attempt: 1 }),
        event("run.queued", 50, { reason: "host_lost" }),
        event("run.resumed", 60, { attempt: 2 }),
    ];
    const [first, second] = makeAttempts(events, T + 100);
    expect(first).toMatchObject({ attempt: 1, from: T + 10, to: T + 50, isOpen: false, reason: "host_lost" });
    expect(second).toMatchObject({ attempt: 2, from: T + 60, to: T + 100, isOpen: true });
});

test("an attempt begins no later than its first step, and not in the attempt before", () => {
    const events = [
        event("run.started", 10, { attempt: 1 }),
        event("run.queued", 50, { reason: "host_lost" }),
        event("run.resumed", 70, { attempt: 2 }),
    ];
    const steps = [step("a", 8, 20), step("b", 40, 45), step("c", 66, 80)];
    const { attempts } = makeWaterfall(at(0), null, steps, events, T + 100);
    expect(attempts.map((one) => one.from - T)).toEqual([8, 66]);
    expect(makeWaterfall(at(0), null, [], events, T + 100).attempts.map((one) => one.from - T)).toEqual([10, 70]);
});

test("a step without an end reaches to now, or to the end of its run", () => {
    expect(makeWaterfall(at(0), null, [step("a", 5, null)], [], T + 90).steps[0]).toMatchObject({
        to: T + 90,
        isOpen: true,
    });
    expect(makeWaterfall(at(0), at(50), [step("a", 5, null)], [], T + 90).steps[0]).toMatchObject({
        to: T + 50,
        isOpen: false,
    });
});

test("days of waiting do not hide milliseconds of work", () => {
    const day = 86_400_000;
    const events = [
        event("run.started", 0),
        event("run.waiting", 100),
        event("run.resumed", day),
        event("run.succeeded", day + 100),
    ];
    const fall = makeWaterfall(
        at(0),
        at(day + 100),
        [step("a", 0, 100), step("b", 100, day, "review"), step("c", day, day + 100)],
        events,
        T,
    );
    const scale = makeScale(fall);
    expect(scale.gaps).toHaveLength(1);
    expect(scale.at(T + 100) - scale.at(T)).toBeGreaterThan(0.4);
    expect(scale.at(T)).toBe(0);
    expect(scale.at(fall.to)).toBeCloseTo(1);
    const places = [0, 50, 100, day / 2, day, day + 100].map((ms) => scale.at(T + ms));
    expect(places).toEqual([...places].sort((a, b) => a - b));
});

test("the axis has a few round marks, whatever its length", () => {
    for (const total of [3, 80, 950, 12_000, 400_000, 86_400_000, 50 * 86_400_000]) {
        const ticks = makeTicks(total);
        expect(ticks.length).toBeGreaterThanOrEqual(2);
        expect(ticks.length).toBeLessThanOrEqual(7);
    }
});
