import { Connection, socketURL, Store, type Changed, type Link, type Unsubscribe } from "../live";
import { Catalog } from "../model/catalog";
import { followDirectory } from "../model/directory";
import { readingOf, type Reading } from "../model/reading";
import { keyOf, Series } from "../model/series";
import type { Description } from "../model/td";
import type { Points } from "../model/series";
import type { Clock } from "../trend/clock";
import { Alarms } from "../alarms/book.svelte";
import { readAll } from "../alarms/read";
import { get, toLogin } from "./api";
import type { Past } from "./past";
import { kpis } from "./plant";

/** Receive as it comes, paint at most four times a second: painting is what costs. */
const paintEvery = 250;

/**
 * The bridge between the live client, which knows no Svelte, and the
 * components. Whoever reads through it is painted again with the next tick.
 */
class Screen {
  readonly store = new Store();
  readonly catalog = new Catalog(get);
  readonly connection = new Connection({ url: () => socketURL(location.origin), store: this.store });
  /** The alarms of the present. */
  readonly liveAlarms = new Alarms(this.connection, readAll);
  /** The live tail of what is shown over time. */
  readonly series = new Series(kpis.map((s) => keyOf(s.thing, s.property)));

  /** What is shown in place of the present. */
  past = $state.raw<Past | null>(null);
  #leavePast: Unsubscribe = () => undefined;

  /** What "now" is on everything that shows time: the present, or the moment that a replay shows. */
  clock = $state.raw<Clock>({ live: true, now: () => this.#present() });
  #live = this.clock;

  link = $state.raw<Link>(this.connection.link);
  /** The reader's clock, once a second. */
  now = $state(Date.now());
  /** Frames with readings a second, over the last seconds. */
  rate = $state(0);
  /** Rises with every paint. */
  tick = $state(0);
  /** The moment that a replay stands at, to the second, ms; null in the present. */
  readonly moment: number | null = $derived(this.past ? Math.round((void this.now, this.past.now()) / 1000) * 1000 : null);
  #descriptions = $state(0);
  #painted = 0;
  #pending = false;
  #frames: number[] = [];
  #epoch = "";
  #seen = 0; // the place in the log of the frame before

  start(): void {
    this.store.watch((changed) => this.#changed(changed));
    this.catalog.watch(() => this.#descriptions++);
    this.connection.onLink((link) => this.#linked(link));
    this.connection.onRefused(() => void this.#checkSession());
    setInterval(() => this.#second(), 1000);
    followDirectory(this.catalog);
    this.connection.watch({ path: "**", rate: 10 });
    this.connection.start();
  }

  /** Shows the past, or with null the present. */
  show(past: Past | null): void {
    this.#leavePast();
    this.past?.end();
    this.past = past;
    this.clock = past ? { live: false, now: () => past.now() } : this.#live;
    this.#leavePast = past?.store.watch((changed) => this.#described(changed, past.store)) ?? (() => undefined);
    this.#paintSoon();
  }

  /** The things that are shown: as they are, or as they were. */
  get shown(): Store {
    return this.past?.store ?? this.store;
  }

  /** The alarms that are shown: those that stand, or stood then. */
  get alarms(): Alarms {
    return this.past?.alarms ?? this.liveAlarms;
  }

  /** The present is not known any more. Of the past nothing grows old. */
  get stale(): boolean {
    return this.link.stale && !this.past;
  }

  /** One property as it is shown now. */
  read(thing: string, property: string): Reading {
    void this.tick;
    const reading = { ...readingOf(this.shown, this.describe(thing), thing, property), alarm: this.alarms.property(thing, property) };
    return this.stale ? { ...reading, stale: true } : reading;
  }

  describe(thing: string): Description | undefined {
    void this.#descriptions;
    return this.catalog.descriptions.get(thing);
  }

  /** Seconds since a value was measured, on the server's clock when that is known. */
  ageOf(ts: number): number {
    const now = this.past ? this.past.now() : this.now + this.#skew();
    return Math.max(0, (now - ts) / 1000);
  }

  /** The last readings of a signal, up to what is shown. */
  tail(thing: string, property: string): Points | undefined {
    return (this.past?.series ?? this.series).get(keyOf(thing, property));
  }

  /** Keeps the live tail of a signal from now on, until the function that it returns is called. */
  keep(thing: string, property: string): Unsubscribe {
    return this.series.keep(keyOf(thing, property), this.link.phase === "live" ? this.connection.seq : Infinity);
  }

  /** The server's time. While the connection is lost, time stands still as the values do. */
  #present(): number {
    return (this.link.stale ? this.link.heardAt : Date.now()) + this.#skew();
  }

  #skew(): number {
    const { skew } = this.connection.lag;
    return Number.isFinite(skew) ? skew : 0;
  }

  #changed(changed: Changed): void {
    const now = Date.now();
    if ([...changed.values()].some((names) => names.length > 0)) this.#frames.push(now);
    this.#record(changed);
    this.#described(changed, this.store);
  }

  #described(changed: Changed, store: Store): void {
    // Until the list is there, nobody knows what it lacks.
    for (const [id, names] of this.catalog.loaded ? changed : []) {
      for (const name of names) {
        if (!this.catalog.descriptions.get(id)?.properties.has(name)) void this.catalog.want(id, name);
      }
    }
    if (store === this.shown) this.#paintSoon();
  }

  /**
   * What an update brought joins the live tail. A snapshot or the end of a
   * resume does not: it is no reading but what is known, and history has it.
   */
  #record(changed: Changed): void {
    const prev = this.#seen;
    const { seq, link } = this.connection;
    this.#seen = seq;
    if (link.phase !== "live") return;
    for (const [id, names] of changed) {
      for (const name of names) {
        const key = keyOf(id, name);
        const value = this.series.get(key) && this.store.value(id, name);
        if (value) this.series.add(key, (Number.isFinite(value.ts) ? value.ts : this.#present()) / 1000, value.value, prev, seq);
      }
    }
  }

  #paintSoon(): void {
    if (this.#pending) return;
    this.#pending = true;
    setTimeout(() => requestAnimationFrame(() => this.#paint()), Math.max(0, this.#painted + paintEvery - Date.now()));
  }

  #paint(): void {
    this.#pending = false;
    this.#painted = Date.now();
    this.tick++;
  }

  #linked(link: Link): void {
    // At the loss, not at the return: what a resume brings comes before it is live again.
    if (link.phase !== "live" && this.link.phase === "live") this.series.gap(link.heardAt / 1000);
    if (link.phase === "live" && link.currentAt !== this.link.currentAt) {
      if (this.#epoch !== this.connection.epoch) this.series.clear();
      this.#epoch = this.connection.epoch;
      this.series.begin(this.connection.seq);
      void this.#dateStale();
    }
    this.link = link;
    if (link.phase === "ended" && link.code === 4500) toLogin();
  }

  /** A snapshot dates things, not properties: ask when the stale ones were really measured. */
  async #dateStale(): Promise<void> {
    const some = [...this.store.things.values()].filter((t) => t.stale.size > 0).slice(0, 16);
    for (const thing of some) {
      const state = await get(`/api/things/${thing.id}/state`).catch(() => null);
      const properties = (state as { properties?: Record<string, { ts?: string }> } | null)?.properties ?? {};
      for (const name of thing.stale) {
        const ts = Date.parse(properties[name]?.ts ?? "");
        if (Number.isFinite(ts)) this.store.measured(thing.id, name, ts);
      }
    }
  }

  /** A refused socket says no reason; the session may be over. */
  async #checkSession(): Promise<void> {
    const me = (await get("/api/me").catch(() => null)) as { loggedIn?: boolean } | null;
    if (me?.loggedIn === false) toLogin();
  }

  #second(): void {
    this.now = Date.now();
    this.#frames = this.#frames.filter((at) => at > this.now - 5000);
    this.rate = this.#frames.length / 5;
  }
}

export const screen = new Screen();
