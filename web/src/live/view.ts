import type { Problem } from "./frames";
import type { Feed, Wish } from "./feeds";
import { isPlace, matches } from "./pattern";
import type { Changed, Store, Thing } from "./store";
import { call } from "./unsubscribe";

/** Told which things of a view a frame changed, and for each the properties with a new reading. */
export type Watcher = (changed: Changed, view: View) => void;

/** What somebody follows. Close it when nobody looks any more. */
export class View {
  /** Why the server refuses it: a wrong path, too many subscriptions. */
  problem: Problem | undefined;
  /** @internal */
  feed: Feed | undefined;
  #watcher: Watcher | undefined;
  #leave: (view: View) => void;
  #store: Store;

  /** @internal Connection.watch makes them. */
  constructor(
    readonly wish: Readonly<Wish>,
    watcher: Watcher | undefined,
    store: Store,
    leave: (view: View) => void,
  ) {
    this.#watcher = watcher;
    this.#store = store;
    this.#leave = leave;
  }

  /** Whether its first state is in, to the last page. */
  get ready(): boolean {
    return this.feed?.whole ?? false;
  }

  /** Its things as they are now; their values may be more than its fields when somebody else follows more. */
  things(): Thing[] {
    const { path } = this.wish;
    const covers = isPlace(path) ? (id: string) => this.feed?.members.has(id) : (id: string) => matches(path, id);
    return [...this.#store.things.values()].filter((thing) => covers(thing.id));
  }

  /** No more calls; the server is told when this was the last view of the path. */
  close(): void {
    this.#watcher = undefined;
    if (!this.feed) return;
    this.#leave(this);
    this.feed = undefined;
  }

  /** @internal Whether anybody wants to be told. */
  get watched(): boolean {
    return this.#watcher !== undefined;
  }

  /** @internal `always`: also when nothing of it changed. */
  tell(changed: Changed, always = false): void {
    const { fields } = this.wish;
    let mine = changed;
    if (fields) {
      mine = new Map();
      for (const [id, names] of changed) {
        const followed = names.filter((name) => fields.includes(name));
        if (followed.length > 0 || names.length === 0) mine.set(id, followed);
      }
    }
    if (mine.size === 0 && !always) return;
    call(() => this.#watcher?.(mine, this));
  }
}
