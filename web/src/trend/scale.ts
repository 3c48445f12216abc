// The arithmetic of a trend: its scales and the labels on them.
import type { Property } from "../model/td";

/** The scale: the data, the limit when it is near, some air, and never so narrow that noise looks like change. */
export function yRange(p: Property | undefined, low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) {
    [low, high] = p?.band ?? [p?.minimum ?? 0, p?.maximum ?? 1];
  }
  const whole = (p?.maximum ?? high) - (p?.minimum ?? low);
  const normal = p?.band ? p.band[1] - p.band[0] : whole / 4;
  const near = Math.max(high - low, normal) * 1.2;
  if (p?.high !== undefined && p.high - high < near) high = Math.max(high, p.high);
  if (p?.low !== undefined && low - p.low < near) low = Math.min(low, p.low);
  const least = normal * 0.5 || Math.abs(high) * 0.05 || 1;
  const air = Math.max((high - low) * 0.14, (least - (high - low)) / 2);
  return [low - air, high + air];
}

const second = 1000;
const hour = 3600 * second;
const day = 24 * hour;
const under = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800].map((s) => s * second).concat([1, 2, 3, 6, 12].map((h) => h * hour));
const days = [1, 2, 7, 14];
const months = [1, 2, 3, 6, 12];

/** Round moments of the reader's calendar inside a span, ms, at most so many. */
export function timeTicks(low: number, high: number, most: number): number[] {
  const length = high - low;
  const step = under.find((s) => length / s <= most);
  const start = new Date(low);
  start.setHours(0, 0, 0, 0);
  if (step !== undefined) {
    // Counted from each local midnight, so that 06:00 stays 06:00 when the clocks change.
    const out: number[] = [];
    for (let midnight = start; midnight.getTime() <= high; midnight = nextDay(midnight, 1)) {
      const end = nextDay(midnight, 1).getTime();
      const first = midnight.getTime();
      const skip = Math.max(0, Math.floor((low - first) / step) - 1);
      for (let t = first + skip * step; t < end && t <= high; t += step) if (t >= low) out.push(t);
    }
    return out;
  }
  const d = days.find((n) => length / (n * day) <= most);
  const m = months.find((n) => length / (n * 30 * day) <= most) ?? 12;
  const out: number[] = [];
  if (d !== undefined) {
    const whole = Math.round((start.getTime() - start.getTimezoneOffset() * 60_000) / day);
    for (let t = nextDay(start, -(whole % d)); t.getTime() <= high; t = nextDay(t, d)) if (t.getTime() >= low) out.push(t.getTime());
    return out;
  }
  for (let t = new Date(start.getFullYear(), start.getMonth() - (start.getMonth() % m), 1); t.getTime() <= high; t = new Date(t.getFullYear(), t.getMonth() + m, 1)) {
    if (t.getTime() >= low) out.push(t.getTime());
  }
  return out;
}

function nextDay(at: Date, by: number): Date {
  return new Date(at.getFullYear(), at.getMonth(), at.getDate() + by);
}

/** The texts for ticks, by the distance between them. */
export function timeLabels(ticks: number[], clock: (at: number, step: number) => string): string[] {
  const step = ticks.length > 1 ? ticks[1]! - ticks[0]! : 60_000;
  return ticks.map((t) => clock(t, step));
}

/**
 * The power of ten that stands beside the axis, so that its labels need no more
 * room than there is; 0 for none.
 */
export function powerOf(splits: readonly number[], step: number): number {
  const largest = Math.max(...splits.map(Math.abs));
  return largest >= 1e5 || (step > 0 && step < 0.001) ? Math.floor(Math.log10(largest) + 1e-9) : 0;
}

/** How many decimals labels need that are so far apart. */
export function decimalsOf(step: number): number {
  return [0, 1, 2].find((d) => Math.abs(step * 10 ** d - Math.round(step * 10 ** d)) < 1e-9) ?? 3;
}
