// What a command says in a few words.
import { screen } from "../app/screen.svelte";
import { locale, number, t, type Key } from "../i18n";
import type { CommandStep, Json } from "../live";
import { jsonText, unitText } from "../model/text";
import { effectOf, type Row } from "./audit.svelte";

export function actionTitle(row: Row): string {
  return screen.describe(row.thing)?.actions.get(row.action)?.titles[locale.lang] ?? row.action;
}

/** SPEED 60 %, or the whole input of an action that takes more. */
export function commandText(row: Row): string {
  const action = screen.describe(row.thing)?.actions.get(row.action);
  const members = Object.entries((typeof row.input === "object" && row.input !== null && !Array.isArray(row.input) ? row.input : { "": row.input ?? null }) as Record<string, Json>);
  const texts = members.map(([name, value]) => {
    if (value === null) return "";
    return (members.length > 1 ? `${name} ` : "") + (typeof value === "number" ? figure(value) : jsonText(value));
  });
  const unit = members.length === 1 ? unitText(action?.unit ?? "", locale.lang) : "";
  return [actionTitle(row), texts.filter(Boolean).join(", "), unit].filter(Boolean).join(" ");
}

export function figure(v: number): string {
  return number(v, Math.abs(v - Math.round(v)) < 0.05 ? 0 : 1);
}

/** How a row stands: in words, and whether that is as it should be. */
export function standing(row: CommandStep): { text: string; kind: "ok" | "now" | "bad" | "plain" } {
  const seen = effectOf(row);
  const key: Key = seen === "missed" ? "outcome_missed" : seen === "watched" ? "stepWatching" : `outcome_${row.status}`;
  const kind =
    seen === "watched" || row.status === "accepted" || row.status === "sent" ? "now"
    : seen === "missed" || row.status === "failed" || row.status === "timeout" ? "bad"
    : row.status === "done" || row.status === "verified" ? "ok"
    : "plain";
  return { text: t(key), kind };
}
