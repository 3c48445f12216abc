import { expect, test } from "vitest";
import { countOf, parts } from "./quote";

test("a quote comes apart into values with their quality", () => {
  expect(parts("offline · speed 60.4 % · temperature 78.6 °C (stale, 14s old) · note a (b) · p 1 (out_of_range, 1m2s old)")).toEqual([
    { text: "", quality: "offline", age: "" },
    { text: "speed 60.4 %", quality: "", age: "" },
    { text: "temperature 78.6 °C", quality: "stale", age: "14s" },
    { text: "note a (b)", quality: "", age: "" },
    { text: "p 1", quality: "out_of_range", age: "1m2s" },
  ]);
  expect(parts("")).toEqual([]);
});

test.each([
  ["16 values of Conveyor 2", 16],
  ["1 value of x", 1],
  ["no value at plant/x", undefined],
  ["", undefined],
])("countOf(%j)", (summary, want) => expect(countOf(summary)).toBe(want));
