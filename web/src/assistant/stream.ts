/**
 * Carries one question to the server and brings back the events of its run,
 * each once and in order, over as many connections as that takes.
 *
 * A run lives on the server apart from any connection. When one is cut, the
 * next asks for what came after the last event seen (Last-Event-ID), so no
 * token is lost or given twice. A server that says nothing for SILENCE, not
 * even its heartbeat, counts as cut.
 */

import { isEnd, readEvent, type RunEvent } from "./events";
import { EventParser } from "./sse";

/** The server's heartbeat comes every 15 s. Two missed ones and some slack. */
export const SILENCE = 40_000;

/** How long a cut may last until the answer is given up. */
export const PATIENCE = 120_000;

/** What the stream needs of the browser. Tests hand in their own. */
export interface Net {
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Resolves after `ms`, or sooner when trying again is worth it. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
  now(): number;
}

/** Why the server took no question, or the answer could not be brought home. */
export interface Refusal {
  code: string;
  message: string;
  /** The HTTP status, 0 when there was no answer at all. */
  status: number;
  /** Seconds, when the server said when to come back. */
  retryAfter?: number;
}

/** Called for each event once, in order. `id` is its place in the run, from 1. */
export type OnEvent = (id: number, event: RunEvent) => void;

/**
 * Asks, and reads until the run ends. Resolves with nothing when the last event
 * was given (done or failed, see events.ts), else with why not. Rejects only when `signal`
 * ends it. `onCut` is told when a connection broke and when it is back.
 */
export async function ask(
  net: Net,
  question: string,
  conversation: string,
  on: OnEvent,
  onCut: (cut: boolean) => void,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const reader = new RunReader(net, on, onCut, signal);
  const body = JSON.stringify(conversation === "" ? { question } : { question, conversation });
  const refusal = await reader.read("/api/gpt", {
    method: "POST",
    headers: { Accept: "text/event-stream", "Content-Type": "application/json" },
    body,
  });
  if (refusal || reader.ended) return refusal;
  // A question whose run is not known is not asked again by itself: it may be running, and cost.
  if (reader.run === "") return { code: "cut", message: "", status: 0 };
  return reader.resume();
}

/** Takes up a run after its event `last`, as ask does after a cut. */
export async function follow(
  net: Net,
  run: string,
  last: number,
  on: OnEvent,
  onCut: (cut: boolean) => void,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const reader = new RunReader(net, on, onCut, signal);
  reader.run = run;
  reader.last = last;
  return reader.resume();
}

/** Stops a run. False when the server could not be told; it then stops by itself 30 s after the last reader left. */
export async function cancel(net: Net, run: string): Promise<boolean> {
  try {
    const res = await net.fetch(`${runURL(run)}/cancel`, { method: "POST", keepalive: true });
    return res.ok || res.status === 404 || res.status === 409;
  } catch {
    return false;
  }
}

const runURL = (run: string) => `/api/gpt/runs/${encodeURIComponent(run)}`;

class RunReader {
  run = "";
  last = 0;
  ended = false;
  #net: Net;
  #on: OnEvent;
  #onCut: (cut: boolean) => void;
  #signal: AbortSignal;

  constructor(net: Net, on: OnEvent, onCut: (cut: boolean) => void, signal: AbortSignal) {
    this.#net = net;
    this.#on = on;
    this.#onCut = onCut;
    this.#signal = signal;
  }

  /** Connects again and again until the run ends, the server says no, or patience does. */
  async resume(): Promise<Refusal | undefined> {
    let since = this.#net.now();
    for (let tries = 0; ; tries++) {
      const before = this.last;
      const refusal = await this.read(`${runURL(this.run)}/events`, {
        headers: { Accept: "text/event-stream", "Last-Event-ID": String(this.last) },
      });
      if (this.ended) return undefined;
      if (refusal && !comesBack(refusal.status)) return refusal;
      if (this.last > before) {
        since = this.#net.now();
        tries = 0;
      }
      if (this.#net.now() - since > PATIENCE) return refusal ?? { code: "cut", message: "", status: 0 };
      this.#onCut(true);
      // Half of it by chance, so that a restarted server does not get all its readers at once.
      const delay = Math.min(250 * 2 ** tries, 4000);
      await this.#net.wait(Math.max(delay * (0.5 + Math.random() / 2), (refusal?.retryAfter ?? 0) * 1000), this.#signal);
      this.#signal.throwIfAborted();
    }
  }

  /** One connection. Resolves with nothing when it was a stream, however that ended. */
  async read(url: string, init: RequestInit): Promise<Refusal | undefined> {
    const attempt = new AbortController();
    const stop = () => attempt.abort(this.#signal.reason);
    this.#signal.throwIfAborted();
    this.#signal.addEventListener("abort", stop);
    const watch = new Watch(() => attempt.abort(new Error("silence")));
    try {
      const res = await this.#net.fetch(url, { ...init, signal: attempt.signal });
      if (res.status === 204) return { code: "run_over", message: "", status: 204 };
      if (!res.ok) return await refusalOf(res);
      if (!res.body || !/^text\/event-stream/i.test(res.headers.get("Content-Type") ?? "")) {
        return { code: "not_a_stream", message: "", status: res.status };
      }
      await this.#drain(res.body, watch);
      return undefined;
    } catch (err) {
      this.#signal.throwIfAborted();
      if (err instanceof BrokenStream) return { code: "not_a_stream", message: err.message, status: 200 };
      return undefined;
    } finally {
      watch.end();
      attempt.abort();
      this.#signal.removeEventListener("abort", stop);
    }
  }

  async #drain(body: ReadableStream<Uint8Array>, watch: Watch): Promise<void> {
    const decoder = new TextDecoder();
    const parser = new EventParser((m) => this.#take(m.id, m.data));
    const reader = body.getReader();
    let first = true;
    while (!this.ended) {
      const { done, value } = await reader.read();
      if (done) return;
      watch.alive();
      if (first) this.#onCut(false);
      first = false;
      try {
        parser.feed(decoder.decode(value, { stream: true }));
      } catch (err) {
        throw err instanceof Gap ? err : new BrokenStream(String(err));
      }
    }
  }

  #take(id: string, data: string): void {
    if (this.ended) return;
    const n = Number(id);
    if (!Number.isSafeInteger(n) || n <= this.last) return;
    // The server numbers without gaps, so one is missing. Ask again for what comes after the last.
    if (n > this.last + 1) throw new Gap();
    const event = readEvent(data);
    this.last = n;
    // An event of a newer server. Its place counts, so that a resume does not bring it again.
    if (!event) return;
    if (event.type === "start") this.run = event.run;
    this.ended = isEnd(event);
    this.#on(n, event);
  }
}

class BrokenStream extends Error {}
class Gap extends Error {}

/** Calls `bark` when `alive` was not called for SILENCE. */
class Watch {
  #timer: ReturnType<typeof setTimeout>;
  #bark: () => void;

  constructor(bark: () => void) {
    this.#bark = bark;
    this.#timer = setTimeout(bark, SILENCE);
  }
  alive(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#bark, SILENCE);
  }
  end(): void {
    clearTimeout(this.#timer);
  }
}

/** Whether a refused resume is worth another try: the server restarts, or asks for patience. */
function comesBack(status: number): boolean {
  return status === 0 || status === 429 || status === 502 || status === 503 || status === 504;
}

async function refusalOf(res: Response): Promise<Refusal> {
  const refusal: Refusal = { code: "", message: "", status: res.status };
  const after = Number(res.headers.get("Retry-After"));
  if (Number.isFinite(after) && after > 0) refusal.retryAfter = after;
  try {
    const body: unknown = await res.json();
    if (typeof body === "object" && body !== null) {
      if ("code" in body && typeof body.code === "string") refusal.code = body.code;
      if ("error" in body && typeof body.error === "string") refusal.message = body.error;
    }
  } catch {
    // Not ours, a proxy's page perhaps. The status says enough.
  }
  return refusal;
}

/** The browser's net. Coming back online ends a wait. */
export const browserNet: Net = {
  fetch: (url, init) => fetch(url, { credentials: "same-origin", cache: "no-store", ...init }),
  now: () => performance.now(),
  wait: (ms, signal) =>
    new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        removeEventListener("online", end);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      addEventListener("online", end);
      signal.addEventListener("abort", end);
    }),
};
