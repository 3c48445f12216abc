/** What the server says about the assistant before the first question (GET /api/gpt). */

/** One way to give the assistant a model, as lines for .env. */
export interface Hint {
  for: string;
  lines: string[];
}

export interface Status {
  configured: boolean;
  /** Runes of a question. */
  maxQuestion: number;
  how: Hint[];
}

/** What is believed until the server has answered. */
export const unknown: Status = { configured: true, maxQuestion: 1000, how: [] };

/** Nothing when the server could not be asked, or not by this user. */
export async function status(fetch: (url: string, init: RequestInit) => Promise<Response>): Promise<Status | undefined> {
  try {
    const res = await fetch("/api/gpt", { headers: { Accept: "application/json" } });
    if (!res.ok) return undefined;
    const body = (await res.json()) as { configured?: unknown; max_question?: unknown; how?: unknown };
    return {
      configured: body.configured !== false,
      maxQuestion: typeof body.max_question === "number" ? body.max_question : unknown.maxQuestion,
      how: Array.isArray(body.how) ? body.how.filter(isHint) : [],
    };
  } catch {
    return undefined;
  }
}

function isHint(h: unknown): h is Hint {
  return typeof h === "object" && h !== null && "for" in h && "lines" in h && Array.isArray(h.lines);
}
