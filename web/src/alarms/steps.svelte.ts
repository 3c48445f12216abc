// The history of alarms: what the server keeps of their steps, and what comes while one looks.
import { Paged } from "../app/paged.svelte";
import { matches } from "../live/pattern";
import { time, type Alarm } from "./alarm";
import type { Filter } from "./groups";

const page = 100;
/** Beyond so many rows the oldest ones go when new ones come. */
const most = 2000;

export interface Wish extends Filter {
  /** How far back, ms. */
  since: number;
  /** Only what was before, ms; null is the present. */
  to: number | null;
}

export function queryOf(w: Wish, now = Date.now()): URLSearchParams {
  const query = new URLSearchParams({ from: String((w.to ?? now) - w.since) });
  if (w.to !== null) query.set("to", String(w.to));
  if (w.thing) query.set("thing", w.thing);
  if (w.priorities.length > 0) query.set("priority", w.priorities.join(","));
  return query;
}

/** Whether an alarm is among those that are chosen. */
export function fits(a: Alarm, f: Filter): boolean {
  return (f.priorities.length === 0 || f.priorities.includes(a.priority)) && (!f.thing || matches(f.thing, a.thing));
}

/** What makes a step the same when it is told again. */
export function keyOf(a: Alarm): string {
  return `${a.id} ${a.step} ${a.ts} ${a.count}`;
}

export class Steps extends Paged<Alarm> {
  #wish: Wish;

  constructor(wish: Wish) {
    super();
    this.#wish = wish;
  }

  async load(wish: Wish = this.#wish): Promise<void> {
    this.#wish = wish;
    const old = new Set(this.rows);
    // The store of facts is a little behind what is told: what came meanwhile is kept.
    await this.read(`/api/alarms/history?${queryOf(wish)}&limit=${page}`, (list) => join(this.rows.filter((a) => !old.has(a)), list));
  }

  async loadMore(): Promise<void> {
    if (this.more) await this.read(this.more, (list) => join(this.rows, list));
  }

  /** A step, as a fact. */
  step(alarm: Alarm): void {
    if (this.#wish.to !== null || !fits(alarm, this.#wish)) return; // the past gets nothing new
    this.rows = join([alarm], this.rows).slice(0, most);
  }
}

/** Both lists, each step once, the newest first. */
function join(a: readonly Alarm[], b: readonly Alarm[]): Alarm[] {
  const known = new Set(b.map(keyOf));
  return [...a.filter((one) => !known.has(keyOf(one))), ...b].sort((x, y) => (y.seq ?? 0) - (x.seq ?? 0) || time(y.ts) - time(x.ts));
}
