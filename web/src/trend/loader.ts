import type { Answer } from "./answer";
import { ArchiveError, urlOf, type Archive, type Ask } from "./archive";

/** What is wanted for one slot of the screen, such as a pen, or the same earlier. */
export interface Want {
  slot: string;
  ask: Ask;
  /** The place in the log that the answer must reach, so that the live tail joins to it; null when it is all in the past. */
  reach: { epoch: string; seq: number } | null;
}

export type Trouble = Pick<ArchiveError, "status" | "message"> & { retryAt: number };

interface Slot {
  want: Want;
  answer: Answer | null;
  answered: string; // the URL that it answers
  pending: { url: string; abort: AbortController } | null;
  timer: ReturnType<typeof setTimeout> | undefined;
  trouble: Trouble | null;
  tries: number; // in a row without what is wanted
}

/** After the range moved, so long until the server is asked: whoever is still moving it will move it again. */
const settle = 150;
const firstRetry = 300;
const lastRetry = 30_000;
const unknownRetry = 5000;

/**
 * Keeps for every slot the answer that is wanted now, with as few questions as
 * that takes: one at a time a slot, none for what is there already, none while
 * the range still moves, and the question that nobody wants the answer of any
 * more is taken back.
 */
export class Loader {
  #archive: Archive;
  #changed: () => void;
  #slots = new Map<string, Slot>();

  /** `changed` is called when an answer or a trouble came or went. */
  constructor(archive: Archive, changed: () => void) {
    this.#archive = archive;
    this.#changed = changed;
  }

  answer(slot: string): Answer | null {
    return this.#slots.get(slot)?.answer ?? null;
  }
  trouble(slot: string): Trouble | null {
    return this.#slots.get(slot)?.trouble ?? null;
  }
  /** Whether an answer is on its way, or soon will be. */
  loading(slot: string): boolean {
    const s = this.#slots.get(slot);
    return s !== undefined && (s.pending !== null || s.timer !== undefined);
  }

  /** Says everything that is wanted now; what is not among it is forgotten. */
  want(all: readonly Want[]): void {
    const names = new Set(all.map((w) => w.slot));
    for (const [name, slot] of this.#slots) {
      if (names.has(name)) continue;
      this.#stop(slot);
      this.#slots.delete(name);
    }
    for (const want of all) this.#one(want);
  }

  /** Asks again at once wherever something went wrong. */
  retry(): void {
    for (const s of this.#slots.values()) if (s.trouble) this.#ask(s);
  }

  end(): void {
    this.want([]);
  }

  #one(want: Want): void {
    let s = this.#slots.get(want.slot);
    if (!s) {
      s = { want, answer: null, answered: "", pending: null, timer: undefined, trouble: null, tries: 0 };
      this.#slots.set(want.slot, s);
    }
    const moved = urlOf(want.ask) !== urlOf(s.want.ask);
    const torn = want.reach !== null && (want.reach.seq !== s.want.reach?.seq || want.reach.epoch !== s.want.reach.epoch);
    s.want = want;
    if (has(s)) return this.#stop(s);
    const url = urlOf(want.ask);
    if (moved || torn) {
      s.tries = 0;
      s.trouble = null;
      if (s.pending && s.pending.url !== url) this.#stop(s);
      if (!s.pending) this.#later(s, s.answer && !this.#archive.has(want.ask) ? settle : 0);
    } else if (!s.pending && s.timer === undefined && s.trouble === null) this.#later(s, s.answer ? settle : 0);
  }

  #later(s: Slot, ms: number): void {
    clearTimeout(s.timer);
    s.timer = setTimeout(() => this.#ask(s), ms);
  }

  #stop(s: Slot): void {
    clearTimeout(s.timer);
    s.timer = undefined;
    s.pending?.abort.abort();
    s.pending = null;
  }

  async #ask(s: Slot): Promise<void> {
    this.#stop(s);
    const pending = { url: urlOf(s.want.ask), abort: new AbortController() };
    s.pending = pending;
    this.#changed();
    try {
      const answer = await this.#archive.get(s.want.ask, pending.abort.signal);
      if (s.pending !== pending) return;
      s.pending = null;
      s.answer = answer;
      s.answered = pending.url;
      s.trouble = null;
      if (has(s)) s.tries = 0;
      else this.#later(s, this.#delay(s)); // history is a little behind the log
    } catch (err) {
      if (s.pending !== pending) return; // taken back
      s.pending = null;
      this.#failed(s, err);
    }
    this.#changed();
  }

  #failed(s: Slot, err: unknown): void {
    const { status, message, retryAfter } = err instanceof ArchiveError ? err : new ArchiveError(0, String(err));
    // What the request itself is wrong about, asking again does not mend; but
    // what is not there yet may come with the first reading.
    const hopeless = status >= 400 && status < 500 && ![404, 408, 429].includes(status);
    const delay = hopeless ? Infinity : Math.max(retryAfter, this.#delay(s), status === 404 ? unknownRetry : 0);
    s.trouble = { status, message, retryAt: hopeless ? Infinity : Date.now() + delay };
    if (!hopeless) this.#later(s, delay);
  }

  #delay(s: Slot): number {
    return Math.min(lastRetry, firstRetry * 2 ** s.tries++);
  }
}

/** Whether the answer of a slot is what is wanted. */
function has(s: Slot): boolean {
  const { ask, reach } = s.want;
  if (!s.answer || s.answered !== urlOf(ask)) return false;
  return reach === null || (s.answer.epoch === reach.epoch && s.answer.seq >= reach.seq);
}
