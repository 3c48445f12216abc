import { readAnswer, type Answer } from "./answer";
import type { Span } from "./range";

/** Which buckets of which properties of one thing. */
export interface Ask extends Span {
  thing: string;
  properties: readonly string[];
  step: number;
}

/** Why there is no answer. */
export class ArchiveError extends Error {
  constructor(
    /** 0: nothing was heard at all. */
    readonly status: number,
    message: string,
    /** Milliseconds until it is worth asking again; 0 when the server did not say. */
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

/** So many answers are kept, and each so long: late readings may still come into the past. */
const most = 48;
const fresh = 120_000;

/**
 * Asks the server for history and remembers what it said of the past. What
 * reaches into the present is never remembered: it has changed since.
 */
export class Archive {
  #fetch: typeof fetch;
  #kept = new Map<string, { answer: Answer; until: number }>();

  constructor(ask: typeof fetch = (url, init) => fetch(url, init)) {
    this.#fetch = ask;
  }

  async get(ask: Ask, signal?: AbortSignal): Promise<Answer> {
    const url = urlOf(ask);
    const kept = this.#kept.get(url);
    if (kept && kept.until > Date.now()) {
      this.#kept.delete(url); // the one used last is forgotten last
      this.#kept.set(url, kept);
      return kept.answer;
    }
    const answer = await this.#ask(url, signal);
    // A minute old: nothing of it is still on its way through the log.
    if (ask.to < Date.now() - 60_000) this.#keep(url, answer);
    return answer;
  }

  /** Whether `get` would answer from memory. */
  has(ask: Ask): boolean {
    return (this.#kept.get(urlOf(ask))?.until ?? 0) > Date.now();
  }

  /** Forgets everything: the log is another one. */
  clear(): void {
    this.#kept.clear();
  }

  async #ask(url: string, signal?: AbortSignal): Promise<Answer> {
    let response: Response;
    try {
      response = await this.#fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin", cache: "no-store", signal });
    } catch (err) {
      if (signal?.aborted) throw err;
      throw new ArchiveError(0, "");
    }
    const said: unknown = await response.json().catch((err) => {
      if (signal?.aborted) throw err;
      return null;
    });
    if (!response.ok) {
      const why = (said as { error?: unknown } | null)?.error;
      throw new ArchiveError(response.status, typeof why === "string" ? why : `HTTP ${response.status}`, 1000 * (Number(response.headers.get("Retry-After")) || 0));
    }
    try {
      return readAnswer(said);
    } catch (err) {
      throw new ArchiveError(response.status, (err as Error).message);
    }
  }

  #keep(url: string, answer: Answer): void {
    this.#kept.set(url, { answer, until: Date.now() + fresh });
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= most) break;
      this.#kept.delete(oldest);
    }
  }
}

/** Where the server answers this. */
export function urlOf(ask: Ask): string {
  return `${base(ask)}&buckets=${Math.max(1, Math.round((ask.to - ask.from) / ask.step))}`;
}

/** Where it streams the same as CSV: every reading, or with a step what each step held. */
export function csvUrl(ask: Omit<Ask, "step">, step?: number): string {
  return `${step === undefined ? base(ask) : urlOf({ ...ask, step })}&format=csv`;
}

function base({ thing, properties, from, to }: Omit<Ask, "step">): string {
  const query = new URLSearchParams({ thing });
  for (const property of properties) query.append("property", property);
  query.set("from", String(Math.round(from)));
  query.set("to", String(Math.round(to)));
  return `/api/history?${query}`;
}
