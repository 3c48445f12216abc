// What a trend is drawn from: buckets of history, and the live readings that
// history does not have yet folded into the same grid. Pure.

/** All readings of one property in one step of time. */
export interface Bucket {
  /** Where its step begins, ms. */
  ts: number;
  min: number;
  max: number;
  mean: number;
  last: number;
  count: number;
}

/** A live reading and the stretch of the log that it came in: after `prev`, up to `seq`. */
export interface Live {
  ts: number;
  value: number;
  prev: number;
  seq: number;
}

/**
 * The buckets with the live readings that came after the place in the log
 * which they include. Nothing at the seam is lost, and nothing counts twice: a
 * frame that `seq` cuts in two may hold a reading which a bucket already has,
 * so such a reading may widen a bucket but not weigh in it.
 */
export function join(history: readonly Bucket[], step: number, seq: number, live: Iterable<Live>): Bucket[] {
  const out = [...history];
  for (const r of live) {
    if (r.seq <= seq || !Number.isFinite(r.value)) continue;
    const ts = Math.floor(r.ts / step) * step;
    const i = place(out, ts);
    const b = out[i];
    if (b?.ts !== ts) out.splice(i, 0, { ts, min: r.value, max: r.value, mean: r.value, last: r.value, count: 1 });
    else out[i] = widened(b, r.value, r.prev < seq ? 0 : 1);
  }
  return out;
}

function widened(b: Bucket, value: number, weight: 0 | 1): Bucket {
  const count = b.count + weight;
  return {
    ts: b.ts,
    min: Math.min(b.min, value),
    max: Math.max(b.max, value),
    mean: b.mean + (weight * (value - b.mean)) / count,
    last: value,
    count,
  };
}

/** The index of the first bucket at or after a moment; the end is looked at first, where live readings belong. */
export function place(buckets: readonly { ts: number }[], ts: number): number {
  if (buckets.length === 0 || buckets.at(-1)!.ts < ts) return buckets.length;
  let low = 0;
  let high = buckets.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (buckets[middle]!.ts < ts) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** After so many missed readings, and at least so long, a silence is a gap: as the twin says stale. */
const missed = 3;
const atLeast = 3000;

/**
 * The longest silence between two readings that is none, ms. It is the
 * described period's, or what the readings themselves show: of their usual
 * distances a long one, so that a device which sends by change and not by the
 * clock does not look torn. Infinity when there is too little to tell.
 */
export function silence(buckets: readonly Bucket[], step: number, period: number | undefined): number {
  if (period !== undefined) return Math.max(missed * period, atLeast);
  const distances = buckets.slice(1).map((b, i) => b.ts - buckets[i]!.ts);
  if (distances.length < 2) return Infinity;
  distances.sort((a, b) => a - b);
  const usual = distances[Math.floor(distances.length * (distances.length < 20 ? 0.4 : 0.9))]!;
  return Math.max(usual <= step ? 1.5 * step : 2 * missed * usual, atLeast);
}

/** Whether nothing came between two buckets for longer than can be. Readings lie anywhere inside a step, so what the step itself explains is no gap. */
export function torn(a: Bucket, b: Bucket, step: number, silent: number): boolean {
  return b.ts - a.ts - step > silent;
}

/** One pen as it is drawn: seconds and values; null breaks the line. */
export interface Drawn {
  x: number[];
  mean: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
  /** Whether any bucket has readings apart from each other. */
  wide: boolean;
}

/** A line through the middles of the buckets, moved by `by` ms, that ends at `until` and breaks at gaps. */
export function line(buckets: readonly Bucket[], step: number, silent: number, until: number, by = 0): Drawn {
  const d: Drawn = { x: [], mean: [], min: [], max: [], wide: false };
  const push = (x: number, mean: number | null, min: number | null, max: number | null) => {
    d.x.push(x / 1000);
    d.mean.push(mean);
    d.min.push(min);
    d.max.push(max);
  };
  buckets.forEach((b, i) => {
    const before = buckets[i - 1];
    const at = Math.min(b.ts + step / 2, Math.max(b.ts, until));
    if (before && torn(before, b, step, silent)) push((before.ts + step + b.ts) / 2 + by, null, null, null);
    push(at + by, b.mean, b.min, b.max);
    d.wide ||= b.max > b.min;
  });
  return d;
}

/** One stretch in which a state held. `mixed`: it changed inside single steps. */
export interface Stretch {
  from: number;
  to: number;
  value: number;
  mixed: boolean;
}

/** The states one after another, moved by `by` ms; the last one holds until `until` unless it has grown too old by then. */
export function stretches(buckets: readonly Bucket[], step: number, silent: number, until: number, by = 0): Stretch[] {
  const out: Stretch[] = [];
  buckets.forEach((b, i) => {
    const next = buckets[i + 1];
    const end = next ? (torn(b, next, step, silent) ? b.ts + step : next.ts) : until - b.ts - step > silent ? b.ts + step : until;
    if (end <= b.ts) return;
    const mixed = b.min !== b.max;
    const before = out.at(-1);
    if (before && before.to === b.ts + by && before.value === b.last && before.mixed === mixed) before.to = end + by;
    else out.push({ from: b.ts + by, to: end + by, value: b.last, mixed });
  });
  return out;
}

export interface Statistics {
  min: number;
  max: number;
  mean: number;
  last: number;
  count: number;
}

/** Of all readings from `from` until `to`, as whole buckets; null when there are none. */
export function statistics(buckets: readonly Bucket[], step: number, from: number, to: number): Statistics | null {
  let s: Statistics | null = null;
  for (let i = place(buckets, from - step / 2); i < buckets.length; i++) {
    const b = buckets[i]!;
    if (b.ts >= to) break;
    if (!s) s = { min: b.min, max: b.max, mean: b.mean, last: b.last, count: b.count };
    else {
      const count: number = s.count + b.count;
      s = { min: Math.min(s.min, b.min), max: Math.max(s.max, b.max), mean: s.mean + ((b.mean - s.mean) * b.count) / count, last: b.last, count };
    }
  }
  return s;
}

/** The bucket that a moment falls into, or the one before when silence until then is no gap; null in a gap. */
export function at(buckets: readonly Bucket[], step: number, silent: number, moment: number): Bucket | null {
  const i = place(buckets, moment);
  const next = buckets[i];
  if (next?.ts === moment) return next;
  const b = buckets[i - 1];
  if (!b) return null;
  if (moment < b.ts + step) return b;
  if (next) return torn(b, next, step, silent) ? null : b;
  return moment - b.ts - step > silent ? null : b;
}
