import type { Connection, Unsubscribe } from "../live";
import { Listeners } from "../live/unsubscribe";
import { markOf, active, older, order, stands, summarize, waits, type Alarm, type Mark, type Summary } from "./alarm";

/** What the list needs of a connection: its facts, when some are lost, and when it is whole again. */
export type Source = Pick<Connection, "onFact" | "onGap" | "onLink" | "epoch">;

/** All that stand, or are shelved, as the server has them when it is asked. */
export type Read = () => Promise<Iterable<Alarm>>;

/** Painting is what costs; a flood is many frames. */
const tellEvery = 250;
const retryEvery = 3000;

const nothing: readonly Alarm[] = [];

/**
 * All alarms that stand or are shelved: read from the server at the start and
 * after everything that may have lost a step, and kept by the facts of the
 * connection. Of two accounts of an alarm the one with the newer place in the log
 * is taken, in whatever order they come. Nothing here is optimistic.
 */
export class Alarms {
  /** In the order in which they are shown. A new list at most four times a second. */
  list = $state.raw<readonly Alarm[]>(nothing);
  summary = $state.raw<Summary>(summarize(nothing));
  /** Whether the list was read to its end since the connection is there. */
  whole = $state(false);
  /** Why it could not be read. */
  problem = $state("");
  #all = new Map<string, Alarm>();
  #things = new Map<string, Alarm[]>();
  #read: Read;
  #before: (a: Alarm, b: Alarm) => boolean;
  #source: Source;
  #epoch = "";
  #asked = 0;
  /** What facts said since the list was asked for, to be told from what is only missing in it; null when none is asked for. */
  #moved: Map<string, Alarm> | null = null;
  #first = true; // what stands when the page opens is no news
  #told = 0;
  #pending = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #current = 0;
  #raised = new Listeners<Alarm>();

  /** `before` says whether one account says less than another of the same alarm. */
  constructor(source: Source, read: Read, before = older) {
    this.#source = source;
    this.#read = read;
    this.#before = before;
    source.onFact((fact) => {
      if (fact.type !== "alarm") return;
      this.#sameLog();
      const { type: _, more: __, ...alarm } = fact;
      this.#take(alarm);
    });
    source.onGap(() => void this.load());
    source.onLink((link) => {
      if (link.phase !== "live") clearTimeout(this.#retry);
      if (link.phase !== "live" || link.currentAt === this.#current) return;
      this.#current = link.currentAt;
      void this.load();
    });
  }

  /** Told of each that is raised and wants a person, but not of those that stood before the page was opened. */
  onRaised(listener: (alarm: Alarm) => void): Unsubscribe {
    return this.#raised.add(listener);
  }

  get(id: string): Alarm | undefined {
    return this.#all.get(id);
  }

  /** Those of a thing. */
  of(thing: string): readonly Alarm[] {
    void this.list;
    return this.#things.get(thing) ?? nothing;
  }

  /** Whether a property is in alarm, and how urgently. */
  property(thing: string, property: string): Mark | undefined {
    return markOf(this.of(thing), (a) => active(a) && a.property === property);
  }

  /** The same of a thing with everything that it has, also what is over and not acknowledged. */
  thing(thing: string): Mark | undefined {
    return markOf(this.of(thing), stands);
  }

  /** Reads the list anew. What facts say meanwhile is not lost. */
  async load(): Promise<void> {
    clearTimeout(this.#retry);
    this.#sameLog();
    const asked = ++this.#asked;
    this.#moved = new Map();
    let found: Iterable<Alarm>;
    try {
      found = await this.#read();
    } catch (err) {
      if (asked !== this.#asked) return;
      this.problem = err instanceof Error ? err.message : String(err);
      this.#retry = setTimeout(() => void this.load(), retryEvery);
      return;
    }
    if (asked !== this.#asked) return;
    this.#join(found);
    this.whole = true;
    this.problem = "";
    this.#first = false;
    this.#tell();
  }

  #take(alarm: Alarm): void {
    const have = this.#all.get(alarm.id) ?? this.#moved?.get(alarm.id);
    if (have && this.#before(alarm, have)) return;
    this.#moved?.set(alarm.id, alarm);
    this.#keep(this.#all, alarm);
    if (alarm.step === "raised" && (!have || have.raised !== alarm.raised)) this.#news(alarm);
    this.#tellSoon();
  }

  #join(found: Iterable<Alarm>): void {
    const before = this.#all;
    const now = new Map<string, Alarm>();
    for (const alarm of found) {
      const moved = this.#moved?.get(alarm.id);
      if (moved && this.#before(alarm, moved)) continue;
      this.#keep(now, alarm);
      if (!this.#first && before.get(alarm.id)?.raised !== alarm.raised) this.#news(alarm);
    }
    for (const moved of this.#moved?.values() ?? []) if (!now.has(moved.id)) this.#keep(now, moved);
    this.#all = now;
    this.#moved = null;
  }

  #keep(into: Map<string, Alarm>, alarm: Alarm): void {
    if (stands(alarm) || alarm.shelved) into.set(alarm.id, alarm);
    else into.delete(alarm.id);
  }

  #news(alarm: Alarm): void {
    if (waits(alarm)) this.#raised.tell(alarm);
  }

  /** In another log all numbers begin anew, so what is here cannot be compared. */
  #sameLog(): void {
    const { epoch } = this.#source;
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    this.#all.clear();
    this.#moved?.clear();
    this.whole = false;
    this.#tell();
  }

  #tellSoon(): void {
    if (this.#pending) return;
    this.#pending = true;
    setTimeout(() => this.#pending && this.#tell(), Math.max(0, this.#told + tellEvery - Date.now()));
  }

  #tell(): void {
    this.#pending = false;
    this.#told = Date.now();
    this.#things.clear();
    for (const alarm of this.#all.values()) {
      const of = this.#things.get(alarm.thing);
      if (of) of.push(alarm);
      else this.#things.set(alarm.thing, [alarm]);
    }
    this.list = [...this.#all.values()].sort(order);
    this.summary = summarize(this.list);
  }
}
