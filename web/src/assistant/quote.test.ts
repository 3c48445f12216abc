import { expect, test } from "vitest";
import { countOf, parts } from "./quote";

test("a quote comes apart into values with their quality", () => {
  const quote = "offline · speed 60.4 % · temperature -8 °C (stale, 14s old) · note a (b) · p 1 (out_of_range, 1m2s old) · on true · at 2026-11-23T08:00 · …";
  const fresh = { quality: "", age: "" };
  expect(parts(quote)).toEqual([
    { name: "", number: undefined, text: "", quality: "offline", age: "" },
    { name: "speed", number: 60.4, text: "%", ...fresh },
    { name: "temperature", number: -8, text: "°C", quality: "stale", age: "14s" },
    { name: "note", number: undefined, text: "a (b)", ...fresh },
    { name: "p", number: 1, text: "", quality: "out_of_range", age: "1m2s" },
    { name: "on", number: undefined, text: "true", ...fresh },
    { name: "at", number: undefined, text: "2026-11-23T08:00", ...fresh },
    { name: "…", number: undefined, text: "", ...fresh },
  ]);
  expect(parts("")).toEqual([]);
});

test.each([
  ["16 values of Conveyor 2", 16],
  ["1 value of x", 1],
  ["no value at plant/x", undefined],
  ["", undefined],
])("countOf(%j)", (summary, want) => expect(countOf(summary)).toBe(want));
