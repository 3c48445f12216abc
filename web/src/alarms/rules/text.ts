// What a rule says, in a few words of the language in use.
import { screen } from "../../app/screen.svelte";
import { thingName } from "../../app/view";
import { age, decimalsOf, locale, number, plain } from "../../i18n";
import { matches } from "../../live/pattern";
import { unitText } from "../../model/text";
import type { Property } from "../../model/td";
import { limits, type Rule, type Said } from "./rule";
import { r } from "./words";

/** How a property is described where a rule looks at it: by the thing, or by the first that the pattern covers. */
export function propertyAt(pattern: string, name: string): Property | undefined {
  const one = screen.describe(pattern)?.properties.get(name);
  if (one || !pattern.includes("*")) return one;
  for (const d of screen.catalog.descriptions.values()) {
    const p = matches(pattern, d.id) ? d.properties.get(name) : undefined;
    if (p) return p;
  }
  return undefined;
}

/** What people call a rule: its title, or its id. */
export function nameOf(rule: Pick<Rule, "id" | "title">): string {
  return rule.title || rule.id;
}

/** Pressure of P-09, or of plant/line1/*. */
export function aboutText(rule: Rule): string {
  const thing = !rule.thing ? r("everything") : rule.thing.includes("*") ? rule.thing : thingName(rule.thing);
  if (rule.promql !== undefined) return r("asks", { thing });
  return r("onThings", { thing, property: propertyAt(rule.thing ?? "", rule.property ?? "")?.titles[locale.lang] ?? rule.property ?? "" });
}

/** A limit is shown as it was written, with more decimals than the values have when it has them. */
function figure(value: number, p: Property | undefined): string {
  const said = p?.decimals === undefined ? plain(value) : number(value, Math.max(p.decimals, Math.min(6, decimalsOf(value))));
  return [said, unitText(p?.unit ?? "", locale.lang)].filter(Boolean).join(" ");
}

/** Each thing that a rule or a description wants to be told: high 70 °C; not updating. */
export function kindsText(said: Said, p?: Property): string[] {
  const out: string[] = [];
  const seconds = (v: unknown) => age(Number(v));
  for (const name of limits) {
    const v = said[name];
    if (v === false) out.push(r(`not_${name}`));
    else if (typeof v === "number") out.push(r(`k_${name}`, { limit: figure(v, p) }));
  }
  const rate = said.rate as { max?: number; over?: number } | false | undefined;
  if (rate === false) out.push(r("not_rate"));
  else if (rate) out.push(r("k_rate", { max: figure(Number(rate.max), p), over: seconds(rate.over) }));
  if (typeof said.stale === "boolean") out.push(r(said.stale ? "k_stale" : "not_stale"));
  if (said.offline === true) out.push(r("k_offline"));
  if (said.predict !== undefined) out.push(r("k_predict", { time: seconds(said.predict) }));
  if (Number(said.for) > 0) out.push(r("k_for", { time: seconds(said.for) }));
  if (said.every !== undefined) out.push(r("k_every", { time: seconds(said.every) }));
  return out;
}

const kinds = ["highHigh", "high", "low", "lowLow", "rate", "stale", "promql"] as const;

/** Of what a trial found: very high, high. */
export function kindWords(names: readonly string[] = []): string {
  return names.map((name) => kinds.find((k) => k === name)).filter((k) => k !== undefined).map((k) => r(`kind_${k}`)).join(", ");
}
