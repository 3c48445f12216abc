import type { Mark } from "../alarms/alarm";
import type { Json, Store } from "../live";
import type { Description, Priority, Property } from "./td";
import { undescribedProperty } from "./td";

/** One value with everything that says how far it can be trusted and whether it is normal. */
export interface Reading {
  thing: string;
  property: Property;
  /** Undefined: nothing was ever received. */
  value: Json | undefined;
  /** When it was measured, ms of the device's clock; NaN when unknown. */
  ts: number;
  /** Older than its expected period, or everything is (the connection is lost). */
  stale: boolean;
  /** "" is good. */
  quality: "" | "out_of_range" | "bad" | "unlogged";
  /** The priority of the limit that it is beyond, 0 for none. */
  beyond: Priority | 0;
  /** Which limit. */
  limit?: number;
  /** The alarms that it has now. */
  alarm?: Mark;
}

/** The reading of one property as the store has it. */
export function readingOf(store: Store, description: Description | undefined, thing: string, name: string): Reading {
  const state = store.things.get(thing);
  const have = state?.values.get(name);
  const property = description?.properties.get(name) ?? undescribedProperty(name, have?.value ?? null);
  const quality = state?.quality.get(name);
  return {
    thing,
    property,
    value: have?.value,
    ts: have?.ts ?? NaN,
    stale: state?.stale.has(name) ?? false,
    quality: quality === "out_of_range" || quality === "bad" || quality === "unlogged" ? quality : "",
    ...beyond(property, have?.value),
  };
}

/** Which limit of the property the value is beyond. */
export function beyond(p: Property, value: Json | undefined): { beyond: Priority | 0; limit?: number } {
  if (typeof value !== "number") return { beyond: 0 };
  if (p.high !== undefined && value > p.high) return { beyond: p.priority, limit: p.high };
  if (p.low !== undefined && value < p.low) return { beyond: p.priority, limit: p.low };
  return { beyond: 0 };
}

/** The priority under which a reading is shown, the most urgent of its alarms and its limit: a sensor that cannot be believed is a 4. */
export function priorityOf(r: Reading): Priority | 0 {
  // An unlogged one is true, and said once for all at the top.
  const own = r.beyond || (r.quality && r.quality !== "unlogged" ? 4 : 0);
  const alarm = r.alarm?.priority ?? 0;
  return alarm && own ? (Math.min(alarm, own) as Priority) : alarm || own;
}
