import type { Pong } from "./frames";

const keep = 5;

/**
 * How long a question to the server takes, there and back, and how far the
 * server's clock is from ours, over the last few answers, so that one slow
 * answer does not make the numbers jump.
 */
export class Lag {
  #asked = new Map<string, number>();
  #trips: number[] = [];
  #skews: { skew: number; trip: number }[] = [];
  #n = 0;

  /** Round trip in ms; NaN before the first answer. */
  get trip(): number {
    return median(this.#trips);
  }

  /** Server's clock minus ours in ms; NaN when the server does not say its time. */
  get skew(): number {
    // The quickest answer tells it best: least of it was waiting.
    return this.#skews.reduce((a, b) => (b.trip <= a.trip ? b : a), { skew: NaN, trip: Infinity }).skew;
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
    const trip = now - sent;
    push(this.#trips, trip);
    const skew = Date.parse(pong.ts ?? "") - (Date.now() - trip / 2);
    if (Number.isFinite(skew)) push(this.#skews, { skew, trip });
  }

  /** The connection is gone, and with it the answers that are still out. */
  lost(): void {
    this.#asked.clear();
    this.#trips = [];
  }
}

function push<T>(list: T[], value: T): void {
  list.push(value);
  if (list.length > keep) list.shift();
}

function median(list: number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1] ?? NaN;
}
