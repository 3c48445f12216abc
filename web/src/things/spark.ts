/**
 * A line of readings in a box, as an SVG path; "" when there are fewer than two
 * numbers. A gap (null, or no number) breaks it. Of many points only as many are
 * drawn as the box is wide.
 */
export function sparkPath(x: readonly number[], y: readonly unknown[], wide: number, high: number): string {
  let [low, top, from, to, numbers] = [Infinity, -Infinity, NaN, NaN, 0];
  for (const [i, value] of y.entries()) {
    const v = typeof value === "boolean" ? Number(value) : value;
    if (typeof v !== "number") continue;
    numbers++;
    low = Math.min(low, v);
    top = Math.max(top, v);
    from = Number.isNaN(from) ? x[i]! : Math.min(from, x[i]!);
    to = Number.isNaN(to) ? x[i]! : Math.max(to, x[i]!);
  }
  if (numbers < 2 || !(to > from)) return "";
  const px = (at: number) => (((at - from) / (to - from)) * wide).toFixed(1);
  const py = (v: number) => (top === low ? high / 2 : 1.5 + (1 - (v - low) / (top - low)) * (high - 3)).toFixed(1);
  let [path, pen, before] = ["", "M", ""];
  for (const [i, value] of y.entries()) {
    const v = typeof value === "boolean" ? Number(value) : value;
    if (typeof v !== "number") {
      pen = "M";
      continue;
    }
    const at = px(x[i]!);
    if (at === before && pen === "L" && i < y.length - 1) continue;
    path += `${pen}${at} ${py(v)}`;
    [pen, before] = ["L", at];
  }
  return path;
}
