/**
 * Notices a wire that was cut without a word. A socket does not: TCP can stay
 * "open" for minutes. The server pings an idle client only every 25 s, so after
 * a second of silence we ask, once a second, and when the first question has
 * had its time and nothing at all came, the connection is lost: 2.5 s after the
 * last frame, so that the screen says it within 3 s.
 */
export class Watchdog {
  #heard = 0;
  #asked = 0; // the first question since then; 0: none
  #probed = 0; // the last question
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    readonly act: { probe(): void; lost(): void },
    readonly quiet = 1000,
    readonly patience = 1500,
    readonly tick = 200,
  ) {}

  start(): void {
    this.stop();
    this.heard();
    this.#timer = setInterval(() => this.check(), this.tick);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Something came in. */
  heard(): void {
    this.#heard = Date.now();
    this.#asked = 0;
  }

  /**
   * Looks at once; call it when timers may have slept (a tab that becomes
   * visible). After a sleep the first question still gets its time.
   */
  check(): void {
    if (this.#timer === undefined) return;
    const now = Date.now();
    if (this.#asked && now - this.#asked >= this.patience - this.tick) {
      this.stop();
      this.act.lost();
    } else if (now - Math.max(this.#heard, this.#probed) >= this.quiet) {
      this.#probed = now;
      this.#asked ||= now;
      this.act.probe();
    }
  }
}
