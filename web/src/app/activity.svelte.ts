import type { Alarm, AlarmFact, EventFact, Json, Link, Store } from "../live";
import type { Feed } from "./past";

/** One line of the activity list. Commands are shown beside these, from Commands. */
export type Entry =
  | { kind: "event"; key: string; at: number; thing: string; name: string; data: Json }
  | { kind: "alarm"; key: string; at: number; alarm: Alarm } // somebody has acknowledged or shelved it
  | { kind: "appeared"; key: string; at: number; thing: string }
  | { kind: "lost"; key: string; at: number; seconds: number }
  | { kind: "missed"; key: string; at: number; count: number };

const kept = 100;

/** What happened since the page was opened, newest first: facts as they come, each once. */
export class Activity {
  entries = $state.raw<Entry[]>([]);
  #known: Set<string> | null = null; // null before the first snapshot: all is new then, so nothing is
  #lostAt = 0;
  #n = 0;

  constructor(connection: Pick<Feed, "onFact" | "onGap" | "onLink">, store: Pick<Store, "watch" | "things">) {
    connection.onFact((fact) => {
      if (fact.type === "event") this.#event(fact);
      else if (fact.type === "alarm" && (fact.step === "acked" || fact.step === "shelved")) this.#alarm(fact);
    });
    connection.onGap((gap) => this.#add({ kind: "missed", key: this.#key(), at: Date.now(), count: gap.missed ?? 0 }));
    connection.onLink((link) => this.#linked(link, store));
    store.watch((changed) => this.#appeared([...changed.keys()].filter((id) => store.things.has(id))));
  }

  #event(e: EventFact): void {
    const key = `${e.seq}/${e.thing}/${e.name}/${e.ts}`;
    if (this.entries.some((old) => old.key === key)) return; // a resume may repeat it
    this.#add({ kind: "event", key, at: Date.parse(e.ts) || Date.now(), thing: e.thing, name: e.name, data: e.data ?? null });
  }

  #alarm(a: AlarmFact): void {
    const key = `alarm/${a.id}/${a.step}/${a.ts}`;
    if (this.entries.some((old) => old.key === key)) return;
    this.#add({ kind: "alarm", key, at: Date.parse(a.ts) || Date.now(), alarm: a });
  }

  #appeared(things: string[]): void {
    if (this.#known === null) return;
    for (const thing of things) {
      if (this.#known.has(thing)) continue;
      this.#known.add(thing);
      this.#add({ kind: "appeared", key: this.#key(), at: Date.now(), thing });
    }
  }

  #linked(link: Link, store: Pick<Store, "watch" | "things">): void {
    if (link.phase === "waiting" && this.#lostAt === 0 && this.#known) this.#lostAt = link.heardAt;
    if (link.phase !== "live") return;
    this.#known ??= new Set(store.things.keys());
    if (this.#lostAt) this.#add({ kind: "lost", key: this.#key(), at: Date.now(), seconds: (Date.now() - this.#lostAt) / 1000 });
    this.#lostAt = 0;
  }

  #key(): string {
    return `own/${++this.#n}`;
  }

  #add(entry: Entry): void {
    this.entries = [entry, ...this.entries].slice(0, kept);
  }
}
