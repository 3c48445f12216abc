import { Backoff } from "./backoff";
import type { CommandStep, ErrorFrame, Fact, Frame, Hello, Request, Resync, Update } from "./frames";
import { Lag } from "./lag";
import { Socket, type OpenSocket } from "./socket";
import type { Store } from "./store";
import { Listeners, type Unsubscribe } from "./unsubscribe";

/**
 * connecting: a socket is opening, or open and not yet current.
 * live: the store is what the server knows.
 * waiting: lost; the next attempt is at retryAt.
 * ended: the server said not to come back, by code.
 */
export type Phase = "connecting" | "live" | "waiting" | "ended";

/** What a viewer must know about the connection. A new object at every change. */
export interface Link {
  readonly phase: Phase;
  /** Every value is a last known one: nothing was heard for nearly 3 s. */
  readonly stale: boolean;
  /** When the last frame came, ms. */
  readonly heardAt: number;
  readonly retryAt: number;
  /** The close code, when ended. */
  readonly code: number;
  readonly user: string;
  /** When the newest whole state was taken over (snapshot or resume), ms. */
  readonly currentAt: number;
}

/** After so much silence values are last known ones; a little less than the 3 s in which the screen must show it. */
const staleAfter = 2700;
/** A connection that lived so long was a success, and the backoff starts over. */
const healthyAfter = 10_000;

export interface Options {
  url: () => string;
  store: Store;
  /** What it follows. */
  sub: { path: string; rate?: number };
  open?: OpenSocket;
  random?: () => number;
}

/**
 * Keeps one subscription alive over as many sockets as it takes: hello,
 * snapshot, updates checked by prev, resume after a loss, attempts with backoff.
 * Data goes one way: frames into the store, facts and the link to listeners.
 */
export class Connection {
  #options: Options;
  #socket: Socket | null = null;
  #backoff: Backoff;
  #epoch = "";
  #cursor = 0; // a resume from here loses nothing
  #last = 0; // of the last frame, for prev; ahead of the cursor inside pages and groups of facts
  #resuming = false;
  #resumedAt = Infinity; // the update that reaches it ends the resume
  #bye = 0; // the server's wish for the next delay
  #retry: ReturnType<typeof setTimeout> | undefined;
  #grow: ReturnType<typeof setTimeout> | undefined; // until stale
  #well: ReturnType<typeof setTimeout> | undefined; // until healthy
  #link: Link = { phase: "waiting", stale: false, heardAt: 0, retryAt: 0, code: 0, user: "", currentAt: 0 };
  #links = new Listeners<Link>();
  #facts = new Listeners<Fact>();
  #answers = new Listeners<CommandStep | ErrorFrame>();
  #gaps = new Listeners<Resync>();
  #refused = new Listeners<void>();
  readonly lag = new Lag();

  constructor(options: Options) {
    this.#options = options;
    this.#backoff = new Backoff(500, 15_000, options.random);
  }

  get link(): Link {
    return this.#link;
  }
  get seq(): number {
    return this.#cursor;
  }
  get epoch(): string {
    return this.#epoch;
  }

  onLink(listener: (link: Link) => void): Unsubscribe {
    return this.#links.add(listener);
  }
  /** Events, alarms and steps of anybody's commands, once each per cursor. */
  onFact(listener: (fact: Fact) => void): Unsubscribe {
    return this.#facts.add(listener);
  }
  /** Answers to what was sent with an id: steps of own commands, and errors. */
  onAnswer(listener: (answer: CommandStep | ErrorFrame) => void): Unsubscribe {
    return this.#answers.add(listener);
  }
  /** Facts that can no longer be replayed. */
  onGap(listener: (gap: Resync) => void): Unsubscribe {
    return this.#gaps.add(listener);
  }
  /** A socket closed before the server said hello, or the hello named nobody: perhaps the session is over. */
  onRefused(listener: () => void): Unsubscribe {
    return this.#refused.add(listener);
  }

  start(): void {
    this.#connect();
  }

  /** Ends for good. */
  stop(): void {
    this.#drop();
    this.#set({ phase: "ended", code: 1000 });
  }

  /** Tries now instead of at retryAt. Does nothing while there is a socket. */
  retryNow(): void {
    if (this.#link.phase === "waiting") this.#connect();
  }

  /** Timers may have slept or the network may have come back: look at once. */
  wake(): void {
    this.#socket?.check();
    this.retryNow();
  }

  /** Sends when live and says whether it did; nothing is ever queued. */
  send(request: Request): boolean {
    return this.#link.phase === "live" && this.#socket !== null && this.#socket.send(request);
  }

  #connect(): void {
    this.#drop();
    this.#bye = 0;
    this.#set({ phase: "connecting" });
    const socket = new Socket(this.#options.url(), this.#options.open, this.lag, {
      frame: (frame) => this.#frame(frame),
      heard: () => this.#heard(),
      closed: (code, greeted) => this.#closed(code, greeted),
    });
    this.#socket = socket;
  }

  #drop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#well);
    this.#socket?.drop();
    this.#socket = null;
    this.#resuming = false;
    this.#resumedAt = Infinity;
    this.#options.store.interrupted();
  }

  #heard(): void {
    // Not announced: it changes with every frame. stale and phase are.
    this.#link = { ...this.#link, heardAt: Date.now() };
  }

  #frame(frame: Frame): void {
    switch (frame.type) {
      case "hello":
        return this.#hello(frame);
      case "snapshot":
        this.#options.store.snapshot(frame);
        this.#epoch = frame.epoch;
        this.#last = frame.seq;
        if (frame.more) return; // a page is no cursor
        this.#cursor = frame.seq;
        return this.#current();
      case "update":
        return this.#update(frame);
      case "resumed":
        this.#resuming = false;
        // A delta ends with an update that says all of it; a snapshot with its last page.
        if (frame.mode === "delta") this.#resumedAt = frame.seq;
        return;
      case "event":
      case "alarm":
        return this.#fact(frame);
      case "cmd":
        if (frame.id !== undefined) this.#answers.tell(frame);
        return this.#fact(frame);
      case "error":
        return this.#answers.tell(frame);
      case "resync":
        return this.#gaps.tell(frame);
      case "bye":
        this.#bye = frame.reconnectIn ?? 0;
        return;
      case "ping":
      case "pong":
      case "ok":
        return; // they say only that the wire is there
    }
  }

  #update(frame: Update): void {
    // A frame is missing before this one: ask for what it said, and for this one again.
    if (frame.prev > this.#last) return this.#resuming ? undefined : this.#resume();
    this.#options.store.update(frame);
    this.#last = Math.max(this.#last, frame.seq);
    this.#cursor = Math.max(this.#cursor, frame.seq);
    if (frame.seq >= this.#resumedAt) this.#current();
  }

  #fact(frame: Fact): void {
    if (frame.seq !== undefined) {
      this.#last = Math.max(this.#last, frame.seq);
      // Facts that share a seq say `more` on all but the last: only that one moves the cursor.
      if (!frame.more) this.#cursor = Math.max(this.#cursor, frame.seq);
    }
    this.#facts.tell(frame);
  }

  #hello(frame: Hello): void {
    this.#set({ user: frame.user ?? "" });
    if (!frame.user) this.#refused.tell(); // it knows nobody, and will show nothing
    if (this.#cursor > 0 && this.#epoch === frame.epoch) return this.#resume();
    // Another epoch is another log: its numbers mean nothing here.
    this.#epoch = frame.epoch;
    this.#last = this.#cursor = 0;
    this.#socket?.send({ type: "sub", ...this.#options.sub });
  }

  #resume(): void {
    this.#resuming = true;
    this.#last = this.#cursor;
    this.#socket?.send({ type: "resume", epoch: this.#epoch, seq: this.#cursor, subs: [this.#options.sub] });
  }

  #current(): void {
    this.#resumedAt = Infinity;
    clearTimeout(this.#grow);
    this.#grow = undefined;
    clearTimeout(this.#well);
    this.#well = setTimeout(() => this.#backoff.healthy(), healthyAfter);
    this.#set({ phase: "live", stale: false, currentAt: Date.now() });
  }

  #closed(code: number, greeted: boolean): void {
    this.#drop();
    this.#growStale();
    if (code === 4001 || code >= 4500) return this.#set({ phase: "ended", code });
    const delay = Math.max(this.#backoff.next(), this.#bye, code === 4029 ? 5000 : 0);
    this.#retry = setTimeout(() => this.#connect(), delay);
    this.#set({ phase: "waiting", retryAt: Date.now() + delay });
    if (!greeted) this.#refused.tell();
  }

  #growStale(): void {
    if (this.#link.stale || this.#grow !== undefined) return;
    const left = this.#link.heardAt + staleAfter - Date.now();
    this.#grow = setTimeout(() => this.#set({ stale: true }), Math.max(0, left));
  }

  #set(change: Partial<Link>): void {
    this.#link = { ...this.#link, ...change };
    this.#links.tell(this.#link);
  }
}
