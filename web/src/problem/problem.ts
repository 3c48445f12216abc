// What the server says is wrong, in the reader's language: by its reason and
// what that fills in. A reason that is not known here is shown as the server has
// it, in English.
import { locale, number } from "../i18n";
import type { Json, Problem } from "../live";
import { jsonText } from "../model/text";
import { endings, sentences, terms } from "./vi";

type Said = Partial<Pick<Problem, "message" | "reason" | "args">>;

/** Whatever was thrown, as a sentence. */
export function sayWhy(err: unknown): string {
  const problem = (err as { problem?: Said } | null)?.problem;
  if (problem?.message !== undefined) return sentenceOf(problem);
  return err instanceof Error ? err.message : String(err);
}

export function sentenceOf(p: Said): string {
  return translated(p) ?? p.message ?? "";
}

/** The sentence in a language other than that of the server; undefined when there is none. */
export function translated({ reason, args = {} }: Said): string | undefined {
  const own = locale.lang === "vi" && reason !== undefined && Object.hasOwn(sentences, reason) ? sentences[reason] : undefined;
  if (own === undefined) return undefined;
  const ends = Object.keys(endings).filter((name) => args[name] !== undefined && !own.includes(`{${name}}`));
  return (own + ends.map((name) => endings[name]).join("")).replace(/\{(\w+)\}/g, (place, name: string) => (args[name] === undefined ? place : word(name, args[name])));
}

function word(name: string, v: Json): string {
  if (name === "source") return String(v).replace(/^the file /, `${terms["the file"]} `);
  // A single word may be the name of something that somebody described, but not as a {what}.
  if (typeof v === "string") return (name === "what" || v.includes(" ")) && Object.hasOwn(terms, v) ? terms[v]! : v;
  if (typeof v === "number") return number(v, Math.min(9, /\.(\d+)$/.exec(String(v))?.[1]?.length ?? 0));
  if (v !== null && typeof v === "object" && !Array.isArray(v) && typeof v.message === "string") return sentenceOf(v as Said);
  return jsonText(v);
}
