/**
 * connecting: a socket is opening, or open and not yet current.
 * live: the store is what the server knows.
 * waiting: lost; the next attempt is at retryAt.
 * ended: closed by us, or the server said not to come back, by code.
 */
export type Phase = "connecting" | "live" | "waiting" | "ended";

/**
 * Why it is not live.
 *
 * - opening: it has not been live yet.
 * - silence: nothing came, although we asked; the wire is cut.
 * - lost: the socket broke, or could not be opened.
 * - goodbye: the server ended it; `code` and `word` say how.
 * - gap: a frame was missing, and what it said is being asked for.
 * - token: the token could not be had; `word` says why.
 * - closed: by us.
 */
export type Reason = "" | "opening" | "silence" | "lost" | "goodbye" | "gap" | "token" | "closed";

/** What a viewer must know about the connection. A new object at every change. */
export interface Link {
  readonly phase: Phase;
  /** Every value is a last known one: nothing current was heard for nearly 3 s (or what `staleAfter` says). */
  readonly stale: boolean;
  /** Why it is not live; "" while it is. */
  readonly reason: Reason;
  /** Since when it is not live: when the last frame came while it was, ms; 0 while it is live. */
  readonly since: number;
  /** When the last frame came, ms. */
  readonly heardAt: number;
  readonly retryAt: number;
  /** The close code, after a goodbye. */
  readonly code: number;
  /** The server's word for it: "drain", "too_many", "session_over", "closed". */
  readonly word: string;
  /** What it said besides, for people; mostly "". */
  readonly message: string;
  readonly user: string;
  /** Why the server cannot store what devices say: "disk_full", "read_only", "clock_jump", "log_failing"; "" when it can. */
  readonly fault: string;
  /** When the newest whole state was taken over (snapshot or resume), ms. */
  readonly currentAt: number;
}

export const nothing: Link = {
  phase: "waiting",
  stale: false,
  reason: "opening",
  since: 0,
  heardAt: 0,
  retryAt: 0,
  code: 0,
  word: "",
  message: "",
  user: "",
  fault: "",
  currentAt: 0,
};
