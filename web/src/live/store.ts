import type { Change, Json, Snapshot, Update } from "./frames";
import { mergePatch } from "./merge";
import { Listeners, type Unsubscribe } from "./unsubscribe";

/** One property's last known value. */
export interface Value {
  value: Json;
  /** When it was measured, by the device's clock, in ms; NaN when nobody said. */
  ts: number;
}

/** What is known of one thing. */
export interface Thing {
  id: string;
  values: Map<string, Value>;
  /** Properties older than their expected period. */
  stale: Set<string>;
  /** Properties whose value is not good though fresh: "out_of_range", "bad" or "unlogged". */
  quality: Map<string, string>;
  /** What was written to properties and is not reported yet. */
  desired: Map<string, Json>;
  /** What the device or its last will said; "" when it never did. */
  online: "online" | "offline" | "";
}

/** What one frame changed: the things it named, and for each the properties with a new reading. */
export type Changed = Map<string, readonly string[]>;

/** Properties of a thing. */
export type Fields = "all" | ReadonlySet<string>;
/** Which properties of a thing to take from a frame; null: the thing is not for the store. */
export type Take = (thing: string) => Fields | null;

const all: Take = () => "all";

/**
 * The latest state of all things that the connection follows. It is changed by
 * frames only, in their order; listeners are told after each frame.
 */
export class Store {
  readonly things = new Map<string, Thing>();
  #listeners = new Listeners<Changed>();
  #paged = new Map<string, Set<string>>(); // what the pages of each snapshot being read have named so far

  /** Tells after each frame which things it changed, appeared and removed ones included. */
  watch(listener: (changed: Changed) => void): Unsubscribe {
    return this.#listeners.add(listener);
  }

  value(thing: string, property: string): Value | undefined {
    return this.things.get(thing)?.values.get(property);
  }

  /**
   * A page of a snapshot replaces the things it names; the last page also
   * removes those that no page named, of the things that the snapshot is about.
   */
  snapshot(frame: Snapshot, about: (thing: string) => boolean = () => true, take: Take = all): Changed {
    const changed: Changed = new Map();
    const paged = this.#paged.get(frame.sub) ?? new Set();
    for (const [id, change] of Object.entries(frame.things)) {
      paged.add(id);
      this.things.delete(id);
      const names = this.#merge(id, change, take(id));
      if (names) changed.set(id, names);
    }
    if (frame.more) {
      this.#paged.set(frame.sub, paged);
    } else {
      this.#paged.delete(frame.sub);
      for (const id of this.things.keys()) {
        if (paged.has(id) || !about(id)) continue;
        this.things.delete(id);
        changed.set(id, []);
      }
    }
    this.#listeners.tell(changed);
    return changed;
  }

  update(frame: Update, take: Take = all): Changed {
    const changed: Changed = new Map();
    for (const [id, change] of Object.entries(frame.things)) {
      const names = this.#merge(id, change, take(id));
      if (names) changed.set(id, names);
    }
    if (changed.size > 0) this.#listeners.tell(changed);
    return changed;
  }

  /** Forgets half-read snapshots: of one subscription that was ended, or all, whose connection is gone. */
  interrupted(sub?: string): void {
    if (sub === undefined) this.#paged.clear();
    else this.#paged.delete(sub);
  }

  /** Forgets what nobody wants any more. */
  prune(want: Take): void {
    const changed: Changed = new Map();
    for (const thing of this.things.values()) {
      const fields = want(thing.id);
      if (fields === "all") continue;
      if (fields === null) this.things.delete(thing.id);
      else if (!drop(thing, fields)) continue;
      changed.set(thing.id, []);
    }
    if (changed.size > 0) this.#listeners.tell(changed);
  }

  /** Corrects when a value was measured; a snapshot says it per thing only. */
  measured(thing: string, property: string, ts: number): void {
    const value = this.value(thing, property);
    if (!value) return;
    value.ts = ts;
    this.#listeners.tell(new Map([[thing, []]]));
  }

  #merge(id: string, change: Change | null, take: Fields | null): readonly string[] | undefined {
    if (take === null) return undefined;
    if (change === null || change.removed) {
      this.things.delete(id);
      return [];
    }
    let thing = this.things.get(id);
    if (!thing) {
      thing = { id, values: new Map(), stale: new Set(), quality: new Map(), desired: new Map(), online: "" };
      this.things.set(id, thing);
    }
    const fresh = setValues(thing, change, take);
    const takes = (name: string) => take === "all" || take.has(name);
    if (change.stale) thing.stale = new Set(change.stale.filter(takes));
    if (change.quality) thing.quality = new Map(Object.entries(change.quality).filter(([name]) => takes(name)));
    if (change.desired) thing.desired = new Map(Object.entries(change.desired).filter(([name]) => takes(name)));
    if (change.online !== undefined) thing.online = change.online;
    return fresh;
  }
}

function setValues(thing: Thing, change: Change, take: Fields): string[] {
  const ts = change.ts ? Date.parse(change.ts) : NaN;
  const fresh: string[] = [];
  for (const [name, value] of Object.entries(change.state ?? change.set ?? {})) {
    if (take !== "all" && !take.has(name)) continue;
    fresh.push(name);
    if (value === null) thing.values.delete(name);
    else thing.values.set(name, { value: mergePatch(thing.values.get(name)?.value, value), ts });
  }
  return fresh;
}

/** Removes all properties but these, and says whether there were others. */
function drop(thing: Thing, keep: ReadonlySet<string>): boolean {
  const before = thing.values.size;
  for (const name of thing.values.keys()) if (!keep.has(name)) thing.values.delete(name);
  for (const name of thing.stale) if (!keep.has(name)) thing.stale.delete(name);
  for (const name of thing.quality.keys()) if (!keep.has(name)) thing.quality.delete(name);
  for (const name of thing.desired.keys()) if (!keep.has(name)) thing.desired.delete(name);
  return thing.values.size < before;
}
