/** One frame as it came. */
export interface Line {
  n: number;
  at: number;
  text: string;
}

/** So many frames are shown; older ones are forgotten. */
export const most = 200;
/** Of one frame at most so much is shown. */
const longest = 4000;
/** A line that never ends is no frame of ours. */
const tooLong = 4 << 20;
/** Painting is what costs: frames are shown at most so often, ms. */
const paintEvery = 250;

/**
 * The frames of one thing, as GET /events sends them to a script. Nothing is
 * asked for until somebody opens it. While it is paused frames are counted, and
 * the newest are kept for going on.
 */
export class Raw {
  lines = $state.raw<readonly Line[]>([]);
  phase = $state<"closed" | "opening" | "open" | "ended">("closed");
  /** Why it ended; "" when the server closed it. */
  why = $state("");
  paused = $state(false);
  /** How many frames have come in all, and since it was paused. */
  count = $state(0);
  held = $state(0);

  #stop = new AbortController();
  #kept: Line[] = []; // newest first
  #n = 0;
  #shown = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly url: string) {}

  async open(): Promise<void> {
    this.close();
    const stop = (this.#stop = new AbortController());
    [this.phase, this.why, this.paused, this.#kept, this.#n, this.#shown] = ["opening", "", false, [], 0, 0];
    this.#show();
    try {
      const answer = await fetch(this.url, { signal: stop.signal, headers: { Accept: "application/x-ndjson" }, cache: "no-store" });
      if (!answer.ok || !answer.body) throw new Error(`HTTP ${answer.status}`);
      this.phase = "open";
      for await (const line of linesOf(answer.body)) this.#add(line);
      if (!stop.signal.aborted) this.phase = "ended";
    } catch (err) {
      if (stop.signal.aborted) return;
      [this.phase, this.why] = ["ended", err instanceof Error ? err.message : String(err)];
    }
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.phase = "closed";
  }

  pause(paused: boolean): void {
    this.paused = paused;
    this.#show();
  }

  #add(text: string): void {
    this.#kept.unshift({ n: ++this.#n, at: Date.now(), text: text.length > longest ? `${text.slice(0, longest)}…` : text });
    if (this.#kept.length > most) this.#kept.length = most;
    this.#timer ??= setTimeout(() => this.#show(), paintEvery);
  }

  #show(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.count = this.#n;
    if (!this.paused) {
      this.lines = [...this.#kept];
      this.#shown = this.#n;
    }
    this.held = this.#n - this.#shown;
  }
}

/** The lines of a body, each when it is whole. */
export async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      if (rest.length > tooLong) throw new Error("a line without an end");
      for (const part of parts) if (part.trim()) yield part;
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}
