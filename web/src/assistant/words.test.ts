import { expect, test } from "vitest";
import { en } from "./en";
import { vi } from "./vi";
import { failureText } from "./words";

const places = (s: string) => [...s.matchAll(/\{\w+\}/g)].map(String).sort();

test("both languages have the same keys", () => {
  expect(Object.keys(vi).sort()).toEqual(Object.keys(en).sort());
});

test.each(Object.entries(en))("%s has the same places in both languages, and words", (key, text) => {
  const other = vi[key as keyof typeof en];
  expect(places(other)).toEqual(places(text));
  expect(other.trim()).not.toBe("");
});

test("a failure of a newer server is told in its own words", () => {
  const f = { retryable: true, message: "No more paper.", code: "no_paper" };
  expect(failureText(f)).toBe("No more paper.");
  expect(failureText({ ...f, message: "" })).toContain("no_paper");
  expect(failureText({ ...f, code: "upstream_cut" })).toBe(en["fail.upstream_cut"]);
  expect(failureText({ ...f, code: "tool_loop", times: 5 })).toContain("data 5 times without answering");
});
