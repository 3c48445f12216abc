/**
 * The conversation of this tab: asks, stops, asks again, and keeps everything
 * in the tab's storage, so that a reload shows it and takes up the answer that
 * was being written.
 */

import { type Net, type Refusal, ask, cancel, follow } from "./stream";
import type { RunEvent } from "./events";
import { type Turn, apply, isRunning, newTurn, refuse, stop } from "./turn";

/** Turns that are kept. The server knows its own part of the conversation. */
const KEEP = 40;
const KEY = "echotwin.assistant";

/** What is in the tab's storage. Of another user it is thrown away. */
interface Kept {
  v: 1;
  user: string;
  conversation: string;
  turns: Turn[];
}

export class Conversation {
  turns = $state<Turn[]>([]);
  /** The connection of the running answer is cut, and coming back is being tried. */
  cut = $state(false);
  /** The server said that nobody is signed in any more. */
  signedOut = $state(false);
  /** The server said that it has no language model. */
  noModel = $state(false);

  #net: Net;
  #storage: Storage | undefined;
  #user: string;
  #id = "";
  #leave = new AbortController();
  #saving: ReturnType<typeof setTimeout> | undefined;

  /** Nothing is asked before resume. Storage may be absent where the browser forbids it. */
  constructor(user: string, net: Net, storage: Storage | undefined) {
    this.#user = user;
    this.#net = net;
    this.#storage = storage;
    this.#load();
  }

  /** The turn whose answer is being written, if any. */
  get running(): Turn | undefined {
    const last = this.turns.at(-1);
    return last && isRunning(last) ? last : undefined;
  }

  /** Takes up the answer that a reload interrupted. */
  resume(): void {
    const t = this.running;
    if (!t) return;
    if (t.run === "") return this.#refuse(t, { code: "cut", message: "", status: 0 });
    void this.#read(t, (leave) => follow(this.#net, t.run, t.last, this.#on(t, leave), this.#onCut, leave.signal));
  }

  ask(question: string): void {
    const text = question.trim();
    if (text === "" || this.running) return;
    this.turns.push(newTurn((this.turns.at(-1)?.key ?? 0) + 1, text));
    if (this.turns.length > KEEP) this.turns.splice(0, this.turns.length - KEEP);
    const t = this.turns.at(-1)!; // as Svelte watches it
    this.save();
    void this.#read(t, (leave) => ask(this.#net, text, this.#id, this.#on(t, leave), this.#onCut, leave.signal));
  }

  /** Asks the last question again, in place of its failed answer. */
  again(): void {
    const t = this.turns.at(-1);
    if (!t || isRunning(t)) return;
    this.turns.pop();
    this.ask(t.question);
  }

  /** Ends the answer for the reader at once, and tells the server. */
  stop(): void {
    const t = this.running;
    if (!t) return;
    stop(t);
    this.cut = false;
    this.save();
    if (t.run !== "") void this.#cancel(t.run, this.#leave);
  }

  /** Forgets everything said so far. */
  clear(): void {
    this.stop();
    this.turns = [];
    this.#id = "";
    this.save();
  }

  /** Stops reading. The run goes on for a while, so that a reload can take it up. */
  end(): void {
    this.#leave.abort();
    this.save();
  }

  /** Writes everything into the tab's storage now. Also called when the page goes. */
  save(): void {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    const kept: Kept = { v: 1, user: this.#user, conversation: this.#id, turns: this.turns };
    try {
      this.#storage?.setItem(KEY, JSON.stringify(kept));
    } catch {
      // Full or forbidden. The conversation then ends with the page.
    }
  }

  #load(): void {
    try {
      const kept = JSON.parse(this.#storage?.getItem(KEY) ?? "null") as Kept | null;
      if (kept?.v !== 1 || kept.user !== this.#user) return this.#storage?.removeItem(KEY);
      this.#id = kept.conversation;
      this.turns = kept.turns;
    } catch {
      // Not ours, or not readable: begin anew.
    }
  }

  #on(t: Turn, leave: AbortController): (id: number, e: RunEvent) => void {
    return (id, e) => {
      apply(t, id, e, Date.now());
      if (e.type === "start") {
        // Unless everything was forgotten meanwhile.
        if (this.turns.includes(t)) this.#id = e.conversation;
        // Stop was pressed before the run had a name.
        if (t.phase === "stopped") void this.#cancel(e.run, leave);
      }
      this.#saving ??= setTimeout(() => this.save(), 300);
    };
  }

  #onCut = (cut: boolean) => {
    this.cut = cut && this.running !== undefined;
  };

  async #read(t: Turn, read: (leave: AbortController) => Promise<Refusal | undefined>): Promise<void> {
    const leave = new AbortController();
    this.#leave = leave;
    try {
      const refusal = await read(leave);
      if (refusal && isRunning(t)) this.#refuse(t, refusal);
    } catch {
      // Left on purpose: the page goes, or the run could not be stopped otherwise.
    } finally {
      if (this.#leave === leave) this.cut = false;
      this.save();
    }
  }

  #refuse(t: Turn, r: Refusal): void {
    if (r.status === 401) r.code = "signed_out";
    refuse(t, r, Date.now());
    if (r.code === "missing_key") this.noModel = true;
    this.save();
    if (r.status === 401) this.signedOut = true;
  }

  async #cancel(run: string, leave: AbortController): Promise<void> {
    // A run that cannot be told to stop ends by itself once nobody reads it.
    if (!(await cancel(this.#net, run))) leave.abort();
  }
}
