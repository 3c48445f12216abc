/**
 * How long to wait before the next attempt: doubling with jitter, so that a
 * thousand browsers do not come back to a restarted server in step.
 *
 * A connection that opens and dies at once is not a success: only `healthy`,
 * which the caller says after the connection has lived a while, starts over.
 */
export class Backoff {
  #failures = 0;

  constructor(
    readonly first = 500,
    readonly most = 15_000,
    readonly random: () => number = Math.random,
  ) {}

  /** Milliseconds until the next attempt. */
  next(): number {
    const full = Math.min(this.most, this.first * 2 ** this.#failures);
    this.#failures++;
    return full / 2 + (full / 2) * this.random();
  }

  healthy(): void {
    this.#failures = 0;
  }
}
