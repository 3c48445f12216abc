/**
 * What "now" means for a trend. The live screen's clock is the server's time
 * as this browser knows it; a replay hands in one whose now is a past moment,
 * and the trend shows that moment as its right end and nothing after it.
 */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** The live tail belongs to this clock's present. A clock of the past has none: all it shows is history. */
  readonly live: boolean;
}
