import { describe, expect, it } from "vitest";
import { Row } from "./flow";

const make = () => new Row(50, 770, 15.6, 11, 47);

describe("bottles on belts", () => {
  it("fill the line from the start and keep being set down as they leave", () => {
    const row = make();
    const n = row.positions.length;
    let left = 0, added = 0;
    for (let i = 0; i < 3000; i++) {
      const s = row.step(0.033, () => 26);
      left += s.left;
      added += s.added;
    }
    expect(left).toBeGreaterThan(100);
    expect(Math.abs(added - left)).toBeLessThanOrEqual(47 - n + 1);
    expect(row.positions.length).toBeLessThanOrEqual(47);
  });

  it("queue before a belt that stands, at most as close as they are wide, and never move back", () => {
    const row = make();
    for (let i = 0; i < 3000; i++) {
      const before = [...row.positions];
      const { left, added } = row.step(0.033, (x) => (x < 400 ? 26 : 0));
      if (left === 0 && added === 0) expect(row.positions.every((x, k) => x >= before[k]! - 1e-9)).toBe(true);
    }
    const gaps = row.positions.slice(1).map((x, i) => row.positions[i]! - x);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(11 - 1e-6);
    expect(row.positions.some((x, i) => i > 0 && Math.abs(row.positions[i - 1]! - x - 11) < 0.01)).toBe(true);
  });

  it("stand still with the belts", () => {
    const row = make();
    const before = [...row.positions];
    row.step(1, () => 0);
    expect(row.positions.slice(0, before.length)).toEqual(before);
  });
});
