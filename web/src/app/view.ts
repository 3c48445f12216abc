// Texts that several parts of the overview compose in the same way.
import { age, locale, t } from "../i18n";
import type { Reading } from "../model/reading";
import { unitText, valueText } from "../model/text";
import type { Signal } from "./plant";
import { screen } from "./screen.svelte";

/** The title of a thing in the language in use: its id's last part when nobody described it. */
export function thingTitle(thing: string): string {
  return screen.describe(thing)?.titles[locale.lang] ?? thing.slice(thing.lastIndexOf("/") + 1);
}

/** What people on the floor call it: its tag, or its title; its whole id as long as nobody has described it. */
export function thingName(thing: string): string {
  const d = screen.describe(thing);
  return d && !d.undescribed ? d.tag || d.titles[locale.lang] : thing;
}

export function thingTag(thing: string): string {
  return screen.describe(thing)?.tag ?? "";
}

export function propertyTitle(reading: Reading): string {
  return reading.property.titles[locale.lang];
}

/** "Throughput", or with its thing "CV-02 bearing temperature". */
export function signalTitle(signal: Signal, reading: Reading): string {
  const title = propertyTitle(reading);
  const tag = thingTag(signal.thing);
  if (!signal.tagged || !tag) return title;
  return t("tagged", { tag, title: locale.lang === "en" ? title.charAt(0).toLowerCase() + title.slice(1) : title });
}

export function unitOf(reading: Reading): string {
  return unitText(reading.property.unit, locale.lang);
}

/** The same for a tile, abbreviated as instruments are on the floor. */
export function tileTitle(signal: Signal, reading: Reading): string {
  const title = signalTitle(signal, reading);
  return locale.lang === "en" ? title.replace(/\btemperature$/, "temp.") : title;
}

/** The value with its unit, for a sentence. */
export function withUnit(reading: Reading): string {
  const unit = unitOf(reading);
  return unit ? `${valueText(reading)} ${unit}` : valueText(reading);
}

/** How old a reading is: "14 s"; "" when nobody knows. */
export function ageText(reading: Reading): string {
  return Number.isFinite(reading.ts) ? age(screen.ageOf(reading.ts)) : "";
}
