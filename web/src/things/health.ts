import type { Mark } from "../alarms/alarm";
import type { Thing } from "../live";
import type { Description } from "../model/td";
import { beyond } from "../model/reading";

/** How a thing is, at one glance. */
export interface Health {
  /** offline before stale before bad: what hides the others is said first. */
  word: "offline" | "stale" | "bad" | "beyond" | "silent" | "good";
  stale: number;
  bad: number;
  /** The highest priority (lowest number) of its alarms and of a limit that a value is beyond, 0 for none. */
  priority: 0 | 1 | 2 | 3 | 4;
  /** When it was last heard of, ms; 0 when never. */
  newest: number;
}

export function healthOf(thing: Thing | undefined, description: Description | undefined, alarms?: Mark): Health {
  const h: Health = { word: "good", stale: 0, bad: 0, priority: alarms?.priority ?? 0, newest: 0 };
  if (!thing || thing.values.size === 0) return { ...h, word: thing?.online === "offline" ? "offline" : "silent" };
  h.stale = thing.stale.size;
  for (const quality of thing.quality.values()) if (quality !== "unlogged") h.bad++;
  for (const [name, { value, ts }] of thing.values) {
    if (ts > h.newest) h.newest = ts;
    const p = description?.properties.get(name);
    const at = p ? beyond(p, value).beyond : 0;
    if (at && (h.priority === 0 || at < h.priority)) h.priority = at;
  }
  if (thing.online === "offline") h.word = "offline";
  else if (h.stale > 0) h.word = "stale";
  else if (h.bad > 0) h.word = "bad";
  else if (h.priority > 0) h.word = "beyond";
  return h;
}
