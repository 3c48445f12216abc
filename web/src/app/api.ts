import type { Problem } from "../live";

/** An answer that was no success, with what the server said about it. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
    /** Seconds, from Retry-After; 0 when the server did not say. */
    readonly retryAfter = 0,
  ) {
    super(problem.message ?? `HTTP ${status}`);
  }
}

/** GET a JSON answer. A session that is over leads to the login page. */
export function get(path: string): Promise<unknown> {
  return ask("GET", path);
}

export function post(path: string, body: unknown = {}, method: "POST" | "PATCH" = "POST"): Promise<unknown> {
  return ask(method, path, body);
}

export function put(path: string, body: unknown): Promise<unknown> {
  return ask("PUT", path, body);
}

/** DELETE. */
export function remove(path: string): Promise<unknown> {
  return ask("DELETE", path);
}

/** GET a page of a list, and where it goes on; "" at its end. */
export async function getPage<T>(path: string): Promise<{ list: T[]; next: string }> {
  const { response, answer } = await fetched("GET", path);
  return { list: Array.isArray(answer) ? (answer as T[]) : [], next: /<([^>]+)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1] ?? "" };
}

const forbidden = new Set<() => void>();

/** Calls the listener when the server says that somebody may not. The result removes it. */
export function onForbidden(listener: () => void): () => void {
  forbidden.add(listener);
  return () => forbidden.delete(listener);
}

async function ask(method: string, path: string, body?: unknown): Promise<unknown> {
  return (await fetched(method, path, body === undefined ? undefined : JSON.stringify(body))).answer;
}

/** One request with its text as it is, and the answer with the ETag that came with it. */
export async function exchange(method: string, path: string, body?: string, conditions?: Record<string, string>): Promise<{ answer: unknown; tag: string }> {
  const { response, answer } = await fetched(method, path, body, conditions);
  return { answer, tag: response.headers.get("ETag") ?? "" };
}

async function fetched(method: string, path: string, body?: string, conditions: Record<string, string> = {}): Promise<{ response: Response; answer: unknown }> {
  const response = await fetch(path, {
    method,
    headers: { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...conditions },
    body,
    credentials: "same-origin",
    cache: "no-store",
  });
  const answer: unknown = await response.json().catch(() => ({}));
  if (response.ok) return { response, answer };
  if (response.status === 403) for (const listener of forbidden) listener();
  const said = (typeof answer === "object" && answer !== null ? answer : {}) as Record<string, unknown>;
  throw new ApiError(response.status, { ...said, message: String(said.error ?? "") || undefined }, Number(response.headers.get("Retry-After")) || 0);
}

let leaving = false;

/** Signs out, here and, for who signed in at a provider that wants it, there. */
export async function signOut(): Promise<void> {
  leaving = true; // the end of the session, which the streams tell at once, must not lead elsewhere
  try {
    const { next } = (await post("/api/logout")) as { next?: string };
    location.assign(next ?? "/login.html");
  } catch (err) {
    leaving = false;
    throw err;
  }
}

/** Where to sign in and come back from. */
export function toLogin(): void {
  if (leaving) return;
  location.assign(`/login.html?next=${encodeURIComponent(location.pathname + location.search)}`);
}
