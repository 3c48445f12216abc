// Reading members out of JSON from outside: what is missing or of the wrong
// type is left out, never guessed.
export type Titles = { en: string; vi: string };
export type Members = Record<string, unknown>;

export function mapOf<T>(value: unknown, read: (name: string, members: Members) => T | null): Map<string, T> {
  const out = new Map<string, T>();
  for (const [name, members] of Object.entries(object(value))) {
    const one = read(name, object(members));
    if (one) out.set(name, one);
  }
  return out;
}

export function titles(o: Members, fallback: string): Titles {
  return both(object(o.titles), text(o.title) || fallback);
}

export function both(said: Members, fallback: string): Titles {
  const en = text(said.en) || fallback;
  return { en, vi: text(said.vi) || en };
}

export function object(value: unknown): Members {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Members) : {};
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** By number where there is one: m2 stands before m10. */
export const { compare: byName } = new Intl.Collator("en", { numeric: true });
