import { describe, expect, it } from "vitest";
import { at, join, line, silence, statistics, stretches, torn, type Bucket, type Live } from "./buckets";

const bucket = (ts: number, value: number, count = 1): Bucket => ({ ts, min: value, max: value, mean: value, last: value, count });
const live = (ts: number, value: number, prev: number, seq: number): Live => ({ ts, value, prev, seq });

describe("history and the live tail", () => {
  const history = [bucket(0, 1, 10), bucket(1000, 2, 10)];

  it("join where history ends in the log: what it includes does not come twice, what it does not is not lost", () => {
    const joined = join(history, 1000, 50, [live(1100, 99, 40, 45), live(1900, 4, 50, 55), live(2100, 5, 55, 60)]);
    expect(joined.map((b) => [b.ts, b.count])).toEqual([[0, 10], [1000, 11], [2000, 1]]);
    expect(joined[1]).toMatchObject({ min: 2, max: 4, last: 4 });
    expect(joined[1]!.mean).toBeCloseTo((10 * 2 + 4) / 11);
    expect(joined[2]).toEqual(bucket(2000, 5));
  });

  it("let a frame that history cuts in two widen a bucket, not weigh in it", () => {
    const [, b] = join(history, 1000, 50, [live(1900, 4, 48, 52)]);
    expect(b).toEqual({ ts: 1000, min: 2, max: 4, mean: 2, last: 4, count: 10 });
  });

  it("take a reading that came late into its own step, and none that is no number", () => {
    const joined = join(history, 1000, 0, [live(2000, 3, 1, 2), live(500, 7, 2, 3), live(2100, NaN, 3, 4), live(-500, 6, 4, 5)]);
    expect(joined.map((b) => [b.ts, b.max])).toEqual([[-1000, 6], [0, 7], [1000, 2], [2000, 3]]);
  });

  it("leave the answer as it was: it is kept for others", () => {
    const before = structuredClone(history);
    join(history, 1000, 0, [live(1500, 9, 1, 2)]);
    expect(history).toEqual(before);
  });

  it("give the same as one pass over all readings, wherever history ends", () => {
    // One reading a frame, so that no frame is cut in two.
    const all = Array.from({ length: 200 }, (_, i) => live(i * 130, Math.sin(i) * 10, i, i + 1));
    const whole = join([], 1000, 0, all);
    for (let seq = 0; seq <= 200; seq += 7) {
      const known = join([], 1000, 0, all.slice(0, seq));
      // The tail reaches further back than history ends.
      const joined = join(known, 1000, seq, all.slice(Math.max(0, seq - 30)));
      expect(joined.map((b) => [b.ts, b.min, b.max, b.last, b.count])).toEqual(whole.map((b) => [b.ts, b.min, b.max, b.last, b.count]));
      joined.forEach((b, i) => expect(b.mean).toBeCloseTo(whole[i]!.mean, 9));
    }
  });
});

describe("a gap", () => {
  it("is longer than three periods that the description names, and than 3 s", () => {
    expect(silence([], 1000, 10_000)).toBe(30_000);
    expect(silence([], 1000, 100)).toBe(3000);
  });

  it("is not what the step itself explains", () => {
    const minute = 60_000;
    expect(torn(bucket(0, 1), bucket(minute, 1), minute, 3000)).toBe(false);
    expect(torn(bucket(0, 1), bucket(2 * minute, 1), minute, 3000)).toBe(true);
    expect(torn(bucket(0, 1), bucket(3000, 1), 1000, 3000)).toBe(false);
    expect(torn(bucket(0, 1), bucket(5000, 1), 1000, 3000)).toBe(true);
  });

  it("is learnt where nobody described a period", () => {
    const steady = Array.from({ length: 30 }, (_, i) => bucket(i * 1000, 1));
    const s = silence(steady, 1000, undefined);
    expect(torn(bucket(0, 1), bucket(2000, 1), 1000, s)).toBe(false); // one reading lost
    expect(torn(bucket(0, 1), bucket(9000, 1), 1000, s)).toBe(true);
    const seldom = Array.from({ length: 30 }, (_, i) => bucket(i * 60_000 + (i % 3) * 9000, 1));
    expect(silence(seldom, 1000, undefined)).toBeGreaterThan(120_000);
    expect(silence([bucket(0, 1), bucket(1e9, 1)], 1000, undefined)).toBe(Infinity);
  });

  it("breaks the line once, and only there", () => {
    const d = line([bucket(0, 1), bucket(1000, 2), bucket(60_000, 3)], 1000, 3000, 1e9);
    expect(d.mean).toEqual([1, 2, null, 3]);
    expect(d.x).toEqual([...d.x].sort((a, b) => a - b));
    expect(d.x.length).toBe(d.min.length);
  });
});

describe("a line", () => {
  it("goes through the middles of steps and never past now", () => {
    expect(line([bucket(0, 1), bucket(1000, 2)], 1000, 3000, 1200).x).toEqual([0.5, 1.2]);
  });
  it("of an earlier period is moved to where it is compared", () => {
    expect(line([bucket(0, 1)], 1000, 3000, 1e9, 86_400_000).x).toEqual([86_400.5]);
  });
  it("is wide only where readings lie apart", () => {
    expect(line([bucket(0, 1)], 1000, 3000, 1e9).wide).toBe(false);
    expect(line([{ ...bucket(0, 1), max: 2 }], 1000, 3000, 1e9).wide).toBe(true);
  });
});

describe("states", () => {
  it("hold from change to change, until now or until they are too old", () => {
    const b = [bucket(0, 1), bucket(1000, 1), bucket(2000, 0), bucket(60_000, 1)];
    expect(stretches(b, 1000, 3000, 61_000)).toEqual([
      { from: 0, to: 2000, value: 1, mixed: false },
      { from: 2000, to: 3000, value: 0, mixed: false },
      { from: 60_000, to: 61_000, value: 1, mixed: false },
    ]);
    expect(stretches([bucket(0, 1)], 1000, 3000, 60_000)).toEqual([{ from: 0, to: 1000, value: 1, mixed: false }]);
    expect(stretches([bucket(0, 1)], 1000, Infinity, 60_000)).toEqual([{ from: 0, to: 60_000, value: 1, mixed: false }]);
  });
  it("that changed inside a step say so", () => {
    const b = [bucket(0, 0), { ...bucket(1000, 1), min: 0 }, bucket(2000, 1)];
    expect(stretches(b, 1000, 3000, 3000).map((s) => [s.value, s.mixed])).toEqual([[0, false], [1, true], [1, false]]);
  });
});

describe("statistics", () => {
  const b = [bucket(0, 100, 1), { ts: 1000, min: 1, max: 5, mean: 2, last: 4, count: 3 }, { ts: 2000, min: 0, max: 2, mean: 1, last: 2, count: 1 }, bucket(3000, 100)];
  it("count every reading once, in the range only", () => {
    expect(statistics(b, 1000, 1000, 3000)).toEqual({ min: 0, max: 5, mean: 7 / 4, last: 2, count: 4 });
  });
  it("of nothing are none", () => expect(statistics(b, 1000, 5000, 9000)).toBeNull());
});

describe("the reading at a moment", () => {
  const b = [bucket(0, 1), bucket(1000, 2), bucket(60_000, 3)];
  it.each([
    [-1, undefined],
    [0, 1],
    [999, 1],
    [1500, 2],
    [30_000, undefined],
    [60_500, 3],
    [63_500, 3],
    [90_000, undefined],
  ])("%d", (moment, value) => expect(at(b, 1000, 3000, moment)?.last).toBe(value));
});
