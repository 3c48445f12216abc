import { locale, type Lang } from "./locale.svelte";

const thin = "\u202f"; // narrow no-break space between thousands, in both languages
const formats = new Map<string, Intl.NumberFormat>();

/** A number with exactly so many decimals: 11 899.5 in English, 11 899,5 in Vietnamese. */
export function number(value: number, decimals = 0, lang: Lang = locale.lang): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1e15) return power(value, 2, lang); // nobody counts so many digits
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

/** A number that came without a description: as many decimals as it needs, at most three, and of a small one three digits that say something. */
export function plain(value: number, lang: Lang = locale.lang): string {
  const size = Math.abs(value);
  if (size > 0 && size < 0.001) return power(value, 2, lang);
  const short = size >= 1000 ? value.toFixed(1) : size < 0.1 ? value.toPrecision(3) : value.toPrecision(4);
  return number(value, Math.min(size < 0.01 ? 5 : size < 0.1 ? 4 : 3, decimalsOf(Number(short))), lang);
}

/** A number to its last digit, such as a limit or what is commanded: nothing of it may be rounded away. */
export function exact(value: number, lang: Lang = locale.lang): string {
  const size = Math.abs(value);
  return size >= 1e15 || (size > 0 && size < 1e-6) ? power(value, undefined, lang) : number(value, decimalsOf(value), lang);
}

/** So many decimals has the shortest text of a number. */
export function decimalsOf(value: number): number {
  return (String(value).split(".")[1] ?? "").length;
}

/** 1.5×10⁻⁹; without `digits` with all that there are. */
function power(value: number, digits: number | undefined, lang: Lang): string {
  const [mantissa, exponent] = value.toExponential(digits).split("e").map(Number) as [number, number];
  return number(mantissa, decimalsOf(mantissa), lang) + timesTen(exponent);
}

/** ×10⁻⁹ */
export function timesTen(exponent: number): string {
  return `×10${[...String(exponent)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)])).join("")}`;
}

/** 14:02:36, the reader's clock. */
export function time(at: Date | number): string {
  return new Date(at).toTimeString().slice(0, 8);
}

/** 14:02, the reader's clock. */
export function minute(at: Date | number): string {
  return time(at).slice(0, 5);
}

const dates = new Map<string, Intl.DateTimeFormat>();

function dateText(at: number, form: "day" | "year" | "month", lang: Lang): string {
  if (lang === "vi") {
    const d = new Date(at);
    const [day, month] = [d.getDate(), d.getMonth() + 1].map((n) => String(n).padStart(2, "0"));
    return form === "month" ? `${month}/${d.getFullYear()}` : form === "year" ? `${day}/${month}/${d.getFullYear()}` : `${day}/${month}`;
  }
  let format = dates.get(form);
  if (!format) {
    const month = "short";
    const year = "numeric";
    const options: Intl.DateTimeFormatOptions = form === "month" ? { month, year } : form === "year" ? { day: "numeric", month, year } : { day: "numeric", month };
    dates.set(form, (format = new Intl.DateTimeFormat("en-GB", options)));
  }
  return format.format(at);
}

/** 26 Nov in English, 26/11 in Vietnamese, with the year when it is not this one. */
export function date(at: number, lang: Lang = locale.lang): string {
  return dateText(at, new Date(at).getFullYear() === new Date().getFullYear() ? "day" : "year", lang);
}

/** A label on an axis of time whose labels are `step` ms apart: at midnight the day stands in place of 00:00. */
export function axisTime(at: number, step: number, lang: Lang = locale.lang): string {
  if (step >= 28 * 86_400_000) return dateText(at, "month", lang);
  const d = new Date(at);
  if (step >= 86_400_000 || (d.getHours() === 0 && d.getMinutes() === 0 && d.getSeconds() === 0)) return dateText(at, "day", lang);
  return step < 60_000 ? time(at) : minute(at);
}

/** A moment as exactly as a chart of this length (ms) shows it: 14:02:36, or 26 Nov 14:02. */
export function moment(at: number, length: number, lang: Lang = locale.lang): string {
  const clock = length <= 7_200_000 ? time(at) : minute(at);
  const today = new Date(at).toDateString() === new Date().toDateString();
  return today && length <= 86_400_000 ? clock : `${date(at, lang)} ${clock}`;
}

/** A moment of the past in full: 26 Nov 14:02:36. */
export function when(at: number, lang: Lang = locale.lang): string {
  return `${date(at, lang)} ${time(at)}`;
}

/** From when to when: 26 Nov 14:02:00 – 14:12:00. */
export function period(from: number, to: number, lang: Lang = locale.lang): string {
  const clock = to - from <= 7_200_000 ? time : minute;
  const same = new Date(from).toDateString() === new Date(to).toDateString();
  return `${date(from, lang)} ${clock(from)} – ${same ? "" : `${date(to, lang)} `}${clock(to)}`;
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
