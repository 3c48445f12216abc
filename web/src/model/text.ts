import { exact, number, plain, t, type Lang } from "../i18n";
import type { Json } from "../live";
import { valuesOf, type Action } from "./action";
import type { Reading } from "./reading";
import type { Event, Property } from "./td";

/** The value of a reading as text, without its unit. */
export function valueText(r: Pick<Reading, "value" | "property">): string {
  return jsonText(r.value, r.property);
}

export function jsonText(value: Json | undefined, p?: Property): string {
  switch (typeof value) {
    case "undefined":
      return "–";
    case "number":
      return p?.decimals === undefined ? plain(value) : number(value, p.decimals);
    case "boolean":
      return t(value ? "yes" : "no");
    case "string":
      return value;
    default:
      return wordsOf(value) || "–";
  }
}

/** What has members of its own, in words: a (b 1, 2, 3), n 4. */
function wordsOf(value: Json): string {
  if (value === null) return "";
  const inner = (v: Json) => (v !== null && typeof v === "object" ? `(${wordsOf(v)})` : jsonText(v));
  if (Array.isArray(value)) return value.map(inner).join(", ");
  return Object.entries(value).map(([name, v]) => `${name} ${inner(v)}`).join(", ");
}

/** A value as somebody commands it: nothing of a number is rounded away. */
export function wantedText(value: Json | undefined): string {
  return typeof value === "number" ? exact(value) : jsonText(value);
}

/** What an effect has to be, and how far it may be off. */
export function goalText(f: { want: Json; tolerance?: number }): string {
  return wantedText(f.want) + (f.tolerance ? ` ±${exact(f.tolerance)}` : "");
}

/** No more of a text than has room where it stands beside others. */
export function short(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "").trimEnd()}…` : text;
}

/** A unit as the reader writes it. Nearly all are the same in both languages. */
export function unitText(unit: string, lang: Lang): string {
  if (lang !== "vi") return unit;
  return unit === "bottles" ? "chai" : unit === "bph" ? "chai/h" : unit === "/min" ? "/phút" : unit === "min" ? "phút" : unit === "h" ? "giờ" : unit === "d" ? "ngày" : unit;
}

/** The data of an event in words, the first few members or all: Current 7.2 A, Side left. */
export function dataText(about: Event | undefined, data: Json, lang: Lang, most = Infinity): string {
  const said = (value: Json, p?: Property) => [jsonText(value, p), unitText(p?.unit ?? "", lang)].filter(Boolean).join(" ");
  const inner = (value: Json, p?: Property) => (value !== null && typeof value === "object" ? `(${said(value, p)})` : said(value, p));
  if (data === null) return "";
  if (typeof data !== "object" || Array.isArray(data)) return said(data, about?.data);
  return Object.entries(data)
    .slice(0, most)
    .map(([name, value]) => `${about?.members.get(name)?.titles[lang] ?? name} ${inner(value, about?.members.get(name))}`)
    .join(", ");
}

/** The input of a command in a few words: 60 %, or each value with its name. */
export function inputText(action: Action | undefined, input: Json, lang: Lang): string {
  const values = valuesOf(action, input);
  return values
    .map(({ name, value, input: about }) => {
      const said = wantedText(value);
      const unit = unitText(about?.unit ?? "", lang);
      return [values.length > 1 ? (about?.titles[lang] ?? name) : "", said, unit].filter(Boolean).join(" ");
    })
    .join(", ");
}

/** A number that was measured, beside one that is commanded: one decimal when it has any, and three digits of a small one. */
export function figure(v: number): string {
  return Math.abs(v) < 10 ? plain(v) : number(v, Math.abs(v - Math.round(v)) < 0.05 ? 0 : 1);
}
