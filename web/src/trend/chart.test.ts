// @vitest-environment jsdom
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { Drawn } from "./buckets";

let align: typeof import("./chart").align;
beforeAll(async () => {
  vi.stubGlobal("matchMedia", () => ({ addEventListener() {}, removeEventListener() {} })); // uPlot looks at the screen's resolution as it is loaded
  align = (await import("./chart")).align;
});

const drawn = (x: number[], mean: (number | null)[], wide = false): Drawn => ({ x, mean, min: mean, max: mean, wide });

describe("traces on one axis of time", () => {
  it("leave no line over a gap, whatever moments the other pens have in it", () => {
    // Once the gap was drawn as narrow as the other pen's steps.
    const [x, , , , a, , , , b] = align([{ now: drawn([0, 5, 10], [1, null, 2]), then: null }, { now: drawn([0, 3, 4, 6, 7, 10], [1, 2, 3, 4, 5, 6]), then: null }]);
    expect(x).toEqual([0, 3, 4, 5, 6, 7, 10]);
    expect(a).toEqual([1, null, null, null, null, null, 2]);
    expect(b).toEqual([1, 2, 3, undefined, 4, 5, 6]);
  });
  it("fill a band only where there is one", () => {
    const [, high] = align([{ now: drawn([0, 1], [1, 2]), then: null }]);
    expect(high).toEqual([null, null]);
    const [, wide] = align([{ now: drawn([0, 1], [1, 2], true), then: null }]);
    expect(wide).toEqual([1, 2]);
  });
  it("have the earlier period as a line of its own", () => {
    const [x, , , then, now] = align([{ now: drawn([0, 2], [1, 2]), then: drawn([1], [9]) }]);
    expect([x, then, now]).toEqual([[0, 1, 2], [undefined, 9, undefined], [1, undefined, 2]]);
  });
  it("of nothing are nothing", () => expect(align([])).toEqual([[]]));
});
