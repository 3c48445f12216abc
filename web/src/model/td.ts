// What the dashboard reads out of a W3C Thing Description. A description comes
// from outside: whatever is missing or of the wrong type is left out, never
// guessed, and a wrong one never breaks the page.
import type { Json } from "../live";
import { readAction, type Action } from "./action";
import { both, mapOf, number, object, text, titles, type Members, type Titles } from "./members";
import { asWritten } from "./units";

export type { Action } from "./action";
export type { Titles } from "./members";
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
  /** What of it is an alarm, as it is written. */
  alarms?: Members;
}

/** What an event is called, and what its data is: one value, or members with names. */
export interface Event extends Titles {
  data: Property;
  members: ReadonlyMap<string, Property>;
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
  events: Map<string, Event>;
  /** Its semantic types, such as Pump. */
  types: readonly string[];
  /** What else is said about it, "" when nothing is. */
  text: Titles;
  /** Where its links to other things of this system lead. */
  contains: readonly string[];
  partOf: readonly string[];
  feeds: readonly string[];
  /** What of the whole thing is an alarm, as it is written. */
  alarms?: Members;
}

const urn = "urn:echotwin:";

/** Null when it has no id. */
export function readDescription(td: unknown): Description | null {
  const o = object(td);
  const id = text(o.id);
  if (!id) return null;
  const path = pathOf(id);
  return {
    id: path,
    tag: text(o["echotwin:tag"]),
    titles: titles(o, path.slice(path.lastIndexOf("/") + 1)),
    undescribed: o["echotwin:undescribed"] === true,
    properties: mapOf(o.properties, readProperty),
    actions: mapOf(o.actions, readAction),
    events: mapOf(o.events, (name, e) => ({ ...titles(e, name), data: readProperty(name, object(e.data)), members: mapOf(object(e.data).properties, readProperty) })),
    types: [o["@type"]].flat().map(text).filter((type) => type && type !== "Thing"),
    text: both(object(o.descriptions), text(o.description)),
    contains: linked(o.links, "contains", "item"),
    partOf: linked(o.links, "partOf", "collection", "up"),
    feeds: linked(o.links, "feeds"),
    alarms: alarms(o),
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

/** The path of a thing, of its id. */
export function pathOf(id: string): string {
  return id.startsWith(urn) ? id.slice(urn.length) : id;
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
    alarms: alarms(o),
  };
}

function alarms(o: Members): Members | undefined {
  return o["echotwin:alarms"] === undefined ? undefined : object(o["echotwin:alarms"]);
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
