import type { Fact, Snapshot, Update } from "./frames";

/**
 * Where in the log the screen is: which frame follows on what is there, which
 * fact is news, and from where a resume loses nothing.
 *
 * Facts that share a seq come one by one and only the last moves the cursor.
 * When the line breaks between them, the resume brings the first ones again; they
 * are remembered until the cursor has passed them, so that each is told once.
 */
export class Cursor {
  epoch = "";
  /** A resume from here loses nothing of what is whole. An empty log is at 0. */
  seq = 0;
  #last = 0; // of the newest frame, which the prev of the next update names
  #open = 0; // seq of a group of facts whose last has not come
  #told = new Map<string, number>(); // facts of the open group
  #again = new Map<string, number>(); // those of them that a resume will repeat

  /** Another log begins, or the same one from a snapshot: its numbers mean nothing here. */
  reset(epoch: string): void {
    this.epoch = epoch;
    this.seq = this.#last = this.#open = 0;
    this.#told.clear();
    this.#again.clear();
  }

  /** A resume is asked for: what comes next follows on the cursor. */
  rewind(): void {
    this.#last = this.seq;
    this.#open = 0;
    for (const [key, n] of this.#told) this.#again.set(key, n + (this.#again.get(key) ?? 0));
    this.#told.clear();
  }

  /** Whether nothing is missing before this update. */
  follows(frame: Update): boolean {
    return frame.prev === this.#last;
  }

  took(frame: Update | Snapshot): void {
    if ("epoch" in frame) this.epoch = frame.epoch;
    this.#last = frame.seq;
    const page = frame.type === "snapshot" && frame.more;
    if (!page && !(this.#open && frame.seq >= this.#open)) this.#move(frame.seq);
  }

  /** Takes a fact and says whether it is news. */
  isNews(fact: Fact): boolean {
    if (fact.seq === undefined) return true; // an answer to one's own command, beside the lane
    if (fact.seq <= this.seq) return false;
    const key = identity(fact);
    const known = this.#again.get(key) ?? 0;
    if (known > 0) this.#again.set(key, known - 1);
    this.#last = Math.max(this.#last, fact.seq);
    this.#open = fact.more ? fact.seq : 0;
    if (fact.more) this.#told.set(key, (this.#told.get(key) ?? 0) + 1);
    else this.#move(fact.seq);
    return known === 0;
  }

  #move(seq: number): void {
    if (seq <= this.seq) return;
    this.seq = seq;
    this.#told.clear();
    this.#again.clear();
  }
}

/** What makes a fact the same when it comes again: all but what depends on how it comes. */
function identity(fact: Fact): string {
  return JSON.stringify({ ...fact, more: undefined, ...(fact.type === "cmd" ? { id: undefined } : {}) });
}
