// How trends speak: moments, spans and readings in the reader's language.
import { number, plain, t } from "../i18n";
import type { Property } from "../model/td";
import type { Bucket } from "./buckets";
import type { Sheet } from "./board.svelte";
import type { Trouble } from "./loader";

/** The name of a state by its number. */
export function stateName(names: readonly string[], type: string, value: number): string {
  const name = names[value];
  if (type === "boolean") return name === undefined || name === "off" || name === "on" || name === "false" || name === "true" ? t(value ? "yes" : "no") : name;
  return name ?? number(value);
}

export function valueOf(property: Property, value: number): string {
  return property.decimals === undefined ? plain(value) : number(value, property.decimals);
}

/** "78.6", with what it went between where a bucket has more than one: "78.6 (77.9–79.2)". */
export function bucketText(sheet: Sheet, bucket: Bucket | null, names: readonly string[] = sheet.names): string {
  if (!bucket) return t("noData");
  const { property } = sheet;
  if (sheet.state) return stateName(names, property.type, bucket.last) + (bucket.min === bucket.max ? "" : ` ${t("changing")}`);
  const mean = valueOf(property, bucket.mean);
  const [low, high] = [valueOf(property, bucket.min), valueOf(property, bucket.max)];
  return low === high ? mean : `${mean} (${low}–${high})`;
}

export function troubleText({ status, message }: Trouble): string {
  if (status === 0) return t("historyUnreachable");
  if (status === 404) return t("historyNone");
  if (status === 503) return t("historyOpening", { why: message });
  return t("historyFailed", { why: message });
}

/** 10 min, 24 h, 7 d, as people write a range that has a code. */
export function rangeName(code: string): string {
  const [, n = "", unit = ""] = /^(\d+)(\w)$/.exec(code) ?? [];
  const names = { s: "seconds", m: "minutes", h: "hours", d: "days", y: "years" } as const;
  return unit in names ? t(names[unit as keyof typeof names], { n }) : code;
}
