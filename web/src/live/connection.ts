import { Backoff } from "./backoff";
import { Calls, CommandError, type CommandOptions } from "./command";
import type { Wish } from "./feeds";
import type { Bye, CommandStep, ErrorFrame, Fact, Frame, Hello, Json, ClientFrame, Resync } from "./frames";
import { Lag } from "./lag";
import { nothing, type Link, type Reason } from "./link";
import { Socket, type End, type OpenSocket, type SocketLike } from "./socket";
import { Store } from "./store";
import { Sync } from "./sync";
import { Listeners, type Unsubscribe } from "./unsubscribe";
import type { View, Watcher } from "./view";
import { onWake } from "./wake";

/** The subprotocol of this client. A server that speaks another says so and is not asked again. */
export const protocol = "echotwin.v1";

/** A connection that lived so long was a success, and the backoff starts over. */
const healthyAfter = 10_000;
/** Values are called last known ones a little before their time is over, so that the screen shows it in time. */
const early = 0.9;

export interface Options {
  /** Of /ws, asked anew for each attempt. */
  url: () => string;
  /** Signs in by an auth frame where no cookie did: a token or a ticket. A function is asked for each attempt, so it may fetch a fresh one. */
  token?: string | (() => string | Promise<string>);
  store?: Store;
  /** So many ms after the last sign of life, values are called last known ones; 3000. It is asked for signs of life three times as often. */
  staleAfter?: number;
  open?: OpenSocket;
  random?: () => number;
}

/**
 * Keeps what is watched alive over as many sockets as it takes: hello, sign-in,
 * state and facts, attempts with backoff after a loss. Data goes one way: frames
 * into the store, facts and the link to listeners.
 */
export class Connection {
  readonly store: Store;
  readonly lag = new Lag();
  #options: Options;
  #staleAfter: number;
  #socket: Socket | null = null;
  #signed = false; // this socket's server knows who we are
  #sync: Sync;
  #calls = new Calls();
  #backoff: Backoff;
  #bye: Bye | null = null;
  #mustWait = false; // the server asked to wait until retryAt
  #n = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #grow: ReturnType<typeof setTimeout> | undefined; // until stale
  #well: ReturnType<typeof setTimeout> | undefined; // until healthy
  #awake: Unsubscribe | null = null; // null: not started, or ended
  #link: Link = nothing;
  #links = new Listeners<Link>();
  #facts = new Listeners<Fact>();
  #answers = new Listeners<CommandStep | ErrorFrame>();
  #gaps = new Listeners<Resync>();
  #refused = new Listeners<void>();

  constructor(options: Options) {
    this.#options = options;
    this.store = options.store ?? new Store();
    this.#staleAfter = options.staleAfter ?? 3000;
    this.#backoff = new Backoff(500, 15_000, options.random);
    this.#sync = new Sync(this.store, {
      send: (request) => this.#socket?.send(request),
      fact: (fact) => this.#facts.tell(fact),
      broken: () => {
        this.#set(this.#losing("gap"));
        this.#growStale();
      },
      settled: () => this.#settled(),
    });
  }

  get link(): Link {
    return this.#link;
  }
  get seq(): number {
    return this.#sync.cursor.seq;
  }
  get epoch(): string {
    return this.#sync.cursor.epoch;
  }
  /** How many subscriptions the server has, or is to get. */
  get subscriptions(): number {
    return this.#sync.size;
  }

  onLink(listener: (link: Link) => void): Unsubscribe {
    return this.#links.add(listener);
  }
  /** Events, alarms and steps of anybody's commands, of what is watched; each once. */
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
  /** The server does not know who we are, or closed before it said hello: perhaps the session is over. */
  onRefused(listener: () => void): Unsubscribe {
    return this.#refused.add(listener);
  }

  /**
   * Follows things until the view is closed. The watcher is called when the
   * first state is in, and then after each frame that changes one of them.
   */
  watch(wish: string | Wish, watcher?: Watcher): View {
    return this.#sync.watch(typeof wish === "string" ? { path: wish } : wish, watcher);
  }

  /** Resolves when all that is watched is here; rejects when the connection ends. */
  whenLive(): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (link: Link) => {
        if (link.phase !== "live" && link.phase !== "ended") return;
        leave();
        if (link.phase === "live") resolve();
        else reject(new Error(`the connection ended: ${link.word || link.reason} (${link.code})`));
      };
      const leave = this.onLink(look);
      look(this.#link);
    });
  }

  start(): void {
    this.#awake ??= onWake(() => this.wake());
    if (!this.#socket) this.#connect();
  }

  /** Ends for good, until start is called again. */
  close(): void {
    this.#drop();
    this.#end({ ...this.#losing("closed"), code: 1000, word: "", message: "" });
  }

  /** Tries now instead of at retryAt. Does nothing while there is a socket. */
  retryNow(): void {
    if (this.#link.phase === "waiting" && this.#awake) this.#connect();
  }

  /** Timers may have slept or the network may have come back: look at once, unless the server asked to wait. */
  wake(): void {
    this.#socket?.check();
    if (!this.#mustWait) this.retryNow();
  }

  /** Sends when live and says whether it did; nothing is ever queued. */
  send(request: ClientFrame): boolean {
    return this.#link.phase === "live" && this.#socket !== null && this.#socket.send(request);
  }

  /** Runs an action of a thing and resolves with its last step, done; every other end is a CommandError. */
  command(thing: string, action: string, input: Json = null, options: CommandOptions = {}): Promise<CommandStep> {
    const id = `cmd-${++this.#n}`;
    const { timeout, confirm, reason, key = `${id}-${Math.random().toString(36).slice(2)}${Date.now().toString(36)}` } = options;
    if (!this.send({ type: "cmd", id, thing, action, input, timeout, key, confirm, reason })) {
      return Promise.reject(new CommandError({ code: "not_live", message: "not connected; commands are never queued" }));
    }
    return this.#calls.start(id, options.onStep);
  }

  #connect(): void {
    this.#drop();
    this.#bye = null;
    this.#mustWait = false;
    this.#set({ phase: "connecting" });
    try {
      const ws = (this.#options.open ?? openGlobal)(this.#options.url());
      this.#socket = new Socket(ws, this.lag, this.#staleAfter, {
        frame: (frame) => this.#frame(frame),
        heard: () => this.#heard(),
        closed: (how, code, word, greeted) => this.#closed(how, code, word, greeted),
      });
    } catch (err) {
      this.#closed("lost", 1006, String(err), false); // a policy or an address that the browser does not allow
    }
  }

  #drop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#well);
    this.#socket?.drop();
    this.#socket = null;
    this.#signed = false;
    this.#sync.lost();
    this.#calls.lost();
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
        return this.#sync.snapshot(frame);
      case "update":
        return this.#sync.update(frame);
      case "resumed":
        return this.#sync.resumed(frame);
      case "event":
      case "alarm":
        return this.#sync.fact(frame);
      case "cmd":
        if (frame.id !== undefined) this.#answer(frame);
        return this.#sync.fact(frame);
      case "error":
        if (!this.#sync.error(frame)) this.#answer(frame);
        return;
      case "resync":
        return this.#gaps.tell(frame);
      case "bye":
        this.#bye = frame;
        return;
      case "status":
        return this.#set({ fault: frame.storing ? "" : (frame.code ?? "log_failing") });
      case "ok":
        if (frame.id === "auth") this.#begin(frame.user ?? "");
        return;
      case "ping":
      case "pong":
        return; // they say only that the wire is there
    }
  }

  #answer(answer: CommandStep | ErrorFrame): void {
    this.#calls.answer(answer);
    this.#answers.tell(answer);
  }

  #hello(frame: Hello): void {
    this.#sync.greeted(frame);
    if (this.#link.fault) this.#set({ fault: "" }); // one that lasts is said after hello
    if (frame.user) return this.#begin(frame.user);
    this.#set({ user: "" });
    if (this.#options.token === undefined) return this.#refused.tell(); // it knows nobody, and will show nothing
    void this.#signIn(this.#options.token);
  }

  async #signIn(token: NonNullable<Options["token"]>): Promise<void> {
    const socket = this.#socket;
    try {
      const fresh = typeof token === "function" ? await token() : token;
      if (socket === this.#socket) socket?.send({ type: "auth", id: "auth", token: fresh });
    } catch (err) {
      if (socket === this.#socket) this.#closed("token", 1006, err instanceof Error ? err.message : String(err), true);
    }
  }

  #begin(user: string): void {
    this.#set({ user });
    if (this.#signed) return; // renewed
    this.#signed = true;
    this.#sync.begin();
  }

  /** Everything that was asked for is here. */
  #settled(): void {
    if (this.#link.phase === "live") return;
    this.#stopGrowing();
    clearTimeout(this.#well);
    this.#well = setTimeout(() => this.#backoff.healthy(), healthyAfter);
    this.#set({ phase: "live", stale: false, reason: "", since: 0, code: 0, word: "", message: "", retryAt: 0, currentAt: Date.now() });
  }

  #closed(how: End | "token", code: number, word: string, greeted: boolean): void {
    const bye = this.#bye;
    this.#drop();
    const said = { ...this.#losing(bye ? "goodbye" : how), code, word: bye?.code ?? word, message: bye?.message ?? "" };
    if (code >= 4500 && code < 5000) return this.#end(said);
    const wish = bye?.reconnectIn || (code === 4029 ? 5000 : 0);
    const delay = Math.max(this.#backoff.next(), wish);
    this.#mustWait = wish > 0;
    this.#retry = setTimeout(() => this.#connect(), delay);
    this.#set({ ...said, phase: "waiting", retryAt: Date.now() + delay });
    this.#growStale();
    if (!greeted || code === 4001) this.#refused.tell();
  }

  #end(why: Partial<Link>): void {
    this.#awake?.();
    this.#awake = null;
    this.#stopGrowing();
    this.#set({ ...why, phase: "ended", stale: true, retryAt: 0 });
  }

  /** Why it is not live any more, and since when. */
  #losing(reason: Reason): Partial<Link> {
    const live = this.#link.phase === "live";
    return { phase: "connecting", reason, since: live ? this.#link.heardAt : this.#link.since };
  }

  #growStale(): void {
    if (this.#link.stale || this.#grow !== undefined) return;
    const left = (this.#link.since || this.#link.heardAt) + this.#staleAfter * early - Date.now();
    this.#grow = setTimeout(() => {
      this.#grow = undefined;
      this.#set({ stale: true });
    }, Math.max(0, left));
  }

  #stopGrowing(): void {
    clearTimeout(this.#grow);
    this.#grow = undefined;
  }

  #set(change: Partial<Link>): void {
    this.#link = { ...this.#link, ...change };
    this.#links.tell(this.#link);
  }
}

const openGlobal: OpenSocket = (url) => new WebSocket(url, protocol) as unknown as SocketLike;
