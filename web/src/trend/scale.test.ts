import { describe, expect, it } from "vitest";
import type { Property } from "../model/td";
import { decimalsOf, powerOf, timeTicks, yRange } from "./scale";

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
  // 1 020 000 000 was cut to 000 000, and 2e-8 was 0.000 at every line.
  it.each([
    [[0, 20, 40], 20, 0],
    [[11_900, 12_000], 100, 0],
    [[0, 0.01], 0.01, 0],
    [[1.02e9, 1.04e9], 2e7, 9],
    [[-2e5, 0], 1e5, 5],
    [[0, 5e-9, 1e-8], 5e-9, -8],
  ])("%j has the power of ten beside it that its labels have no room for", (splits, step, want) => expect(powerOf(splits, step)).toBe(want));
  it("is never empty", () => {
    for (const range of [yRange(undefined, null, null), yRange(p({}), 0, 0), yRange(p({}), 5, 5)]) expect(range[1]).toBeGreaterThan(range[0]);
  });
});

const minute = 60_000;
const day = 24 * 60 * minute;

describe("the time axis", () => {
  it.each([minute, 10 * minute, 8 * 60 * minute, day, 7 * day, 30 * day, 90 * day, 366 * day])("over %d ms has few round moments, in order and inside", (length) => {
    const low = new Date(2026, 10, 23, 8, 1, 3.5).getTime();
    for (const most of [3, 6, 12]) {
      const ticks = timeTicks(low, low + length, most);
      expect(ticks.length).toBeLessThanOrEqual(most + 1);
      expect(ticks.length).toBeGreaterThanOrEqual(1);
      expect(ticks).toEqual([...ticks].sort((a, b) => a - b).filter((t) => t >= low && t <= low + length));
      for (const t of ticks) expect(new Date(t).getMilliseconds()).toBe(0);
      if (length >= 30 * day) for (const t of ticks) expect(new Date(t).getHours()).toBe(0);
    }
  });
  it("keeps 06:00 at 06:00 whatever the clocks do", () => {
    const low = new Date(2026, 2, 27).getTime(); // over the last Sunday of March
    for (const t of timeTicks(low, low + 4 * day, 20)) expect(new Date(t).getHours() % 6).toBe(0);
  });
  it("over a year begins months", () => {
    const low = new Date(2026, 0, 10).getTime();
    for (const t of timeTicks(low, low + 366 * day, 6)) expect(new Date(t).getDate()).toBe(1);
  });
});
