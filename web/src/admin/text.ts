import { age, number } from "../i18n";
import type { Row } from "./connections.svelte";

/** 812 B, 14.2 kB, 3.1 MB: powers of a thousand. */
export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  while (n >= 999.95 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${number(n, i === 0 ? 0 : 1)} ${units[i]}`;
}

/** How far behind: 0, 120 ms, 14 s. */
export function lagText(ms: number): string {
  if (ms === 0) return "0";
  return ms < 1000 ? `${number(ms)} ms` : age(ms / 1000);
}

/** Whether somebody should look: it takes nothing, was too slow for its events, or is further behind than its slowest rate explains. */
export function late(row: Row): boolean {
  const slowest = Math.min(...row.subscriptions.map((s) => s.rate), 1);
  return row.stalled > 1000 || row.missed > 0 || row.lag.ms > 5000 + 2000 / slowest;
}
