// What a command says in a few words.
import { screen } from "../app/screen.svelte";
import { locale, t, type Key } from "../i18n";
import type { CommandStep } from "../live";
import { inputText } from "../model/text";
import { effectOf, type Row } from "./audit.svelte";

export function actionTitle(row: Row): string {
  return screen.describe(row.thing)?.actions.get(row.action)?.titles[locale.lang] ?? row.action;
}

/** SPEED 60 %, or the whole input of an action that takes more. */
export function commandText(row: Row): string {
  const action = screen.describe(row.thing)?.actions.get(row.action);
  return `${actionTitle(row)} ${inputText(action, row.input ?? null, locale.lang)}`.trim();
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
