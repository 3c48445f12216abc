import { Cursor } from "./cursor";
import { Feeds, type Feed, type Wish } from "./feeds";
import type { ErrorFrame, Fact, Hello, ClientFrame, Resumed, Snapshot, Update } from "./frames";
import { isPlace, matches } from "./pattern";
import type { Changed, Store } from "./store";
import { View, type Watcher } from "./view";

/** What goes on outside. */
export interface Outside {
  send(request: ClientFrame): void;
  fact(fact: Fact): void;
  /** A frame was missing: until the next `settled` the store is not what the server knows. */
  broken(): void;
  /** The store is what the server knows. Told again and again. */
  settled(): void;
}

/**
 * Keeps the store what the server knows, over one socket after another: views
 * become subscriptions, snapshots and updates go into the store, a broken chain
 * and a new socket are answered by a resume.
 */
export class Sync {
  readonly cursor = new Cursor();
  #feeds = new Feeds();
  #store: Store;
  #out: Outside;
  #open = false; // the server takes requests
  #mostBytes = Infinity; // of a request
  #resume: { id: string; feeds: Feed[] } | null = null; // asked for and not answered
  #resumedAt = Infinity; // the update that reaches it ends the resume
  #broken = 0; // gaps since the last update that followed
  #n = 0;
  #flushing = false;
  #later: ReturnType<typeof setTimeout> | undefined;

  constructor(store: Store, out: Outside) {
    this.#store = store;
    this.#out = out;
  }

  /** Subscriptions that the server has, or is to get. */
  get size(): number {
    return this.#feeds.size;
  }

  watch(wish: Wish, watcher: Watcher | undefined): View {
    const view = new View(wish, watcher, this.#store, (gone) => {
      this.#feeds.leave(gone);
      this.#flushSoon();
    });
    if (this.#feeds.join(view).whole) {
      queueMicrotask(() => view.tell(new Map(view.things().map((thing) => [thing.id, [...thing.values.keys()]])), true));
    }
    this.#flushSoon();
    return view;
  }

  /** A server greets. Another epoch is another log: what is here stays, as last known, until its snapshot is in. */
  greeted(hello: Hello): void {
    this.#mostBytes = hello.limits?.frame ?? Infinity;
    if (this.cursor.epoch === hello.epoch) return;
    this.cursor.reset(hello.epoch);
    this.#feeds.restart();
  }

  /** The server takes requests from now on: go on where we were, and ask for what is new. */
  begin(): void {
    this.#open = true;
    this.#goOn();
    this.#flush();
    this.#settle();
  }

  /** The socket is gone. */
  lost(): void {
    clearTimeout(this.#later);
    this.#open = false;
    this.#resume = null;
    this.#resumedAt = Infinity;
    this.#feeds.lost();
    this.#store.interrupted();
  }

  snapshot(frame: Snapshot): void {
    if (this.#resume) return; // on its way since before the resume, which brings it again
    const feed = this.#feeds.page(frame);
    this.cursor.took(frame);
    if (!feed) return this.#flush(); // nobody wants it any more, and now it has a name
    const place = isPlace(feed.wish.path);
    if (place) this.#feeds.name(feed, frame);
    const changed = this.#store.snapshot(frame, (id) => !place && matches(feed.wish.path, id), (id) => this.#feeds.fields(id, feed));
    this.#left(frame, changed, frame.more ? undefined : feed);
    this.#settle();
  }

  update(frame: Update): void {
    if (this.#resume) return;
    if (!this.cursor.follows(frame)) return this.#gap();
    this.#broken = 0;
    this.cursor.took(frame);
    this.#feeds.joined(frame);
    this.#left(frame, this.#store.update(frame, (id) => this.#feeds.fields(id)));
    if (frame.seq < this.#resumedAt) return;
    this.#resumedAt = Infinity;
    this.#settle();
  }

  /** Forgets what left a place, and tells what the frame changed. */
  #left(frame: Snapshot | Update, changed: Changed, whole?: Feed): void {
    const left = this.#feeds.part(frame, whole);
    if (left.size > 0) this.#store.prune((thing) => this.#feeds.wanted(thing));
    this.#feeds.tell(changed, whole, left);
  }

  fact(frame: Fact): void {
    if (this.#resume && frame.seq !== undefined) return;
    if (!this.cursor.isNews(frame)) return;
    const own = frame.seq === undefined || (frame.type === "cmd" && frame.id !== undefined);
    if (own || this.#feeds.hears(frame.thing ?? "")) this.#out.fact(frame);
  }

  resumed(frame: Resumed): void {
    if (!this.#resume) return;
    this.#feeds.resumed(this.#resume.feeds, frame.subs ?? [], frame.mode === "delta");
    this.#resume = null;
    // A delta ends with an update that says all of it; a snapshot with its last page.
    if (frame.mode === "delta") this.#resumedAt = frame.seq;
    this.#flush();
  }

  /** Says whether the error was about something of ours. */
  error(frame: ErrorFrame): boolean {
    if (frame.id !== undefined && frame.id === this.#resume?.id) {
      this.#startOver();
      this.#flush();
      return true;
    }
    if (this.#feeds.refused(frame.id, frame)) {
      this.#settle();
      return true;
    }
    // Something that we sent was not done, and nobody says what: a resume sets everything right.
    if (frame.code === "too_many" && frame.id === undefined && this.#open) this.#inASecond(() => this.#gap());
    return false;
  }

  #goOn(): void {
    const feeds = this.#feeds.toResume();
    const { epoch, seq } = this.cursor;
    const id = `resume-${++this.#n}`;
    const request: ClientFrame = { type: "resume", id, epoch, seq, subs: feeds.map((feed) => feed.wish) };
    if (feeds.length === 0 || JSON.stringify(request).length > this.#mostBytes) return this.#startOver();
    this.cursor.rewind();
    this.#resumedAt = Infinity;
    this.#resume = { id, feeds };
    this.#out.send(request);
  }

  #startOver(): void {
    this.cursor.reset(this.cursor.epoch);
    this.#feeds.restart();
    this.#resume = null;
    this.#resumedAt = Infinity;
  }

  /** A frame is missing before this one: ask for what it said, and for this one again. */
  #gap(): void {
    this.#out.broken();
    if (++this.#broken < 3) this.#goOn();
    else {
      this.#out.send({ type: "unsub" }); // resuming does not help: all from the start
      this.#startOver();
    }
    this.#flush();
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Brings the server's subscriptions in line with what is wanted. */
  #flush(): void {
    if (!this.#open) this.#feeds.lost();
    else {
      const { requests, more } = this.#feeds.due();
      for (const request of requests) {
        if (request.type === "unsub") this.#store.interrupted(request.sub);
        this.#out.send(request);
      }
      if (more) this.#inASecond(() => this.#flush());
    }
    this.#store.prune((thing) => this.#feeds.wanted(thing));
    this.#settle(); // perhaps what it waited for is not wanted any more
  }

  #inASecond(call: () => void): void {
    clearTimeout(this.#later);
    this.#later = setTimeout(call, 1000);
  }

  #settle(): void {
    if (this.#open && !this.#resume && this.#resumedAt === Infinity && this.#feeds.settled) this.#out.settled();
  }
}
