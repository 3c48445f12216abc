// A rule by the API, and a form that writes one. See docs/alarms.md.
import type { Priority } from "../alarm";

export const limits = ["highHigh", "high", "low", "lowLow"] as const;
export type Limit = (typeof limits)[number];

/** How a rule stands. */
export interface Status {
  watches: number;
  active: number;
  pending?: number;
  error?: string;
  failing?: string;
}

/** A rule, as the API has it. */
export interface Rule extends Partial<Record<Limit, number | false>> {
  id: string;
  title?: string;
  enabled?: boolean;
  thing?: string;
  property?: string;
  hysteresis?: number;
  deadband?: number;
  predict?: number;
  onDelay?: number;
  offDelay?: number;
  rate?: { max: number; over: number } | false;
  stale?: boolean;
  promql?: string;
  for?: number;
  every?: number;
  priority?: Priority;
  message?: string;
  suppress?: string;
  by?: string;
  changed?: string;
  status?: Status;
}

/** What the description of a property, or of a thing, wants people to be told. */
export type Said = Readonly<Record<string, unknown>>;

/** What the server would find. */
export interface Trial {
  watches: number;
  beyond: number;
  error?: string;
  samples: { thing: string; property?: string; value?: unknown; kinds?: string[]; elsewhere?: string[] }[];
}

/** How urgent the most urgent alarm of a rule is: each kind has a priority when the rule names none. */
export function urgency(r: Said): Priority {
  const said = [1, 2, 3, 4].find((p) => p === r.priority) as Priority | undefined;
  if (said) return said;
  const has = (name: string) => r[name] !== undefined && r[name] !== false;
  if (has("highHigh") || has("lowLow")) return 1;
  return has("stale") && !has("high") && !has("low") && !has("rate") ? 3 : 2;
}

/** Of an input of numbers; null when it is empty. */
type Figure = number | null | undefined;

/** What the form has in its fields. */
export interface Fields {
  asks: boolean;
  id: string;
  title: string;
  enabled: boolean;
  thing: string;
  property: string;
  limits: Record<Limit, Figure>;
  /** Taken away from what the description says. */
  without: Record<Limit | "rate", boolean>;
  rateMax: Figure;
  rateOver: Figure;
  stale: "" | "yes" | "no";
  hysteresis: Figure;
  deadband: Figure;
  predict: Figure;
  onDelay: Figure;
  offDelay: Figure;
  promql: string;
  for: Figure;
  every: Figure;
  priority: "" | "1" | "2" | "3" | "4";
  message: string;
  suppress: string;
}

const figures = ["hysteresis", "deadband", "predict", "onDelay", "offDelay", "for", "every"] as const;
const ofLimits: readonly string[] = ["hysteresis", "deadband", "predict", "onDelay"];
const ofAsking: readonly string[] = ["for", "every"];

export function fieldsOf(r: Partial<Rule>): Fields {
  const limit = (name: Limit) => (typeof r[name] === "number" ? (r[name] as number) : null);
  const f: Fields = {
    asks: r.promql !== undefined,
    id: r.id ?? "",
    title: r.title ?? "",
    enabled: r.enabled !== false,
    thing: r.thing ?? "",
    property: r.property ?? "",
    limits: { highHigh: limit("highHigh"), high: limit("high"), low: limit("low"), lowLow: limit("lowLow") },
    without: { highHigh: r.highHigh === false, high: r.high === false, low: r.low === false, lowLow: r.lowLow === false, rate: r.rate === false },
    rateMax: r.rate ? r.rate.max : null,
    rateOver: r.rate ? r.rate.over : null,
    stale: r.stale === undefined ? "" : r.stale ? "yes" : "no",
    hysteresis: null, deadband: null, predict: null, onDelay: null, offDelay: null, for: null, every: null,
    promql: r.promql ?? "",
    priority: r.priority ? (String(r.priority) as Fields["priority"]) : "",
    message: r.message ?? "",
    suppress: r.suppress ?? "",
  };
  for (const name of figures) f[name] = r[name] ?? null;
  return f;
}

/** What the fields say, as the API takes it. What is empty is left out. */
export function draftOf(f: Fields): Partial<Rule> {
  const r: Partial<Rule> = {};
  const words = ["id", "title", "thing", "property", "message", "suppress"] as const;
  for (const name of words) if (f[name].trim()) r[name] = f[name].trim();
  if (!f.enabled) r.enabled = false;
  if (f.priority) r.priority = Number(f.priority) as Priority;
  for (const name of figures) {
    const value = f[name];
    if (typeof value === "number" && !(f.asks ? ofLimits : ofAsking).includes(name)) r[name] = value;
  }
  if (f.asks) return { ...r, promql: f.promql.trim() };
  for (const name of limits) {
    const value = f.limits[name];
    if (f.without[name]) r[name] = false;
    else if (typeof value === "number") r[name] = value;
  }
  if (f.without.rate) r.rate = false;
  else if (typeof f.rateMax === "number" || typeof f.rateOver === "number") {
    // One without the other is for the server to refuse, at its place.
    r.rate = { ...(typeof f.rateMax === "number" ? { max: f.rateMax } : {}), ...(typeof f.rateOver === "number" ? { over: f.rateOver } : {}) } as Rule["rate"];
  }
  if (f.stale) r.stale = f.stale === "yes";
  return r;
}

/** Whether there is enough of a rule to be tried. */
export function triable(r: Partial<Rule>): boolean {
  if (r.promql !== undefined) return r.promql !== "";
  return !!r.thing && !!r.property && [...limits, "rate", "stale"].some((name) => r[name as keyof Rule] !== undefined);
}

/** What of a rule is its author's, without what the server adds. */
export function authored(r: Rule): Partial<Rule> {
  const { by: _, changed: __, status: ___, ...own } = r;
  return own;
}
