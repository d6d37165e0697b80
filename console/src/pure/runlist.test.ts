import { expect, test } from "vitest";

import type { Run, Status } from "../api/types";
import { append, EMPTY_LIST, fits, readFilter, refresh, update } from "./runlist";

const run = (n: number, status: Status = "succeeded"): Run =>
    ({
        id: `run_${n}`,
        agent: "a",
        session: null,
        parent: null,
        status,
        created_at: new Date(n * 1000).toISOString(),
    }) as Run;
const ids = (list: { runs: Run[] }) => list.runs.map((one) => one.id);
const ALL = readFilter({});

test("pages follow each other, and a run is in the list once", () => {
    const first = refresh(EMPTY_LIST, [run(5), run(4)], "c1");
    const both = append(first, [run(4), run(3)], null);
    expect(ids(both)).toEqual(["run_5", "run_4", "run_3"]);
    expect(both.cursor).toBeNull();
});

test("new runs come in front, and the pages below stay", () => {
    const list = append(refresh(EMPTY_LIST, [run(5), run(4)], "c1"), [run(3), run(2)], "c2");
    const fresh = refresh(list, [run(6), run(5)], "c0");
    expect(ids(fresh)).toEqual(["run_6", "run_5", "run_4", "run_3", "run_2"]);
    expect(fresh.cursor).toBe("c2");
});

test("what the first page reaches past but does not hold has left the filter", () => {
    const list = refresh(EMPTY_LIST, [run(5), run(4), run(3)], "c1");
    expect(ids(refresh(list, [run(6), run(5), run(3)], "c1"))).toEqual(["run_6", "run_5", "run_3"]);
});

test("after a gap the list begins anew", () => {
    const list = refresh(EMPTY_LIST, [run(2), run(1)], null);
    expect(ids(refresh(list, [run(9), run(8)], "c"))).toEqual(["run_9", "run_8"]);
});

test("a run that changed is changed in place, or taken out", () => {
    const filter = readFilter({ status: "running" });
    const list = refresh(EMPTY_LIST, [run(2, "running"), run(1, "running")], null);
    expect(ids(update(list, [run(1, "failed")], filter))).toEqual(["run_2"]);
    expect(update(list, [run(1, "failed")], ALL).runs[1]!.status).toBe("failed");
});

test("a filter is read from the address", () => {
    const filter = readFilter({ status: "failed,queued", agent: "a" });
    expect(filter.status).toEqual(["failed", "queued"]);
    expect(fits(run(1, "failed"), filter)).toBe(true);
    expect(fits(run(1, "running"), filter)).toBe(false);
});
