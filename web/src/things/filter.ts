import type { Mark } from "../alarms/alarm";
import type { Thing } from "../live";
import type { Description } from "../model/td";
import { healthOf } from "./health";

/** What the address says is looked for. */
export interface Filter {
  q: string;
  state: State;
  type: string;
}
export const states = ["all", "abnormal", "offline", "stale", "undescribed"] as const;
export type State = (typeof states)[number];

export function stateOf(text: string | null): State {
  return states.find((s) => s === text) ?? "all";
}

/** Lower case and without accents, so that "bang tai" finds "Băng tải". */
export function fold(text: string): string {
  return text.toLowerCase().normalize("NFD").replace(/\p{Mn}/gu, "").replaceAll("đ", "d");
}

/** Whether all words of the search are somewhere in what people call the thing. */
export function said(id: string, d: Description | undefined, q: string): boolean {
  const words = fold(q).split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const all = fold([id, d?.tag, d?.titles.en, d?.titles.vi, d?.text.en, d?.text.vi, ...(d?.types ?? [])].filter(Boolean).join("\n"));
  return words.every((word) => all.includes(word));
}

export function passes(f: Filter, id: string, thing: Thing | undefined, d: Description | undefined, alarms?: Mark): boolean {
  if (f.type && !d?.types.includes(f.type)) return false;
  if (!said(id, d, f.q)) return false;
  if (f.state === "all") return true;
  if (f.state === "undescribed") return d?.undescribed ?? true;
  const health = healthOf(thing, d, alarms);
  switch (f.state) {
    case "abnormal":
      return health.word !== "good" || health.priority > 0;
    case "offline":
      return health.word === "offline";
    case "stale":
      return health.stale > 0;
  }
}
