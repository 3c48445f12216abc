// The arithmetic of time ranges: how long, from where, in what steps. Pure, all in milliseconds.

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** A stretch of time, its end excluded. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** The shortest that zooming reaches, and the longest that can be asked for. */
export const shortest = 5 * second;
export const longest = 366 * day;

/** The ranges that are offered by name. */
export const presets = ["1m", "5m", "10m", "30m", "1h", "8h", "24h", "7d", "30d", "90d", "1y"] as const;

const units: Record<string, number> = { s: second, m: minute, h: hour, d: day, w: 7 * day, y: 365 * day };

/** The length that a code such as 10m, 24h or 1y means; undefined for what is none or out of bounds. A bare number is minutes. */
export function lengthOf(code: string | null): number | undefined {
  const [, digits, unit = "m"] = /^(\d{1,9})([smhdwy])?$/.exec(code ?? "") ?? [];
  if (digits === undefined) return undefined;
  const length = Number(digits) * units[unit]!;
  return length >= shortest && length <= longest ? length : undefined;
}

/** The shortest code for a length. */
export function codeOf(length: number): string {
  const known = presets.find((p) => lengthOf(p) === length);
  if (known) return known;
  for (const unit of ["d", "h", "m"]) if (length % units[unit]! === 0) return `${length / units[unit]!}${unit}`;
  return `${Math.round(length / second)}s`;
}

const steps = [
  ...[100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * second),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * minute),
  ...[1, 2, 3, 6, 12].map((n) => n * hour),
  ...[1, 2, 7].map((n) => n * day),
];

/** The length of one bucket, so that a range of this length has at most so many. */
export function stepFor(length: number, buckets: number): number {
  return steps.find((s) => length / s <= buckets) ?? steps.at(-1)!;
}

/**
 * What is asked for when `span` is shown: more than it on both sides, on a grid
 * that does not depend on where exactly it is. Panning inside it, and coming
 * back to where one was, asks for the same again and is answered from memory.
 */
export function windowFor(span: Span, step: number): Span {
  const grid = step * Math.max(1, Math.ceil((span.to - span.from) / step / 2));
  return { from: Math.floor(span.from / grid) * grid, to: Math.ceil(span.to / grid) * grid };
}

/** The same span around a moment that stays where it is, shorter (factor below 1) or longer. */
export function zoom(span: Span, factor: number, at: number): Span {
  const length = span.to - span.from;
  const wanted = Math.min(longest, Math.max(shortest, length * factor));
  const from = at - ((at - span.from) / length) * wanted;
  return { from, to: from + wanted };
}

export function shift(span: Span, by: number): Span {
  return { from: span.from + by, to: span.to + by };
}

/** Keeps a span out of the future, where there is nothing to see, at its length. */
export function notAfter(span: Span, now: number): Span {
  return span.to > now ? shift(span, now - span.to) : span;
}

/** A span that somebody drew or typed, put in order and into bounds. */
export function orderly(a: number, b: number): Span {
  const [from, to] = a <= b ? [a, b] : [b, a];
  if (to - from < shortest) {
    const middle = (from + to) / 2;
    return { from: middle - shortest / 2, to: middle + shortest / 2 };
  }
  return { from: Math.max(from, to - longest), to };
}

/**
 * With what a span is compared: the period just before it, the same time the
 * day or the week before (by the wall clock), or so many milliseconds earlier.
 */
export type Compare = "" | "previous" | "day" | "week" | number;

/** How much earlier the compared period is; 0 when there is none. */
export function earlier(compare: Compare, span: Span): number {
  if (compare === "") return 0;
  if (compare === "previous") return span.to - span.from;
  if (typeof compare === "number") return compare;
  const then = new Date(span.to);
  then.setDate(then.getDate() - (compare === "day" ? 1 : 7));
  return span.to - then.getTime();
}

/** As the URL says it: previous, day, week or a length such as 3d. */
export function compareOf(code: string | null): Compare {
  if (code === "previous" || code === "day" || code === "week") return code;
  const [, digits, unit] = /^(\d{1,9})([smhdwy])$/.exec(code ?? "") ?? [];
  const length = Number(digits) * (units[unit ?? ""] ?? NaN);
  return length > 0 && length <= 10 * longest ? length : "";
}

export function compareCode(compare: Compare): string {
  return typeof compare === "number" ? codeOf(Math.max(second, compare)) : compare;
}

/** A moment in a URL, as people can read it: 2026-11-26T08:00:00Z. NaN for what is none. */
export function momentOf(text: string | null): number {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z$/.test(text ?? "") ? Date.parse(text!) : NaN;
}

export function momentText(at: number): string {
  return new Date(at).toISOString().replace(".000Z", "Z");
}
