// What a step of a command rests on, in the reader's language. It is said with
// what the command itself has; of the server's own text only what a device or a
// description wrote is taken over, as it is.
import { locale, number } from "../i18n";
import type { CommandStep, Json, Status } from "../live";
import { figure, jsonText } from "../model/text";
import { c } from "./words";

export interface Step {
  status: Status;
  ts: string;
  evidence?: string;
}

type Command = Pick<CommandStep, "feedback" | "reported" | "supersededBy" | "by">;

/** The text, and whether it is in the reader's language: what is not known here is shown as the server has it. */
export function evidenceText(step: Step, command: Command, unit = ""): { text: string; lang: string } {
  const text = ours(step, command, unit);
  return text === undefined ? { text: step.evidence ?? "", lang: "en" } : { text, lang: locale.lang };
}

function ours({ status, evidence = "" }: Step, { feedback, reported, supersededBy, by }: Command, unit: string): string | undefined {
  const answer = after(evidence, "result ");
  const value = (v: Json) => `${typeof v === "number" ? figure(v) : jsonText(v)}${unit ? ` ${unit}` : ""}`;
  switch (true) {
    case evidence === "":
      return "";
    case answer !== undefined: // also one that came after the end
      return c("ev_result", { answer });
    case status === "accepted": {
      const conditions = after(evidence, "the input is valid by the description; these hold: ");
      return conditions === undefined ? c("ev_valid") : c("ev_validHold", { conditions });
    }
    case status === "sent" && evidence === "PUBACK":
      return c("ev_puback");
    case evidence === "nothing was sent":
      return c("ev_unsent");
    case by !== undefined && evidence.startsWith(`${by} cancelled it`):
      return c("ev_cancelled", { who: by });
    case supersededBy !== undefined && evidence.startsWith(supersededBy):
      return c("ev_replaced", { cmd: supersededBy });
    case status === "verified" && feedback !== undefined && reported !== undefined:
      return c("ev_reported", { property: feedback.property, value: value(reported) });
    case status === "done" && feedback !== undefined && evidence.endsWith("was never reported"):
      return c("ev_never", { property: feedback.property });
    case status === "done" && feedback !== undefined && reported !== undefined:
      return c("ev_last", { property: feedback.property, value: value(reported), s: number(feedback.within, feedback.within % 1 ? 1 : 0) });
  }
  return undefined;
}

function after(text: string, start: string): string | undefined {
  return text.startsWith(start) ? text.slice(start.length) : undefined;
}
