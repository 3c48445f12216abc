// Trends as files: the readings by the server's own stream, the charts as a picture.
import { period, t } from "../i18n";
import { csvUrl } from "./archive";
import type { Board } from "./board.svelte";
import { fileName, picture, save, type Panel } from "./picture";

/** The board as a PNG, with its title, its range and what it is compared with. */
export function exportPng(board: Board, title: string, panels: Panel[], root: HTMLElement): void {
  const { span, earlier } = board.frame;
  const lines = [period(span.from, span.to)];
  if (earlier > 0) lines.push(t("comparedWith", { period: period(span.from - earlier, span.to - earlier) }));
  const colour = (name: string) => (name.startsWith("--") ? getComputedStyle(root).getPropertyValue(name).trim() : name);
  picture(title, lines, panels, colour).toBlob((blob) => blob && save(fileName(span.to, "png"), blob), "image/png");
}

/** More lines than a spreadsheet takes are exported as what each step held. */
const rows = 1_000_000;

/** The CSV that the server streams of every thing on the board for the shown range, as one file. Throws what the server said when it will not. */
export async function exportCsv(board: Board): Promise<void> {
  const span = board.current();
  const things = new Map<string, string[]>();
  let readings = 0;
  for (const pen of board.pens) {
    things.set(pen.thing, [...(things.get(pen.thing) ?? []), pen.property]);
    readings += board.statistics(board.sheet(pen)).now?.count ?? 0;
  }
  const parts: BlobPart[] = [];
  for (const [thing, properties] of things) {
    const response = await fetch(csvUrl({ thing, properties, ...span }, readings > rows ? board.step : undefined), { credentials: "same-origin", cache: "no-store" });
    if (!response.ok) throw new Error(((await response.json().catch(() => null)) as { error?: string } | null)?.error ?? `HTTP ${response.status}`);
    const csv = await response.blob();
    // The head of the table once.
    parts.push(parts.length === 0 ? csv : csv.slice(await headOf(csv)));
  }
  save(fileName(span.to, "csv"), new Blob(parts, { type: "text/csv" }));
}

async function headOf(csv: Blob): Promise<number> {
  const start = new Uint8Array(await csv.slice(0, 4096).arrayBuffer());
  return start.indexOf(10) + 1;
}
