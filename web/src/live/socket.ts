import { parseFrame, type Frame, type ClientFrame } from "./frames";
import type { Lag } from "./lag";
import { Watchdog } from "./watchdog";

/** What we need of a WebSocket: a browser's, Node's, or that of the package ws. */
export interface SocketLike {
  readonly readyState: number;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  send(text: string): void;
  close(): void;
}
export type OpenSocket = (url: string) => SocketLike;

/** How a socket ended: nothing came any more, the wire or the server broke, or the server closed it by a code. */
export type End = "silence" | "lost" | "goodbye";

/** How often the lag is measured while the wire is busy; a silent one is asked more often. */
const measureEvery = 5000;
/** A socket that opens and never greets is none. */
const greetWithin = 8000;

export interface Handlers {
  frame(frame: Frame): void;
  /** Anything came in, before its frame is handled. */
  heard(): void;
  /** Once, unless `drop` came first. */
  closed(how: End, code: number, word: string, greeted: boolean): void;
}

/** One WebSocket from opening to its one end, watched for silence. */
export class Socket {
  #ws: SocketLike;
  #lag: Lag;
  #on: Handlers | null;
  #greeted = false;
  #watchdog: Watchdog;
  #measure: ReturnType<typeof setInterval> | undefined;
  #greet: ReturnType<typeof setTimeout>;

  /** After `staleAfter` ms of silence, less a moment to say so, the wire is lost. */
  constructor(ws: SocketLike, lag: Lag, staleAfter: number, on: Handlers) {
    this.#on = on;
    this.#lag = lag;
    this.#watchdog = new Watchdog({ probe: () => this.#ask(), lost: () => this.#end("silence", 1006) }, staleAfter / 3, staleAfter / 2);
    this.#greet = setTimeout(() => this.#end("silence", 1006), greetWithin);
    this.#ws = ws;
    ws.onmessage = (e) => this.#message(e.data);
    // 1006 and 1005 are no codes that somebody sent.
    ws.onclose = (e) => this.#end(e.code === 1006 || e.code === 1005 ? "lost" : "goodbye", e.code, e.reason);
    ws.onerror = () => undefined; // its close follows and says all there is; unheard it would end a Node process
  }

  /** Says whether the socket took it. */
  send(request: ClientFrame): boolean {
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
    this.#end("goodbye", 1000);
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
    clearInterval(this.#measure);
    this.#measure = setInterval(() => this.#ask(), measureEvery);
  }

  #ask(): void {
    this.send({ type: "ping", id: this.#lag.asked() });
  }

  #end(how: End, code: number, word = ""): void {
    clearTimeout(this.#greet);
    clearInterval(this.#measure);
    this.#watchdog.stop();
    this.#lag.lost();
    this.#ws.onmessage = this.#ws.onclose = null;
    // A socket whose wire is cut would take minutes to close by itself; it is out of our hands from here.
    if (this.#ws.readyState < 2) this.#ws.close();
    const on = this.#on;
    this.#on = null;
    on?.closed(how, code, word, this.#greeted);
  }
}
