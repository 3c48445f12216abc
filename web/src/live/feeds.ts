import type { Problem, ClientFrame, Snapshot } from "./frames";
import { matches } from "./pattern";
import type { Changed, Fields } from "./store";
import type { View } from "./view";

/** What somebody wants to follow. */
export interface Wish {
  /** A thing, or a pattern: * stands for one segment, a last ** for one or more. */
  path: string;
  /** Properties; left out, all. */
  fields?: readonly string[];
  /** Updates a second at most; left out, the server's most. Who shares a path gets the quickest rate asked for. */
  rate?: number;
}

/** One subscription at the server, for all views that it has enough for. */
export interface Feed {
  readonly wish: Readonly<Wish>;
  readonly views: Set<View>;
  /** The id of our request, until it is answered. */
  asked: string;
  /** The server's name for it on this connection; "" before the answer. */
  sub: string;
  /** The last page of its snapshot is in: updates tell all that is new in it. */
  whole: boolean;
}

/** How many requests go out in a second; the server takes 50, of which some are for pings and commands. */
const aSecond = 40;

/**
 * The subscriptions of one connection. Views come and go; what the server has
 * is brought in line after the task that changed them, so that a view which is
 * replaced by one of the same path costs nothing.
 */
export class Feeds {
  #all = new Set<Feed>();
  #covered = new Map<string, Fields | null>(); // what whole feeds follow of a thing, until feeds change
  #n = 0;
  #second = { began: 0, said: 0 };

  get size(): number {
    return this.#all.size;
  }

  /** Finds a subscription that has enough for the view, or makes one. */
  join(view: View): Feed {
    let feed = [...this.#all].find((f) => enough(f.wish, view.wish));
    if (!feed) {
      feed = { wish: view.wish, views: new Set(), asked: "", sub: "", whole: false };
      this.#all.add(feed);
    }
    feed.views.add(view);
    view.feed = feed;
    return feed;
  }

  leave(view: View): void {
    view.feed?.views.delete(view);
    this.#covered.clear();
  }

  /** What has to be said to the server now, and whether more has to be said a second later. */
  due(): { requests: ClientFrame[]; more: boolean } {
    const requests: ClientFrame[] = [];
    const now = Date.now();
    if (now - this.#second.began >= 1000 || now < this.#second.began) this.#second = { began: now, said: 0 };
    for (const feed of [...this.#all]) {
      if (this.#second.said >= aSecond) return { requests, more: true };
      if (feed.views.size === 0) {
        if (feed.asked) continue; // its name comes with the answer
        this.#all.delete(feed);
        if (!feed.sub) continue;
        this.#second.said++;
        requests.push({ type: "unsub", sub: feed.sub });
      } else if (!feed.asked && !feed.sub) {
        this.#second.said++;
        feed.asked = `sub-${++this.#n}`;
        requests.push({ type: "sub", id: feed.asked, ...feed.wish });
      }
    }
    return { requests, more: false };
  }

  /** The connection is gone, and with it the server's names. What nobody wants any more is forgotten. */
  lost(): void {
    for (const feed of [...this.#all]) {
      feed.asked = feed.sub = "";
      if (feed.views.size === 0) this.#all.delete(feed);
    }
  }

  /** What is on the screen is of no use: everything is asked for from the start. */
  restart(): void {
    this.lost();
    for (const feed of this.#all) feed.whole = false;
    this.#covered.clear();
  }

  /** What a resume goes on with: that of which everything is here. The rest is to be asked for anew. */
  toResume(): Feed[] {
    this.lost();
    const feeds = [...this.#all].filter((feed) => feed.whole);
    for (const feed of feeds) feed.asked = "resume";
    return feeds;
  }

  /** A resume was answered: new names, and perhaps everything from a snapshot. */
  resumed(feeds: Feed[], subs: readonly string[], delta: boolean): void {
    for (const [i, feed] of feeds.entries()) {
      feed.asked = "";
      feed.sub = subs[i] ?? "";
      feed.whole = delta;
    }
    this.#covered.clear();
  }

  /** Whose page this is; undefined when nobody wants it any more. */
  page(frame: Snapshot): Feed | undefined {
    const feed = [...this.#all].find((f) => (f.asked !== "" && f.asked === frame.id) || f.sub === frame.sub);
    if (!feed) return undefined;
    feed.asked = "";
    feed.sub = frame.sub;
    feed.whole = !frame.more;
    this.#covered.clear();
    return feed.views.size > 0 ? feed : undefined;
  }

  /** Takes a refusal and says whether it was one of a subscription. Its views are told why, and get nothing more. */
  refused(id: string | number | undefined, problem: Problem): boolean {
    const feed = id === undefined ? undefined : [...this.#all].find((f) => f.asked === id);
    if (!feed) return false;
    this.#all.delete(feed);
    for (const view of feed.views) {
      view.problem = problem;
      view.feed = undefined;
      view.tell(new Map(), true);
    }
    return true;
  }

  /** Whether all that was asked for is here. */
  get settled(): boolean {
    for (const feed of this.#all) if (feed.views.size > 0 && !feed.whole) return false;
    return true;
  }

  /** Which properties of a thing somebody is told all of; null: none. `also` is a feed whose page is being read. */
  fields(thing: string, also?: Feed): Fields | null {
    if (also) return this.#fields(thing, (feed) => feed.whole || feed === also);
    let fields = this.#covered.get(thing);
    if (fields === undefined) this.#covered.set(thing, (fields = this.#fields(thing, (feed) => feed.whole)));
    return fields;
  }

  /** Which properties of a thing anybody wants; what was known of them before a loss stays. */
  wanted(thing: string): Fields | null {
    return this.#fields(thing, () => true);
  }

  #fields(thing: string, counts: (feed: Feed) => boolean): Fields | null {
    let some: Set<string> | null = null;
    for (const feed of this.#all) {
      if (feed.views.size === 0 || !counts(feed) || !matches(feed.wish.path, thing)) continue;
      if (!feed.wish.fields) return "all";
      some ??= new Set();
      for (const name of feed.wish.fields) some.add(name);
    }
    return some;
  }

  /** Tells the views which of their things changed, and those of a feed that is whole now in any case. */
  tell(changed: Changed, whole?: Feed): void {
    for (const feed of [...this.#all]) {
      if (![...feed.views].some((view) => view.watched)) continue;
      const mine: Changed = new Map();
      for (const [id, names] of changed) if (matches(feed.wish.path, id)) mine.set(id, names);
      if (mine.size > 0 || feed === whole) for (const view of [...feed.views]) view.tell(mine, feed === whole);
    }
  }
}

/** Whether a subscription brings all that is wished for. */
function enough(have: Wish, wish: Wish): boolean {
  if (have.path !== wish.path) return false;
  if (have.rate !== undefined && (wish.rate === undefined || wish.rate > have.rate)) return false;
  return !have.fields || (wish.fields?.every((name) => have.fields!.includes(name)) ?? false);
}
