// What an event says in words: by its description, or, of what the server tells
// about a device by itself, by ours.
import { screen } from "../app/screen.svelte";
import { locale, moment, number, t } from "../i18n";
import type { Json } from "../live";
import { object, text, type Members } from "../model/members";
import type { Description } from "../model/td";
import { dataText, jsonText, short } from "../model/text";
import { w } from "./words";

interface Own {
  title: () => string;
  /** What came with it; "" when it has nothing that is known here. */
  text: (data: Members, d: Description | undefined) => string;
}

/** Of the server's own events. */
const own: Readonly<Record<string, Own>> = {
  offline: { title: () => w("wentOffline"), text: presenceText },
  online: { title: () => w("cameOnline"), text: presenceText },
  stale: { title: () => w("wentStale"), text: presenceText },
  fresh: { title: () => w("cameFresh"), text: presenceText },
  bad_reading: { title: () => t("badReading"), text: badText },
  refused: { title: () => w("refused"), text: ({ message, at, count }) => joined(text(message), text(at), timesText(count)) },
};

/** Known here, and not described as something else. */
const ownOf = (d: Description | undefined, name: string) => (d?.events.has(name) || !Object.hasOwn(own, name) ? undefined : own[name]);

export function eventTitle(d: Description | undefined, name: string): string {
  return ownOf(d, name)?.title() ?? d?.events.get(name)?.[locale.lang] ?? name;
}

/** What came with it, the first few members or all. */
export function eventText(d: Description | undefined, name: string, data: Json, most = Infinity): string {
  return ownOf(d, name)?.text(object(data), d) || dataText(d?.events.get(name), data, locale.lang, most);
}

const joined = (...parts: string[]) => parts.filter(Boolean).join(", ");
const timesText = (count: unknown) => (Number(count) > 1 ? w("times", { n: number(Number(count)) }) : "");

/** Whose word it is that a device came or went. */
function presenceText({ reason, last, count }: Members): string {
  const at = Date.parse(text(last));
  const key = reason === "device" ? "saidDevice" : reason === "reading" ? "saidReading" : reason === "silence" ? "saidSilence" : "";
  const newest = key === "saidSilence" && at > 0 ? w("lastReading", { at: moment(at, screen.clock.now() - at) }) : "";
  return key && joined(w(key), newest, timesText(count));
}

/** A value of another type than the description says. */
function badText({ property, value, message, count }: Members, d: Description | undefined): string {
  const p = d?.properties.get(text(property));
  const type = { number: "isNumber", integer: "isInteger", string: "isText", boolean: "isBoolean", array: "isList", object: "isObject" } as const;
  const wanted = Object.hasOwn(type, p?.type ?? "") && !(typeof value === "number" && !Number.isFinite(value)) ? w(type[p!.type as keyof typeof type]) : "";
  const title = p?.titles[locale.lang] ?? text(property);
  const what = wanted ? w("otherType", { title, value: value === undefined ? "…" : short(jsonText(value as Json), 80), type: wanted }) : `${title}: ${text(message)}`;
  return title && joined(what, timesText(count));
}
