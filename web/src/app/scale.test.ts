import { describe, expect, it } from "vitest";
import type { Property } from "../model/td";
import { decimalsOf, firstAfter, timeSplits, yRange } from "./scale";

const p = (o: Partial<Property>): Property => ({ name: "x", titles: { en: "x", vi: "x" }, tag: "", type: "number", unit: "", priority: 3, ...o });

describe("the scale of a trend", () => {
  it("shows the data with air around it", () => {
    const [low, high] = yRange(p({}), 10, 20);
    expect(low).toBeLessThan(10);
    expect(high).toBeGreaterThan(20);
  });
  it("brings a limit into view when the value is near it, and not from afar", () => {
    expect(yRange(p({ band: [35, 70], high: 75, minimum: 0, maximum: 100 }), 66, 68)[1]).toBeGreaterThan(75);
    expect(yRange(p({ band: [9, 11], high: 75 }), 10, 10.5)[1]).toBeLessThan(75);
  });
  it("does not blow noise up to change", () => {
    const [low, high] = yRange(p({ band: [11, 13.6] }), 12.4, 12.41);
    expect(high - low).toBeGreaterThan(1.2);
  });
  it("writes as many decimals as its steps have", () => {
    expect([1000, 5, 2.5, 1, 0.5, 0.25, 0.2, 0.1].map(decimalsOf)).toEqual([0, 0, 1, 0, 1, 2, 1, 1]);
  });
  it("is never empty", () => {
    for (const range of [yRange(undefined, null, null), yRange(p({}), 0, 0), yRange(p({}), 5, 5)]) expect(range[1]).toBeGreaterThan(range[0]);
  });
});

describe("the time axis", () => {
  it.each([60, 120, 300, 600])("over %d s has few round moments and ends at the present", (span) => {
    const now = 1_000_003.5;
    const s = timeSplits(now - span, now);
    expect(s.at(-1)).toBe(now);
    expect(s.length).toBeLessThanOrEqual(7);
    expect(s.length).toBeGreaterThanOrEqual(4);
    expect(s.slice(0, -1).every((t) => t % 10 === 0 || t % 15 === 0)).toBe(true);
  });
  it("finds where the window starts", () => {
    expect([0, 1, 1.5, 3, 9].map((m) => firstAfter([1, 2, 3], m))).toEqual([0, 0, 1, 2, 3]);
  });
});
