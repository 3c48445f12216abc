// What an alarm says in a few words, in the language in use: composed of what
// the description calls things, since the server's own message is English.
import { screen } from "../app/screen.svelte";
import { thingName } from "../app/view";
import { age, locale, number, plain, time, when } from "../i18n";
import { dataText, jsonText, short, unitText } from "../model/text";
import type { Property } from "../model/td";
import { mostUrgent, steps, unacked, time as ms, type Alarm } from "./alarm";
import { m } from "./words";

function propertyOf(a: Alarm): Property | undefined {
  return screen.describe(a.thing)?.properties.get(a.property ?? "");
}

/** Rules that have words of ours; one of a newer server has its message. */
const worded = ["highHigh", "high", "low", "lowLow", "rate", "stale", "offline", "predicted"] as const;
/** A rule by the API may have a message of its own, which then is what people want to read; the server's own has a code. */
const authored = (a: Alarm) => !!a.ruleId && !a.messageCode;

/** Bearing temperature high. */
export function what(a: Alarm): string {
  if (a.rule === "event") return screen.describe(a.thing)?.events.get(a.event ?? "")?.[locale.lang] ?? a.event ?? a.message;
  const rule = worded.find((one) => one === a.rule);
  if (!rule || authored(a)) return a.message || a.rule;
  return m(`is_${rule}`, { title: propertyOf(a)?.titles[locale.lang] ?? a.property ?? "" });
}

/** The server's own message as a whole sentence; "" where the alarm has words of its author, or is of a rule unknown here. */
export function sentence(a: Alarm): string {
  const rule = worded.find((one) => one === a.rule);
  if (!rule || authored(a)) return "";
  const title = propertyOf(a)?.titles[locale.lang] ?? a.property ?? "";
  const limit = limitText(a.predicted ? { ...a, limit: a.predicted.limit } : a);
  return m(`says_${rule}`, { title, value: valueThen(a), limit, at: a.predicted ? clock(a.predicted.at) : "", thing: thingName(a.thing) });
}

/** Why the server says that an alarm cleared, by its codes. */
const reasons: Readonly<Record<string, Parameters<typeof m>[0]>> = {
  rule_removed: "why_ruleRemoved",
  rule_off: "why_ruleOff",
  rule_elsewhere: "why_ruleElsewhere",
  rule_takes: "why_ruleTakes",
  rule_undescribed: "why_described",
  description_removed: "why_description",
  thing_removed: "why_thing",
};

/** Why an alarm cleared when its cause did not go, in the language in use; what has no code known here stays as it is. */
export function reasonText(a: Alarm): string {
  if (a.reasonCode === "limit_changed") return m("why_limit", { limit: limitText({ ...a, limit: Number(a.reasonArgs?.limit) }) });
  const key = reasons[a.reasonCode ?? ""];
  return key ? m(key) : (a.reason ?? "");
}

/** Acknowledged; shelved until 14:30:00. */
export function stepText(a: Alarm): string {
  const step = steps.find((one) => one === a.step);
  return step ? m(`step_${step}`, { at: a.shelved ? clock(a.shelved.until) : "" }) : a.step;
}

/** Who took the last step and what they said; or why it was cleared. "" where there is nobody, or nothing. */
export function who(a: Alarm): { by: string; said: string } {
  if (a.step === "acked") return { by: a.acked?.by ?? "", said: a.acked?.comment ?? "" };
  if (a.step === "shelved") return { by: a.shelved?.by ?? "", said: a.shelved?.reason ?? "" };
  return { by: "", said: a.step === "cleared" ? reasonText(a) : "" };
}

/** CV-02, Bearing temperature high. */
export function whole(a: Alarm): string {
  return `${thingName(a.thing)}, ${what(a)}`;
}

function unitOf(a: Alarm): string {
  return unitText(propertyOf(a)?.unit ?? a.unit ?? "", locale.lang);
}
function figure(value: number, p: Property | undefined): string {
  return p?.decimals === undefined ? plain(value) : number(value, p.decimals);
}

/** 78.6 °C, or the first data of an event; "" without. */
export function valueThen(a: Alarm): string {
  if (a.value === undefined || a.value === null) return "";
  if (a.rule === "event") return short(dataText(screen.describe(a.thing)?.events.get(a.event ?? ""), a.value, locale.lang, 3), 300);
  return [short(jsonText(a.value, propertyOf(a)), 300), unitOf(a)].filter(Boolean).join(" ");
}

export function limitText(a: Alarm): string {
  if (a.limit === undefined) return "";
  return [figure(a.limit, propertyOf(a)), unitOf(a)].filter(Boolean).join(" ");
}

/** 78.6 °C, limit 75.0 °C. */
export function detail(a: Alarm): string {
  const value = valueThen(a);
  if (a.predicted) return m("expected", { at: clock(a.predicted.at), limit: limitText({ ...a, limit: a.predicted.limit }) });
  if (a.rule === "rate") return m("rateLimit", { limit: limitText(a) });
  if (a.rule === "stale") return value && m("lastValue", { value });
  if (a.limit === undefined) return value;
  return value ? m("withLimit", { value, limit: limitText(a) }) : `${m("limit")} ${limitText(a)}`;
}

/** 14:02:36, and the day when it is not today. */
export function clock(ts: string | number): string {
  const at = typeof ts === "number" ? ts : ms(ts);
  return new Date(at).toDateString() === new Date(screen.clock.now()).toDateString() ? time(at) : when(at);
}

/** Who looks after it, and whether it is over. */
export function standing(a: Alarm): string {
  const by = unacked(a) ? m("notAcked") : !a.acked ? "" : a.acked.comment ? m("ackedWith", { who: a.acked.by, comment: a.acked.comment }) : m("ackedBy", { who: a.acked.by });
  const over = a.cleared && a.rule !== "event" ? m("over", { at: clock(a.cleared) }) : "";
  return [by, over].filter(Boolean).join(", ");
}

export function sinceText(a: Alarm): string {
  void screen.now;
  return m("since", { age: age((screen.clock.now() - ms(a.raised)) / 1000) });
}

/** Why alarms cannot be acknowledged or shelved now, apart from what one may; "" when they can. */
export function noActions(): string {
  if (screen.past) return m("replayNoAck");
  if (screen.stale || screen.link.phase === "ended") return m("offlineNoAck");
  return screen.link.phase === "live" ? "" : m("notLive");
}

/** For who hears it: what came just now. */
export function newsText(list: readonly Alarm[]): string {
  const first = mostUrgent(list);
  if (!first) return "";
  const severity = m(`severity_${first.priority}`);
  return list.length === 1 ? m("newOne", { severity, thing: thingName(first.thing), what: what(first) }) : m("newMany", { n: list.length, severity });
}

