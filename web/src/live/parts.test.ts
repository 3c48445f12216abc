import { describe, expect, it, vi } from "vitest";
import { Backoff } from "./backoff";
import type { Json } from "./frames";
import { Lag } from "./lag";
import { mergePatch } from "./merge";
import { matches } from "./pattern";
import { Listeners } from "./unsubscribe";

describe("patterns", () => {
  // The same table as the server's own test.
  it.each([
    ["plant/line1/pump", "plant/line1/pump", true],
    ["plant/line1/pump", "plant/line1/pump2", false],
    ["plant/line1/pump", "plant/line1", false],
    ["plant/line1", "plant/line1/pump", false],
    ["plant/*/pump", "plant/line1/pump", true],
    ["plant/*", "plant/line1/pump", false],
    ["plant/*", "plant/line1", true],
    ["*", "plant", true],
    ["*", "plant/line1", false],
    ["plant/**", "plant/line1/pump", true],
    ["plant/**", "plant/line1", true],
    ["plant/**", "plant", false],
    ["**", "plant", true],
    ["*/**", "plant", false],
    ["*/**", "plant/line1", true],
  ])("%s and %s", (pattern, thing, want) => expect(matches(pattern, thing)).toBe(want));
});

describe("merge patch", () => {
  // Appendix A of RFC 7386.
  it.each<[Json, Json, Json]>([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [["a", "b"], ["c", "d"], ["c", "d"]],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("%j and %j", (target, patch, want) => expect(JSON.parse(JSON.stringify(mergePatch(target, patch)))).toEqual(want));

  it("does not touch what it patches, nor the prototype of anything", () => {
    const target = { a: { b: 1 } };
    mergePatch(target, { a: { b: 2 } });
    mergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}') as Json);
    expect(target).toEqual({ a: { b: 1 } });
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("backoff", () => {
  it("doubles to its most and keeps half of it for jitter", () => {
    const low = new Backoff(500, 15_000, () => 0);
    const high = new Backoff(500, 15_000, () => 1);
    expect([1, 2, 3, 4, 5, 6, 7].map(() => low.next())).toEqual([250, 500, 1000, 2000, 4000, 7500, 7500]);
    expect([1, 2, 3, 4, 5, 6, 7].map(() => high.next())).toEqual([500, 1000, 2000, 4000, 8000, 15000, 15000]);
  });
});

describe("lag", () => {
  it("is the middle of the last trips, and the clocks' distance from the quickest", () => {
    vi.useFakeTimers({ now: 1_000_000, toFake: ["Date", "performance"] });
    const lag = new Lag();
    expect(lag.trip).toBeNaN();
    for (const trip of [10, 2000, 20, 30, 40]) {
      const id = lag.asked();
      vi.advanceTimersByTime(trip);
      // The server read its clock, 500 ms ahead, half-way; but of the slow one at its very end.
      lag.answered({ type: "pong", id, ts: new Date(Date.now() + 500 - (trip === 2000 ? 0 : trip / 2)).toISOString() });
    }
    expect(lag.trip).toBe(30);
    expect(lag.skew).toBe(500);
    lag.answered({ type: "pong", id: "never asked" });
    expect(lag.trip).toBe(30);
    vi.useRealTimers();
  });
});

describe("listeners", () => {
  it("leave by the function they came with, once or twice, and not each other", () => {
    const list = new Listeners<number>();
    const heard: number[] = [];
    const listener = (n: number) => heard.push(n);
    const first = list.add(listener);
    list.add(listener);
    first();
    first();
    list.tell(7);
    expect(heard).toEqual([7]);
  });
});
