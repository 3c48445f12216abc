import { locale, type Lang } from "./locale.svelte";

const thin = "\u202f"; // narrow no-break space between thousands, in both languages
const formats = new Map<string, Intl.NumberFormat>();

/** A number with exactly so many decimals: 11 899.5 in English, 11 899,5 in Vietnamese. */
export function number(value: number, decimals = 0, lang: Lang = locale.lang): string {
  if (!Number.isFinite(value)) return "–";
  const id = lang + decimals;
  let format = formats.get(id);
  if (!format) {
    format = new Intl.NumberFormat(lang === "vi" ? "vi-VN" : "en-GB", {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
    });
    formats.set(id, format);
  }
  let text = "";
  for (const part of format.formatToParts(value)) {
    if (part.type === "group") text += thin;
    else if (part.type === "minusSign") text += "−";
    else text += part.value;
  }
  return text.replace(/^−(?=[0.,]*$)/, ""); // no minus before a rounded zero
}

/** A number that came without a description: as many decimals as it needs, at most three. */
export function plain(value: number, lang: Lang = locale.lang): string {
  const short = Math.abs(value) >= 1000 ? value.toFixed(1) : value.toPrecision(4);
  const decimals = Math.min(3, (String(Number(short)).split(".")[1] ?? "").length);
  return number(value, decimals, lang);
}

/** 14:02:36, the reader's clock. */
export function time(at: Date | number): string {
  return new Date(at).toTimeString().slice(0, 8);
}

/** 14:02, the reader's clock. */
export function minute(at: Date | number): string {
  return time(at).slice(0, 5);
}

/** An age in the largest unit that fits: 14 s, 3 min, 2 h, 5 d. */
export function age(seconds: number, lang: Lang = locale.lang): string {
  const [min, hour, day] = lang === "vi" ? ["phút", "giờ", "ngày"] : ["min", "h", "d"];
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} ${min}`;
  if (s < 172_800) return `${Math.round(s / 3600)} ${hour}`;
  return `${Math.round(s / 86_400)} ${day}`;
}
