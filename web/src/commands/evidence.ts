// What a step of a command rests on, and what went wrong, in the reader's
// language: by the codes of the server and what these fill in. Facts that are
// older than the codes, or of a newer server, are shown as they are.
import { locale, number } from "../i18n";
import type { CommandStep, Json, Status } from "../live";
import { figure, jsonText } from "../model/text";
import { translated } from "../problem/problem";
import { c } from "./words";

export interface Step extends Pick<CommandStep, "evidence" | "evidenceCode" | "evidenceArgs"> {
  status: Status;
  ts: string;
}

type Args = Readonly<Record<string, Json>>;
interface Told {
  text: string;
  lang: string;
}

/** The text, and the language that it is in: what is not known here is shown as the server has it. */
export function evidenceText(step: Step, unit = ""): Told {
  return told(step.evidence, grounds[step.evidenceCode ?? ""]?.(step.evidenceArgs ?? {}, unit));
}

/** What went wrong with a command, or "". What a device wrote is in its own language. */
export function errorText(row: Pick<CommandStep, "error" | "errorCode" | "errorReason"> & { errorArgs?: Args }): Told {
  return told(row.error, troubles[row.errorCode ?? ""]?.(row.errorArgs ?? {}) ?? translated({ reason: row.errorReason, args: row.errorArgs }));
}

function told(theirs: string | undefined, ours: string | undefined): Told {
  return ours === undefined ? { text: theirs ?? "", lang: "en" } : { text: ours, lang: locale.lang };
}

const word = (v: Json | undefined) => (typeof v === "string" ? v : v === undefined ? "" : jsonText(v));
/** A value that is too long for a sentence is not in it. */
const value = (a: Args, unit: string) => (a.value === undefined ? "…" : `${typeof a.value === "number" ? figure(a.value) : jsonText(a.value)}${unit ? ` ${unit}` : ""}`);
const seconds = (v: Json | undefined) => number(Number(v), Number(v) % 1 ? 1 : 0);

const grounds: Record<string, (a: Args, unit: string) => string> = {
  valid: (a) => (a.conditions === undefined ? c("ev_valid") : c("ev_validHold", { conditions: word(a.conditions) })),
  puback: () => c("ev_puback"),
  result: (a) => c("ev_result", { answer: word(a.answer) }),
  reported: (a, unit) => c("ev_reported", { property: word(a.property), value: value(a, unit) }),
  last_reported: (a, unit) => c("ev_last", { property: word(a.property), value: value(a, unit), s: seconds(a.within) }),
  never_reported: (a) => c("ev_never", { property: word(a.property) }),
  unsent: () => c("ev_unsent"),
  cancelled: (a) => c("ev_cancelled", { who: word(a.by) }),
  replaced: (a) => c("ev_replaced", { cmd: word(a.cmd) }),
};

/** Whether a command that ended early had reached its device: "sent" says that it had. */
const may = (a: Args) => (a.was === "sent" ? c("er_mayRun") : c("er_unknown"));

const troubles: Record<string, (a: Args) => string | undefined> = {
  no_result: () => c("er_noResult"),
  no_evidence: () => c("er_noEvidence"),
  replaced: (a) => `${c("ev_replaced", { cmd: word(a.cmd) })}: ${may(a)}`,
  cancelled: (a) => `${c("ev_cancelled", { who: word(a.by) })}: ${may(a)}`,
  unsent: () => c("er_unsent"),
  late_result: (a) => (a.failed === undefined ? c("er_lateDone") : c("er_lateFailed", { why: word(a.failed) })),
  again: (a) => (a.failed === undefined ? c("er_againDone") : c("er_againFailed", { why: word(a.failed) })),
  unstored: () => c("er_unstored"),
};
