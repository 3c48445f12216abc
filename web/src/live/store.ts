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
  /** Properties whose value is not good though fresh: "out_of_range" or "bad". */
  quality: Map<string, string>;
  /** What the device or its last will said; "" when it never did. */
  online: "online" | "offline" | "";
}

/** What one frame changed: the things it named, and for each the properties with a new reading. */
export type Changed = Map<string, readonly string[]>;

/**
 * The latest state of all things that the connection follows. It is changed by
 * frames only, in their order; listeners are told after each frame.
 */
export class Store {
  readonly things = new Map<string, Thing>();
  #listeners = new Listeners<Changed>();
  #paged = new Set<string>(); // what the pages of the snapshot being read have named so far

  /** Tells after each frame which things it changed, appeared and removed ones included. */
  watch(listener: (changed: Changed) => void): Unsubscribe {
    return this.#listeners.add(listener);
  }

  value(thing: string, property: string): Value | undefined {
    return this.things.get(thing)?.values.get(property);
  }

  /**
   * A page of a snapshot replaces the things it names; the last page also
   * removes those that no page named.
   */
  snapshot(frame: Snapshot): void {
    const changed: Changed = new Map();
    for (const [id, change] of Object.entries(frame.things)) {
      this.#paged.add(id);
      changed.set(id, this.#replace(id, change));
    }
    if (!frame.more) {
      for (const id of this.things.keys()) {
        if (this.#paged.has(id)) continue;
        this.things.delete(id);
        changed.set(id, []);
      }
      this.#paged.clear();
    }
    this.#listeners.tell(changed);
  }

  update(frame: Update): void {
    const changed: Changed = new Map();
    for (const [id, change] of Object.entries(frame.things)) changed.set(id, this.#merge(id, change));
    this.#listeners.tell(changed);
  }

  /** Forgets a half-read snapshot: its connection is gone. */
  interrupted(): void {
    this.#paged.clear();
  }

  /** Corrects when a value was measured; a snapshot says it per thing only. */
  measured(thing: string, property: string, ts: number): void {
    const value = this.value(thing, property);
    if (!value) return;
    value.ts = ts;
    this.#listeners.tell(new Map([[thing, []]]));
  }

  #replace(id: string, change: Change | null): readonly string[] {
    this.things.delete(id);
    return this.#merge(id, change);
  }

  #merge(id: string, change: Change | null): readonly string[] {
    if (change === null || change.removed) {
      this.things.delete(id);
      return [];
    }
    let thing = this.things.get(id);
    if (!thing) {
      thing = { id, values: new Map(), stale: new Set(), quality: new Map(), online: "" };
      this.things.set(id, thing);
    }
    const fresh = setValues(thing, change);
    if (change.stale) thing.stale = new Set(change.stale);
    if (change.quality) thing.quality = new Map(Object.entries(change.quality));
    if (change.online !== undefined) thing.online = change.online;
    return fresh;
  }
}

function setValues(thing: Thing, change: Change): string[] {
  const ts = change.ts ? Date.parse(change.ts) : NaN;
  const set = change.state ?? change.set ?? {};
  for (const [name, value] of Object.entries(set)) {
    if (value === null) thing.values.delete(name);
    else thing.values.set(name, { value: mergePatch(thing.values.get(name)?.value, value), ts });
  }
  return Object.keys(set);
}
