import type { Json } from "../live";
import type { Unsubscribe } from "../live";

/** One property's live readings, oldest first; four columns of the same length. */
export interface Points {
  /** When it was measured, seconds since 1970. */
  x: number[];
  /** Null is a gap: the connection was lost there. A state is its value itself. */
  y: (Json | null)[];
  /** The place in the log after which the frame that brought it began. */
  prev: number[];
  /** The place in the log that the frame reached. */
  seq: number[];
  /** From here on nothing is missing; Infinity while the connection is lost. */
  since: number;
}

/** A signal that is kept: thing and property. */
export const keyOf = (thing: string, property: string): string => `${thing}#${property}`;

/**
 * The live tail: the last minutes of the signals that somebody shows, each
 * reading with its place in the log, so that it joins to history exactly.
 * Bounded by time and by count; nothing is kept of signals that nobody asked for.
 */
export class Series {
  #points = new Map<string, { points: Points; users: number }>();
  #since = Infinity;

  constructor(
    keys: readonly string[],
    readonly seconds = 660,
    readonly most = 8000,
  ) {
    for (const key of keys) this.keep(key, 0);
  }

  /** Starts to keep a signal; `seq` is the place in the log that the screen has reached. */
  keep(key: string, seq: number): Unsubscribe {
    let kept = this.#points.get(key);
    if (!kept) {
      const points = { x: [], y: [], prev: [], seq: [], since: Math.max(seq, this.#since) };
      this.#points.set(key, (kept = { points, users: 0 }));
    }
    kept.users++;
    let done = false;
    return () => {
      if (done) return;
      done = true;
      if (--kept.users === 0) this.#points.delete(key);
    };
  }

  get(key: string): Points | undefined {
    return this.#points.get(key)?.points;
  }

  add(key: string, seconds: number, value: Json, prev: number, seq: number): void {
    const p = this.#points.get(key)?.points;
    if (!p) return;
    p.x.push(seconds);
    p.y.push(value);
    p.prev.push(prev);
    p.seq.push(seq);
    this.#trim(p);
  }

  /** The screen is current at this place of the log, and misses nothing from here on. */
  begin(seq: number): void {
    this.#since = seq;
    for (const { points } of this.#points.values()) points.since = seq;
  }

  /** Breaks every line: what comes next was not measured next. */
  gap(seconds: number): void {
    this.#since = Infinity;
    for (const { points: p } of this.#points.values()) {
      p.since = Infinity;
      if (p.y.length === 0 || p.y.at(-1) === null) continue;
      p.x.push(seconds);
      p.y.push(null);
      p.prev.push(p.seq.at(-1)!);
      p.seq.push(p.seq.at(-1)!);
    }
  }

  /** Forgets all readings: they have their places in another log. */
  clear(): void {
    for (const { points: p } of this.#points.values()) p.x = [], p.y = [], p.prev = [], p.seq = [];
  }

  #trim(p: Points): void {
    // In larger bites, since each moves all that is kept.
    const old = p.x.at(-1)! - this.seconds;
    if (p.x.length <= this.most && (p.x[0]! >= old || p.x.length % 256 !== 0)) return;
    let n = Math.max(0, p.x.length - this.most);
    while (p.x[n]! < old) n++;
    if (n === 0) return;
    p.since = Math.max(p.since, p.seq[n - 1]!);
    for (const column of [p.x, p.y, p.prev, p.seq]) column.splice(0, n);
  }
}

/** How fast a signal moves, units per minute by least squares over the last seconds; NaN with too little to say. */
export function slope(p: Points, seconds = 60): number {
  const end = p.x.at(-1);
  if (end === undefined) return NaN;
  let n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
  let first = end;
  for (let i = p.x.length - 1; i >= 0; i--) {
    const x = p.x[i]! - end;
    const y = p.y[i];
    if (x < -seconds || typeof y !== "number") break; // across a gap nothing is known
    n++;
    sx += x;
    sy += y;
    sxx += x * x;
    sxy += x * y;
    first = p.x[i]!;
  }
  if (n < 10 || end - first < seconds / 2) return NaN;
  return ((n * sxy - sx * sy) / (n * sxx - sx * sx)) * 60;
}
