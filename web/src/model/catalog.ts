import { Listeners, type Unsubscribe } from "../live";
import { readDescription, type Description } from "./td";

/** At most one look for a description per thing in this time: an undescribed device is not asked about at 10 Hz. */
const askAgainAfter = 30_000;
const atOnce = 4;
/** The list is fetched in pages, as many as a server has things at most. */
const pageSize = 1000;
const most = 20_000;

/**
 * The Thing Descriptions, fetched once, and one by one for things that appear
 * later. An undescribed thing has an inferred description, which grows with it.
 */
export class Catalog {
  readonly descriptions = new Map<string, Description>();
  /** Whether all were fetched once. */
  loaded = false;
  #fetch: (path: string) => Promise<unknown>;
  #asked = new Map<string, number>();
  #asking = 0;
  #reading: Promise<void> | null = null;
  #after: Promise<void> | null = null;
  #dropped = new Set<string>(); // while they are read
  #listeners = new Listeners<void>();

  constructor(get: (path: string) => Promise<unknown>) {
    this.#fetch = get;
  }

  /** Tells when a description came or changed. */
  watch(listener: () => void): Unsubscribe {
    return this.#listeners.add(listener);
  }

  /** Reads all of them. Asked for while they are being read, they are read once more after it, however often it was. */
  load(): Promise<void> {
    if (this.#reading) return (this.#after ??= this.#reading.catch(() => undefined).then(() => this.load()));
    return (this.#reading = this.#load().finally(() => (this.#reading = this.#after = null)));
  }

  async #load(): Promise<void> {
    this.#dropped.clear();
    const gone = new Set(this.descriptions.keys());
    for (let after = "", n = 0; ; ) {
      const page = await this.#fetch(`/api/things?limit=${pageSize}${after && `&after=${after}`}`);
      if (!Array.isArray(page)) return;
      for (const td of page) {
        const d = readDescription(td);
        if (!d) continue;
        after = d.id;
        if (this.#dropped.has(d.id)) continue; // the page is older
        this.descriptions.set(d.id, d);
        gone.delete(d.id);
      }
      if (page.length < pageSize || (n += page.length) >= most) break;
    }
    for (const id of gone) this.descriptions.delete(id);
    this.loaded = true;
    this.#listeners.tell();
  }

  /** Looks for the description of a thing that sends values nobody described. */
  async want(thing: string, property: string): Promise<void> {
    const known = this.descriptions.get(thing);
    if (known?.properties.has(property) || this.#asking >= atOnce || this.#reading) return; // the list may have it
    if (Date.now() - (this.#asked.get(thing) ?? -Infinity) < askAgainAfter) return;
    this.#asked.set(thing, Date.now());
    this.#asking++;
    try {
      this.#add(await this.#fetch(`/api/things/${thing}`));
      this.#listeners.tell();
    } catch {
      // It is shown without a description and asked for again later.
    } finally {
      this.#asking--;
    }
  }

  /** Reads descriptions that have changed again; of many at once all, and also when a list on its way may bring an older one. */
  async renew(ids: Iterable<string>): Promise<void> {
    const some = [...ids];
    if (some.length > 20 || this.#reading) return this.load();
    for (const id of some) {
      try {
        this.#add(await this.#fetch(`/api/things/${id}`));
      } catch {
        // It is gone again, and that is told, too.
      }
    }
    this.#listeners.tell();
  }

  /** Forgets a thing that is gone. */
  drop(id: string): void {
    if (this.#reading) this.#dropped.add(id);
    if (this.descriptions.delete(id)) this.#listeners.tell();
  }

  #add(td: unknown): void {
    const d = readDescription(td);
    if (d) this.descriptions.set(d.id, d);
  }
}
