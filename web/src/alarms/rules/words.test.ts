import { expect, test } from "vitest";
import { en } from "./en";
import { vi } from "./vi";

test("both languages say the same, and in words of their own", () => {
  expect(Object.keys(vi).sort()).toEqual(Object.keys(en).sort());
  const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    expect(places(vi[key]), key).toEqual(places(en[key]));
    expect(vi[key], key).not.toBe(en[key]);
  }
});
