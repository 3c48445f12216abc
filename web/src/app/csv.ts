import type { Series } from "../model/series";
import type { Signal } from "./plant";
import { keyOf } from "../model/series";

/** The readings behind the trends, one a line, as spreadsheets and pandas read them. */
export function csv(series: Series, signals: readonly Signal[]): string {
  const lines = ["time,thing,property,value"];
  for (const { thing, property } of signals) {
    const points = series.get(keyOf(thing, property));
    points?.x.forEach((x, i) => {
      const value = points.y[i];
      if (value !== null && value !== undefined) lines.push(`${new Date(x * 1000).toISOString()},${thing},${property},${value}`);
    });
  }
  return lines.join("\n") + "\n";
}

/** Gives a text to the browser's downloads. */
export function download(name: string, text: string, type: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}
