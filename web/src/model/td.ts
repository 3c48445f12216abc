// What the dashboard reads out of a W3C Thing Description. A description comes
// from outside: whatever is missing or of the wrong type is left out, never
// guessed, and a wrong one never breaks the page.
import type { Json } from "../live";
import { asWritten } from "./units";

export type Titles = { en: string; vi: string };
export type Priority = 1 | 2 | 3 | 4;

/** One property as the screen shows it. Every number is the description's own. */
export interface Property {
  name: string;
  titles: Titles;
  /** The instrument's tag, such as TT-202; "" when it has none. */
  tag: string;
  type: string;
  unit: string;
  /** Whether it may be written, by its description. */
  writable?: boolean;
  /** The only texts that it may be; none: any. */
  choices?: readonly string[];
  decimals?: number;
  /** Seconds from reading to reading, when the description says so. */
  period?: number;
  /** The measuring range. */
  minimum?: number;
  maximum?: number;
  /** Where the value normally is. */
  band?: [number, number];
  target?: number;
  low?: number;
  high?: number;
  /** Of its limits. */
  priority: Priority;
}

/** An action that takes one number. Others are not shown here. */
export interface Action {
  name: string;
  titles: Titles;
  field: string;
  minimum: number;
  maximum: number;
  step: number;
  unit: string;
  /** The property in which its effect is seen, "" when the description names none. */
  feedback: string;
  risk: "low" | "confirm" | "high";
  /** What the conditions that must hold are called, in their order; "" when only their text says it. */
  interlocks: Titles[];
}

export interface Description {
  /** The path that the whole system uses. */
  id: string;
  tag: string;
  titles: Titles;
  /** The device sends, but nobody has described it: types are inferred. */
  undescribed: boolean;
  properties: Map<string, Property>;
  actions: Map<string, Action>;
  /** Names of actions that take something else than one number. */
  otherActions: readonly string[];
  /** What its events are called. */
  events: Map<string, Titles>;
  /** Its semantic types, such as Pump. */
  types: readonly string[];
  /** What else is said about it, "" when nothing is. */
  text: Titles;
  /** Where its links to other things of this system lead. */
  contains: readonly string[];
  partOf: readonly string[];
  feeds: readonly string[];
}

const urn = "urn:echotwin:";

/** Null when it has no id. */
export function readDescription(td: unknown): Description | null {
  const o = object(td);
  const id = text(o.id);
  if (!id) return null;
  const path = id.startsWith(urn) ? id.slice(urn.length) : id;
  const actions = mapOf(o.actions, readAction);
  return {
    id: path,
    tag: text(o["echotwin:tag"]),
    titles: titles(o, path.slice(path.lastIndexOf("/") + 1)),
    undescribed: o["echotwin:undescribed"] === true,
    properties: mapOf(o.properties, readProperty),
    actions,
    otherActions: Object.keys(object(o.actions)).filter((name) => !actions.has(name)),
    events: mapOf(o.events, (name, e) => titles(e, name)),
    types: [o["@type"]].flat().map(text).filter((type) => type && type !== "Thing"),
    text: both(object(o.descriptions), text(o.description)),
    contains: linked(o.links, "contains", "item"),
    partOf: linked(o.links, "partOf", "collection", "up"),
    feeds: linked(o.links, "feeds"),
  };
}

/** The things that links with one of these relations lead to. */
function linked(links: unknown, ...rels: string[]): string[] {
  const out = new Set<string>();
  for (const link of Array.isArray(links) ? links.map(object) : []) {
    const rel = text(link.rel).replace(/^echotwin:/, "");
    const thing = rels.includes(rel) ? thingOf(text(link.href)) : "";
    if (thing) out.add(thing);
  }
  return [...out];
}

/** The thing that an address means: urn:echotwin:a/b, /api/things/a/b on any origin, or the bare path. */
function thingOf(href: string): string {
  const path = href.startsWith(urn) ? href.slice(urn.length) : href.replace(/^(https?:\/\/[^/]+)?\/?api\/things\//, "");
  return /^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+){0,7}$/.test(path) ? path : "";
}

/** A property that no description names: shown under its own name. */
export function undescribedProperty(name: string, value: Json): Property {
  return { name, titles: { en: name, vi: name }, tag: "", type: typeof value, unit: "", priority: 3 };
}

function readProperty(name: string, o: Members): Property {
  const band = Array.isArray(o["echotwin:band"]) ? o["echotwin:band"].map(number) : [];
  return {
    name,
    titles: titles(o, name),
    tag: text(o["echotwin:tag"]),
    type: text(o.type),
    unit: asWritten(text(o.unit)),
    writable: o.readOnly !== true && o["echotwin:undescribed"] !== true,
    choices: Array.isArray(o.enum) ? o.enum.filter((v): v is string => typeof v === "string") : [],
    decimals: decimals(o),
    period: positive(o["echotwin:period"]),
    minimum: number(o.minimum),
    maximum: number(o.maximum),
    band: band[0] !== undefined && band[1] !== undefined ? [band[0], band[1]] : undefined,
    target: number(o["echotwin:target"]),
    low: number(o["echotwin:low"]),
    high: number(o["echotwin:high"]),
    priority: priority(o["echotwin:priority"]),
  };
}

function readAction(name: string, o: Members): Action | null {
  const fields = Object.entries(object(object(o.input).properties));
  const [field, schema] = fields[0] ?? ["", null];
  const s = object(schema);
  const minimum = number(s.minimum);
  const maximum = number(s.maximum);
  if (fields.length !== 1 || minimum === undefined || maximum === undefined) return null;
  return {
    name,
    titles: titles(o, name),
    field,
    minimum,
    maximum,
    step: number(s.multipleOf) ?? 1,
    unit: asWritten(text(s.unit)),
    feedback: text(o["echotwin:feedback"]) || text(object(o["echotwin:feedback"]).property),
    risk: o["echotwin:risk"] === "confirm" || o["echotwin:risk"] === "high" ? o["echotwin:risk"] : "low",
    interlocks: Array.isArray(o["echotwin:interlocks"]) ? o["echotwin:interlocks"].map((lock) => messages(object(lock))) : [],
  };
}

type Members = Record<string, unknown>;

function mapOf<T>(value: unknown, read: (name: string, members: Members) => T | null): Map<string, T> {
  const out = new Map<string, T>();
  for (const [name, members] of Object.entries(object(value))) {
    const one = read(name, object(members));
    if (one) out.set(name, one);
  }
  return out;
}

function titles(o: Members, fallback: string): Titles {
  return both(object(o.titles), text(o.title) || fallback);
}

function both(said: Members, fallback: string): Titles {
  const en = text(said.en) || fallback;
  return { en, vi: text(said.vi) || en };
}

function messages(lock: Members): Titles {
  const both = object(lock.messages);
  const en = text(both.en) || text(lock.message);
  return { en, vi: text(both.vi) || en };
}

function positive(value: unknown): number | undefined {
  const said = number(value);
  return said !== undefined && said > 0 ? said : undefined;
}

function decimals(o: Members): number | undefined {
  const said = number(o["echotwin:decimals"]) ?? (o.type === "integer" ? 0 : undefined);
  return said === undefined ? undefined : Math.min(6, Math.max(0, Math.round(said)));
}

function priority(value: unknown): Priority {
  return value === 1 || value === 2 || value === 4 ? value : 3;
}

function object(value: unknown): Members {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Members) : {};
}
function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
