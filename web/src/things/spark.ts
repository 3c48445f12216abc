/**
 * A line of readings in a box, as an SVG path; "" when there are fewer than two
 * numbers. A gap (null, or no number) breaks it. Of many points only as many are
 * drawn as the box is wide. The box is never less than `least` high, so that the
 * last digit of a steady value does not look like a storm.
 */
export function sparkPath(x: readonly number[], y: readonly unknown[], wide: number, high: number, least = 0): string {
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
  const span = Math.max(top - low, least);
  const floor = (low + top - span) / 2;
  const py = (v: number) => (span === 0 ? high / 2 : 1.5 + (1 - (v - floor) / span) * (high - 3)).toFixed(1);
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
