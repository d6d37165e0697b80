import { expect, test } from "vitest";

import type { Step } from "../api/types";
import { matchSteps } from "./compare";

const step = (key: string, output: unknown = 1): Step =>
    ({ key, kind: "step", name: key.split("-")[0], status: "succeeded", output, error: null }) as unknown as Step;
const shown = (left: Step[], right: Step[]) =>
    matchSteps(left, right).map((pair) => [pair.left?.key ?? null, pair.right?.key ?? null, pair.verdict]);

test("steps with the same key belong together", () => {
    expect(shown([step("a-1-1"), step("b-1-1")], [step("a-1-1"), step("b-1-1", 2)])).toEqual([
        ["a-1-1", "a-1-1", "same"],
        ["b-1-1", "b-1-1", "other result"],
    ]);
});

test("the same step with other arguments is found by its name", () => {
    expect(shown([step("a-1-1"), step("b-1-1")], [step("a-9-1"), step("b-1-1")])).toEqual([
        ["a-1-1", "a-9-1", "other arguments"],
        ["b-1-1", "b-1-1", "same"],
    ]);
});

test("a step of one side only stands where it happened", () => {
    expect(shown([step("a-1-1"), step("c-1-1")], [step("a-1-1"), step("b-1-1"), step("c-1-1"), step("d-1-1")])).toEqual(
        [
            ["a-1-1", "a-1-1", "same"],
            [null, "b-1-1", "only right"],
            ["c-1-1", "c-1-1", "same"],
            [null, "d-1-1", "only right"],
        ],
    );
    expect(shown([step("a-1-1")], [])).toEqual([["a-1-1", null, "only left"]]);
});
