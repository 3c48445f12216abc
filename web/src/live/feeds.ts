import type { Problem, ClientFrame, Snapshot, Update } from "./frames";
import { isPlace, matches } from "./pattern";
import type { Changed, Fields } from "./store";
import type { View } from "./view";

/** What somebody wants to follow. */
export interface Wish {
  /** A thing, a pattern (* stands for one segment, a last ** for one or more), or under: and a place, for all that stands below it. */
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
  /** Of a place: the things that stand below it, as the server says. */
  members: Set<string>;
  /** Of a place: what the pages of its snapshot have named so far. */
  paged: Set<string>;
}

/** The things that each feed has no more. */
export type Leavers = Map<Feed, string[]>;

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
      feed = { wish: view.wish, views: new Set(), asked: "", sub: "", whole: false, members: new Set(), paged: new Set() };
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
      feed.paged.clear();
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
      feed.paged.clear();
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

  /** Takes what a frame says of who belongs to a place, before its things are read. */
  joined(frame: Update): void {
    for (const feed of this.#places()) {
      for (const id of frame.joined?.[feed.sub] ?? []) feed.members.add(id);
    }
    if (frame.joined) this.#covered.clear();
  }

  /** Takes the things that a page of a place's snapshot names. */
  name(feed: Feed, frame: Snapshot): void {
    for (const [id, change] of Object.entries(frame.things)) {
      if (change === null) continue;
      feed.paged.add(id);
      feed.members.add(id);
    }
  }

  /** Takes who belongs to a place no more, after the things of the frame were read: who left, who is gone, and with its last page whom a snapshot did not name. */
  part(frame: Snapshot | Update, whole?: Feed): Leavers {
    const out: Leavers = new Map();
    const gone = Object.keys(frame.things).filter((id) => frame.things[id] === null || frame.things[id]?.removed);
    for (const feed of this.#places()) {
      const left = [...gone, ...(frame.left?.[feed.sub] ?? [])];
      for (const id of left) feed.paged.delete(id);
      if (feed === whole) {
        for (const id of feed.members) if (!feed.paged.has(id)) left.push(id);
        feed.paged.clear();
      }
      const mine = left.filter((id) => feed.members.delete(id));
      if (mine.length > 0) out.set(feed, mine);
    }
    if (out.size > 0) this.#covered.clear();
    return out;
  }

  *#places(): Iterable<Feed> {
    for (const feed of this.#all) if (isPlace(feed.wish.path)) yield feed;
  }

  /** Whether a fact of the thing is for somebody. What stands below a place and has said nothing else is known to the server alone. */
  hears(thing: string): boolean {
    if (this.fields(thing) !== null) return true;
    for (const feed of this.#places()) if (feed.whole && feed.views.size > 0) return true;
    return false;
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
      if (feed.views.size === 0 || !counts(feed) || !covers(feed, thing)) continue;
      if (!feed.wish.fields) return "all";
      some ??= new Set();
      for (const name of feed.wish.fields) some.add(name);
    }
    return some;
  }

  /** Tells the views which of their things changed, and those of a feed that is whole now in any case. */
  tell(changed: Changed, whole?: Feed, left?: Leavers): void {
    for (const feed of [...this.#all]) {
      if (![...feed.views].some((view) => view.watched)) continue;
      const mine: Changed = new Map();
      for (const [id, names] of changed) if (covers(feed, id)) mine.set(id, names);
      for (const id of left?.get(feed) ?? []) mine.set(id, []);
      if (mine.size > 0 || feed === whole) for (const view of [...feed.views]) view.tell(mine, feed === whole);
    }
  }
}

function covers(feed: Feed, thing: string): boolean {
  return isPlace(feed.wish.path) ? feed.members.has(thing) : matches(feed.wish.path, thing);
}

/** Whether a subscription brings all that is wished for. */
function enough(have: Wish, wish: Wish): boolean {
  if (have.path !== wish.path) return false;
  if (have.rate !== undefined && (wish.rate === undefined || wish.rate > have.rate)) return false;
  return !have.fields || (wish.fields?.every((name) => have.fields!.includes(name)) ?? false);
}
