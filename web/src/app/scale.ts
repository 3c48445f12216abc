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

/** Round moments on the axis, and the present, with room between them. */
export function timeSplits(low: number, high: number): number[] {
  const step = [10, 15, 30, 60, 120, 300].find((s) => (high - low) / s <= 5) ?? 600;
  const out: number[] = [];
  for (let t = Math.ceil(low / step) * step; t < high - step * 0.7; t += step) out.push(t);
  return [...out, high];
}

/** How many decimals labels need that are so far apart. */
export function decimalsOf(step: number): number {
  return [0, 1, 2].find((d) => Math.abs(step * 10 ** d - Math.round(step * 10 ** d)) < 1e-9) ?? 3;
}

/** The index of the first x at or after a moment, by halves. */
export function firstAfter(x: number[], moment: number): number {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle]! < moment) low = middle + 1;
    else high = middle;
  }
  return low;
}
