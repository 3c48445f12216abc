import { Backoff } from "../live/backoff";
import type { ErrorFrame, Fact, Frame, OfThePast, Replayed, Replaying, Resync } from "../live/frames";
import { Lag } from "../live/lag";
import { Socket, type OpenSocket } from "../live/socket";
import { Store } from "../live/store";
import { Listeners, type Unsubscribe } from "../live/unsubscribe";

/** connecting also after a loss; refused: what was asked for cannot be, and the message says why. */
export type Phase = "connecting" | "playing" | "paused" | "ended" | "refused";

export interface Course {
  /** The moment to show, ms since 1970. */
  at: number;
  speed: number;
  paused: boolean;
}

export interface State {
  phase: Phase;
  speed: number;
  /** Why it was refused or ended early; of a refusal also the moment that would be allowed. */
  message: string;
  earliest: number;
}

/** Who drags a slider passes many moments; so many ms apart the server is asked for one. */
const seekEvery = 120;
const staleAfter = 9000;
/** As the live screen has it. */
const wish = { path: "**", rate: 10 } as const;

/**
 * Plays the past over a connection of its own, so that the live one goes on
 * beside it: the screen is back in the present at once, and still hears when
 * that is lost. A lost line goes on at the moment where it was.
 */
export class Player {
  readonly store = new Store();
  #open: OpenSocket;
  #url: string;
  #socket: Socket | null = null;
  #lag = new Lag();
  #backoff = new Backoff(500, 15_000);
  #retry: ReturnType<typeof setTimeout> | undefined;
  #seek: ReturnType<typeof setTimeout> | undefined;
  #asked = 0; // when the server was asked last, by performance.now
  #n = 0;
  #course: Course;
  #epoch = "";
  #anchor = 0; // the clock showed course.at then, by performance.now
  #skew = 0; // the server's clock less ours
  #state: State;
  #states = new Listeners<State>();
  #facts = new Listeners<Fact>();
  #gaps = new Listeners<Resync>();
  #starts = new Listeners<void>();

  constructor(url: string, open: OpenSocket, course: Course) {
    this.#url = url;
    this.#open = open;
    this.#course = { ...course };
    this.#state = { phase: "connecting", speed: course.speed, message: "", earliest: NaN };
    this.#connect();
  }

  get state(): State {
    return this.#state;
  }
  get course(): Course {
    return { ...this.#course, at: this.now() };
  }

  onState(listener: (state: State) => void): Unsubscribe {
    return this.#states.add(listener);
  }
  onFact(listener: (fact: Fact) => void): Unsubscribe {
    return this.#facts.add(listener);
  }
  onGap(listener: (gap: Resync) => void): Unsubscribe {
    return this.#gaps.add(listener);
  }
  /** Another moment is shown from here on: what led to the one before is no longer what led here. */
  onStart(listener: () => void): Unsubscribe {
    return this.#starts.add(listener);
  }

  /** The moment that is shown, ms. */
  now(): number {
    const { at, speed } = this.#course;
    if (this.#state.phase !== "playing") return at;
    return Math.min(at + (performance.now() - this.#anchor) * speed, this.present());
  }

  /** The present, by the server's clock. */
  present(): number {
    return Date.now() + this.#skew;
  }

  /** Shows another moment. */
  seek(at: number): void {
    this.#course.at = Math.min(at, this.present() - 1000);
    this.#anchor = performance.now();
    if (this.#state.phase === "refused" || this.#state.phase === "ended") this.#set({ phase: "connecting", message: "" });
    if (this.#seek !== undefined) return;
    this.#seek = setTimeout(() => {
      this.#seek = undefined;
      this.#ask();
    }, Math.max(0, this.#asked + seekEvery - performance.now()));
  }

  play(): void {
    if (this.#state.phase === "ended") return;
    this.#steer({ paused: false });
  }
  pause(): void {
    this.#steer({ paused: true });
  }
  hurry(speed: number): void {
    this.#steer({ speed });
  }

  close(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#seek);
    this.#socket?.drop();
    this.#socket = null;
  }

  #steer(change: Partial<Course>): void {
    Object.assign(this.#course, { at: this.now() }, change);
    this.#anchor = performance.now();
    const { speed, paused } = this.#course;
    const running = this.#state.phase === "playing" || this.#state.phase === "paused";
    this.#set({ speed, ...(running ? { phase: paused ? "paused" : "playing" } : {}) });
    if (running && this.#seek === undefined) this.#socket?.send({ type: "replay", id: this.#id(), speed, pause: paused });
  }

  #connect(): void {
    try {
      this.#socket = new Socket(this.#open(this.#url), this.#lag, staleAfter, {
        frame: (frame) => this.#frame(frame),
        heard: () => undefined,
        closed: (_how, code, word) => this.#closed(code, word),
      });
    } catch (err) {
      this.#closed(1006, String(err));
    }
  }

  #closed(code: number, word: string): void {
    this.#course.at = this.now();
    this.#socket = null;
    this.store.interrupted();
    if (code >= 4500 && code < 5000) return this.#set({ phase: "refused", message: `${word} (${code})` });
    this.#set({ phase: "connecting" });
    this.#retry = setTimeout(() => this.#connect(), this.#backoff.next());
  }

  #ask(): void {
    this.#asked = performance.now();
    const { at, speed, paused } = this.#course;
    this.#socket?.send({ type: "replay", id: this.#id(), from: Math.round(at), speed, pause: paused });
  }

  #id(): string {
    return `replay-${++this.#n}`;
  }

  #frame(frame: Frame & OfThePast): void {
    switch (frame.type) {
      case "hello":
        if (!frame.user) return; // the session is over, which the live connection sees and says
        this.#socket?.send({ type: "sub", id: "sub", ...wish });
        return this.#ask();
      case "error":
        return this.#refused(frame);
      case "replaying":
        return this.#replaying(frame);
    }
    if (!frame.replay) return; // of the present, from before the replay began
    switch (frame.type) {
      case "snapshot":
        this.store.snapshot(frame);
        break;
      case "update":
        this.store.update(frame);
        break;
      case "event":
      case "alarm":
      case "cmd":
        this.#facts.tell(frame);
        break;
      case "resync":
        return this.#gaps.tell(frame);
      case "replayed":
        return this.#replayed(frame);
    }
    // While a jump is on its way, what comes is still of the moment before.
    if (frame.type !== "snapshot" && frame.at && this.#state.phase === "playing" && this.#seek === undefined) this.#anchorAt(frame.at);
  }

  #anchorAt(at: string): void {
    const ms = Date.parse(at);
    // The clock never goes back by the little that a frame was late.
    if (Number.isFinite(ms) && (ms > this.now() || this.now() - ms > 1000 * this.#course.speed)) {
      this.#course.at = ms;
      this.#anchor = performance.now();
    }
  }

  #replaying(frame: Replaying): void {
    this.#skew = Date.parse(frame.ts) - Date.now();
    this.#backoff.healthy();
    const answered = frame.id === undefined || frame.id === `replay-${this.#n}`;
    if (frame.epoch !== this.#epoch) {
      this.#epoch = frame.epoch;
      this.#starts.tell();
    }
    if (!answered || this.#seek !== undefined) return; // a newer wish is on its way
    Object.assign(this.#course, { at: Date.parse(frame.at), speed: frame.speed, paused: frame.paused });
    this.#anchor = performance.now();
    const ended = this.#state.phase === "ended" && frame.id === undefined;
    this.#set({ phase: ended ? "ended" : frame.paused ? "paused" : "playing", speed: frame.speed, message: "", earliest: NaN });
  }

  #replayed(frame: Replayed): void {
    this.#course.at = Date.parse(frame.at);
    this.#set({ phase: "ended", message: frame.message ?? "" });
  }

  #refused(frame: ErrorFrame): void {
    if (frame.id !== `replay-${this.#n}`) return;
    const earliest = frame.code === "out_of_range" && frame.minimum !== undefined ? frame.minimum : NaN;
    this.#set({ phase: "refused", message: frame.message, earliest });
  }

  #set(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    this.#states.tell(this.#state);
  }
}
