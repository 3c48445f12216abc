// What GET /api/history says, read as what comes from outside: a wrong member
// is an error that names it, never a value on the screen.
import type { Bucket } from "./buckets";

export interface HistorySeries {
  property: string;
  type: "number" | "boolean" | "string";
  unit: string;
  /** What the numbers of a boolean or an enumeration stand for, by their number. */
  names: string[];
  buckets: Bucket[];
}

export interface Answer {
  thing: string;
  from: number;
  to: number;
  /** The length of a bucket, ms. */
  step: number;
  epoch: string;
  /** The place in the log that it includes. */
  seq: number;
  series: HistorySeries[];
}

type Members = Record<string, unknown>;

export function readAnswer(said: unknown): Answer {
  const o = object(said, "the answer");
  const step = number(o, "step");
  if (!(step > 0)) throw new Error(`history: step is ${step}, want more than 0`);
  return {
    thing: text(o, "thing"),
    from: number(o, "from"),
    to: number(o, "to"),
    step,
    epoch: text(o, "epoch"),
    seq: number(o, "seq"),
    series: list(o, "series").map(readSeries),
  };
}

function readSeries(said: unknown): HistorySeries {
  const o = object(said, "a series");
  const type = text(o, "type");
  if (type !== "number" && type !== "boolean" && type !== "string") throw new Error(`history: type is ${type}, want number, boolean or string`);
  return {
    property: text(o, "property"),
    type,
    unit: typeof o.unit === "string" ? o.unit : "",
    names: Array.isArray(o.names) ? o.names.map(String) : [],
    buckets: list(o, "buckets").map(readBucket).sort((a, b) => a.ts - b.ts),
  };
}

function readBucket(said: unknown): Bucket {
  const o = object(said, "a bucket");
  return { ts: number(o, "ts"), min: number(o, "min"), max: number(o, "max"), mean: number(o, "mean"), last: number(o, "last"), count: number(o, "count") };
}

function object(value: unknown, what: string): Members {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Members;
  throw new Error(`history: ${what} is no object`);
}
function number(o: Members, name: string): number {
  const value = o[name];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new Error(`history: ${name} is ${JSON.stringify(value)}, want a number`);
}
function text(o: Members, name: string): string {
  const value = o[name];
  if (typeof value === "string") return value;
  throw new Error(`history: ${name} is ${JSON.stringify(value)}, want a text`);
}
function list(o: Members, name: string): unknown[] {
  const value = o[name];
  if (Array.isArray(value)) return value;
  throw new Error(`history: ${name} is no list`);
}
