import { describe, expect, it } from "vitest";
import { codeOf, compareCode, compareOf, earlier, lengthOf, longest, momentOf, momentText, notAfter, orderly, presets, shift, shortest, stepFor, windowFor, zoom } from "./range";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

describe("a range in a URL", () => {
  it.each([...presets, "90s", "3h", "3d", "2w"])("%s comes back as the same length", (code) => {
    expect(lengthOf(codeOf(lengthOf(code)!))).toBe(lengthOf(code));
  });
  it("of the presets keeps its name", () => expect(presets.map((p) => codeOf(lengthOf(p)!))).toEqual([...presets]));
  it("without a unit is minutes, as links said before", () => expect(lengthOf("5")).toBe(5 * minute));
  it.each([null, "", "x", "0m", "1s", "-5m", "2y", "1.5h", "5 m", "99999999999m"])("%j is none", (code) => expect(lengthOf(code)).toBeUndefined());
  it("has moments that people can read", () => {
    expect(momentText(Date.UTC(2026, 10, 26, 8))).toBe("2026-11-26T08:00:00Z");
    expect(momentOf("2026-11-26T08:00:00.120Z")).toBe(Date.UTC(2026, 10, 26, 8, 0, 0, 120));
    expect(momentOf("2026-11-26T08:00Z")).toBe(Date.UTC(2026, 10, 26, 8));
  });
  it.each([null, "", "yesterday", "2026-11-26", "2026-99-26T08:00Z"])("%j is no moment", (text) => expect(momentOf(text)).toBeNaN());
});

describe("steps and windows", () => {
  it.each([minute, 10 * minute, hour, 8 * hour, day, 7 * day, 30 * day, 366 * day])("%d ms fit into as many buckets as there is room for", (length) => {
    for (const room of [300, 500, 1000]) {
      const step = stepFor(length, room);
      expect(length / step).toBeLessThanOrEqual(room);
      expect(length / step).toBeGreaterThan(room / 6); // and not into far fewer
    }
  });
  it("cover what is shown, on whole steps, and are at most twice as long", () => {
    for (const length of [minute, 10 * minute, day]) {
      const step = stepFor(length, 1000);
      for (let k = 0; k < 50; k++) {
        const from = 1_795_000_000_000 + k * 7919.3;
        const w = windowFor({ from, to: from + length }, step);
        expect(w.from).toBeLessThanOrEqual(from);
        expect(w.to).toBeGreaterThanOrEqual(from + length);
        expect([w.from % step, w.to % step]).toEqual([0, 0]);
        expect((w.to - w.from) / step).toBeLessThanOrEqual(2000); // what the server gives
      }
    }
  });
  it("stay the same while panning inside them", () => {
    const step = stepFor(hour, 300);
    const asked = new Set<string>();
    for (let k = 0; k < 100; k++) asked.add(JSON.stringify(windowFor(shift({ from: 0, to: hour }, (k * hour) / 100), step)));
    expect(asked.size).toBeLessThanOrEqual(5);
  });
});

describe("zoom and pan", () => {
  it("keep the moment under the pointer where it is", () => {
    const z = zoom({ from: 1000_000, to: 2000_000 }, 0.5, 1250_000);
    expect([z.from, z.to]).toEqual([1125_000, 1625_000]);
    expect((1250_000 - z.from) / (z.to - z.from)).toBe(0.25);
  });
  it("end at the shortest and the longest", () => {
    const near = zoom({ from: 0, to: minute }, 1e-9, 10);
    expect(near.to - near.from).toBeCloseTo(shortest, 6);
    const far = zoom({ from: 0, to: day }, 1e9, 10);
    expect(far.to - far.from).toBeCloseTo(longest, 3);
  });
  it("do not go into the future", () => {
    expect(notAfter({ from: 90, to: 190 }, 100)).toEqual({ from: 0, to: 100 });
    expect(notAfter({ from: 0, to: 100 }, 100)).toEqual({ from: 0, to: 100 });
  });
  it("take what is drawn from right to left, and what is too narrow", () => {
    expect(orderly(2 * minute, minute)).toEqual({ from: minute, to: 2 * minute });
    expect(orderly(minute, minute)).toEqual({ from: minute - shortest / 2, to: minute + shortest / 2 });
  });
});

describe("comparing", () => {
  const span = { from: Date.UTC(2026, 10, 26, 8), to: Date.UTC(2026, 10, 26, 9) };
  it.each([
    ["" as const, 0],
    ["previous" as const, hour],
    ["day" as const, day],
    ["week" as const, 7 * day],
    [3 * hour, 3 * hour],
  ])("with %s is so much earlier", (compare, by) => expect(earlier(compare, span)).toBe(by));
  it.each(["", "previous", "day", "week", "3h", "400d"])("%j comes back from a URL", (code) => expect(compareCode(compareOf(code))).toBe(code));
  it.each([null, "tomorrow", "0h", "5", "99999999y"])("%j is none", (code) => expect(compareOf(code)).toBe(""));
});
