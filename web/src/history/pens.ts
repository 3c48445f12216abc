import type { Stroke } from "../trend/chart";
import type { Sheet } from "../trend/board.svelte";
import { penKey } from "../trend/pen";

/** So many pens can still be told apart. */
export const most = 8;

const dashes = [[], [], [], [], [9, 4], [9, 4], [3, 3], [3, 3]];

/** How the pen in this place of the list looks. */
export function strokeOf(index: number): Stroke {
  const i = index % most;
  return { colour: `--pen${i + 1}`, dash: dashes[i]! };
}

/** Pens that share a scale, in the order in which they were chosen. */
export interface Group {
  key: string;
  unit: string;
  members: { sheet: Sheet; stroke: Stroke }[];
}

/** Numbers share a scale with those of their unit, or have each their own; all states are together. */
export function groups(sheets: readonly Sheet[], own: boolean): Group[] {
  const all = new Map<string, Group>();
  sheets.forEach((sheet, i) => {
    const unit = sheet.state ? "" : sheet.property.unit;
    const key = sheet.state ? "states" : own ? penKey(sheet.pen) : `unit ${unit}`;
    let group = all.get(key);
    if (!group) all.set(key, (group = { key, unit, members: [] }));
    group.members.push({ sheet, stroke: strokeOf(i) });
  });
  return [...all.values()];
}
