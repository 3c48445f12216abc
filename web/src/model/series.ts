/** One property's readings since the page was opened, oldest first. */
export interface Points {
  /** Seconds since 1970, the reader's clock, as it arrived. */
  x: number[];
  /** Null is a gap: the connection was lost there. */
  y: (number | null)[];
}

/** A signal that is kept: thing and property. */
export const keyOf = (thing: string, property: string): string => `${thing}#${property}`;

/**
 * Keeps the last minutes of the signals that a trend shows. Bounded by time and
 * by count; nothing is kept of signals that nobody asked for.
 */
export class Series {
  #points = new Map<string, Points>();

  constructor(
    keys: readonly string[],
    readonly seconds = 660,
    readonly most = 8000,
  ) {
    for (const key of keys) this.#points.set(key, { x: [], y: [] });
  }

  get(key: string): Points | undefined {
    return this.#points.get(key);
  }

  /** The first moment that any signal has, seconds; Infinity when none has one. */
  get since(): number {
    return Math.min(...[...this.#points.values()].map((p) => p.x[0] ?? Infinity));
  }

  add(key: string, seconds: number, value: number | null): void {
    const p = this.#points.get(key);
    if (!p) return;
    p.x.push(seconds);
    p.y.push(value);
    this.#trim(p);
  }

  /** Breaks every line: what comes next was not measured next. */
  gap(seconds: number): void {
    for (const p of this.#points.values()) {
      if (p.y.length === 0 || p.y.at(-1) === null) continue;
      p.x.push(seconds);
      p.y.push(null);
    }
  }

  #trim(p: Points): void {
    // In larger bites, since each moves all that is kept.
    const old = p.x.at(-1)! - this.seconds;
    if (p.x.length <= this.most && (p.x[0]! >= old || p.x.length % 256 !== 0)) return;
    let n = Math.max(0, p.x.length - this.most);
    while (p.x[n]! < old) n++;
    p.x.splice(0, n);
    p.y.splice(0, n);
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
    if (x < -seconds || y === null || y === undefined) break; // across a gap nothing is known
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
