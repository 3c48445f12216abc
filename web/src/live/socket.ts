import { parseFrame, type Frame, type Request } from "./frames";
import type { Lag } from "./lag";
import { Watchdog } from "./watchdog";

/** What we need of a WebSocket; tests hand in their own. */
export type OpenSocket = (url: string) => WebSocket;

/** How often the lag is measured while the wire is busy; a silent one is asked every second. */
const measureEvery = 5000;
/** A socket that opens and never greets is none. */
const greetWithin = 8000;

export interface Handlers {
  frame(frame: Frame): void;
  /** Anything came in, before its frame is handled. */
  heard(): void;
  /** Once, unless `drop` came first. Code 1006: the wire was lost. */
  closed(code: number, greeted: boolean): void;
}

/** One WebSocket from opening to its one end, watched for silence. */
export class Socket {
  #ws: WebSocket;
  #lag: Lag;
  #on: Handlers | null;
  #greeted = false;
  #watchdog: Watchdog;
  #measure: ReturnType<typeof setInterval> | undefined;
  #greet: ReturnType<typeof setTimeout>;

  constructor(url: string, open: OpenSocket = (u) => new WebSocket(u), lag: Lag, on: Handlers) {
    this.#on = on;
    this.#lag = lag;
    this.#watchdog = new Watchdog({ probe: () => this.#ask(), lost: () => this.#end(1006) });
    this.#greet = setTimeout(() => this.#end(1006), greetWithin);
    this.#ws = open(url);
    this.#ws.onmessage = (e: MessageEvent) => this.#message(e.data);
    this.#ws.onclose = (e: CloseEvent) => this.#end(e.code);
  }

  /** Says whether the socket took it. */
  send(request: Request): boolean {
    if (this.#ws.readyState !== 1) return false;
    this.#ws.send(JSON.stringify(request));
    return true;
  }

  check(): void {
    this.#watchdog.check();
  }

  /** Closes without a word to the handlers. */
  drop(): void {
    this.#on = null;
    this.#end(1000);
  }

  #message(data: unknown): void {
    this.#watchdog.heard();
    this.#on?.heard();
    const frame = parseFrame(data);
    if (!frame) return;
    if (frame.type === "hello") this.#begin();
    if (frame.type === "pong") this.#lag.answered(frame);
    this.#on?.frame(frame);
  }

  #begin(): void {
    this.#greeted = true;
    clearTimeout(this.#greet);
    this.#watchdog.start();
    this.#ask();
    this.#measure = setInterval(() => this.#ask(), measureEvery);
  }

  #ask(): void {
    this.send({ type: "ping", id: this.#lag.asked() });
  }

  #end(code: number): void {
    clearTimeout(this.#greet);
    clearInterval(this.#measure);
    this.#watchdog.stop();
    this.#lag.lost();
    this.#ws.onmessage = this.#ws.onclose = null;
    // A socket whose wire is cut would take minutes to close by itself; it is out of our hands from here.
    if (this.#ws.readyState < 2) this.#ws.close();
    const on = this.#on;
    this.#on = null;
    on?.closed(code, this.#greeted);
  }
}
