import type { Pong } from "./frames";

const keep = 5;

/**
 * How long a question to the server takes, there and back, and how far the
 * server's clock is from ours. Both are medians of the last few answers, so
 * that one slow answer does not make the number jump.
 */
export class Lag {
  #asked = new Map<string, number>();
  #trips: number[] = [];
  #skews: number[] = [];
  #n = 0;

  /** Round trip in ms; NaN before the first answer. */
  get trip(): number {
    return median(this.#trips);
  }

  /** Server's clock minus ours in ms; NaN when the server does not say its time. */
  get skew(): number {
    return median(this.#skews);
  }

  /** Notes a question and gives its id. */
  asked(): string {
    const id = `p${++this.#n}`;
    this.#asked.set(id, performance.now());
    return id;
  }

  answered(pong: Pong): void {
    const id = String(pong.id ?? this.#asked.keys().next().value);
    const sent = this.#asked.get(id);
    if (sent === undefined) return;
    this.#asked.delete(id);
    const now = performance.now();
    push(this.#trips, now - sent);
    if (pong.ts) push(this.#skews, Date.parse(pong.ts) - (Date.now() - (now - sent) / 2));
  }

  /** The connection is gone, and with it the answers that are still out. */
  lost(): void {
    this.#asked.clear();
    this.#trips = [];
  }
}

function push(list: number[], value: number): void {
  if (!Number.isFinite(value)) return;
  list.push(value);
  if (list.length > keep) list.shift();
}

function median(list: number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1] ?? NaN;
}
