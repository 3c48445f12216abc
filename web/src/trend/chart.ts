// A trend of numbers on a canvas: uPlot draws axes and lines, hooks draw the
// normal band, the limits and the newest point in the colours of the theme.
import uPlot from "uplot";
import { timesTen } from "../i18n/format";
import type { Property } from "../model/td";
import type { Drawn } from "./buckets";
import { areaOf, axes, Brush, inside, leftAxis, padding, present, type Area, type Labels } from "./plot";
import { decimalsOf, powerOf, yRange } from "./scale";

/** How one pen looks. */
export interface Stroke {
  /** A colour or the name of a colour of the theme. */
  colour: string;
  dash: number[];
}

export interface Trace {
  now: Drawn;
  /** The earlier period, already moved to where it is compared. */
  then: Drawn | null;
}

export interface Picture {
  /** Seconds. */
  from: number;
  to: number;
  /** Its right end is the present. */
  following: boolean;
  traces: Trace[];
  /** Of the only pen: its band, its limits and the mark at its newest value are drawn. */
  property: Property | null;
  /** Of all pens, for a scale when there is nothing to see. */
  scale: Property | undefined;
}

export interface Chart {
  paint(picture: Picture): void;
  resize(width: number, height: number): void;
  area(): Area;
  canvas(): HTMLCanvasElement;
  end(): void;
}

const parts = 4; // of a trace, the lowest first: max, min, compared, mean

/** Draws so many pens into box. Colours follow the theme. */
export function chart(box: HTMLElement, strokes: readonly Stroke[], labels: () => Labels): Chart {
  let picture: Picture = { from: 0, to: 1, following: false, traces: [], property: null, scale: undefined };
  const brush = new Brush(box);
  const { base, time } = axes(brush, labels, () => picture.following);
  const only = strokes.length === 1;

  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const [i, s] of strokes.entries()) {
    const first = 1 + i * parts;
    const quiet = { points: { show: false }, spanGaps: false };
    series.push({ ...quiet, stroke: "transparent", width: 0 }, { ...quiet, stroke: "transparent", width: 0 });
    series.push({ ...quiet, stroke: () => faint(brush.colour(s.colour), 0.55), width: 1.1, dash: [3, 3] });
    series.push({ spanGaps: false, points: { show: false, filter: lonely, size: 3.2, width: 0, fill: () => brush.colour(s.colour) }, stroke: () => brush.colour(s.colour), width: 1.5, dash: s.dash });
    bands.push({ series: [first, first + 1], fill: () => faint(brush.colour(s.colour), only ? 0.28 : 0.2) });
  }

  let power = 0; // of ten, which the labels of the axis leave out
  function figures(_u: uPlot, splits: number[], _axis: number, _space: number, step: number): string[] {
    power = powerOf(splits, step);
    const one = 10 ** power;
    return splits.map((v) => labels().number(v / one, decimalsOf(step / one)));
  }

  const plot = new uPlot(
    {
      width: Math.max(60, box.clientWidth),
      height: Math.max(60, box.clientHeight),
      padding,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: () => [picture.from, picture.to] }, y: { range: (_u, low, high) => yRange(picture.scale, low, high) } },
      axes: [time, { ...base, grid: { stroke: () => brush.colour("--line"), width: 1 }, size: leftAxis, gap: 6, space: 24, values: figures }],
      series,
      bands,
      hooks: {
        drawClear: [(u) => picture.property?.band && band(u, picture.property.band)],
        draw: [
          (u) => picture.following && present(u, brush, labels().now),
          (u) => picture.property && limits(u, picture.property),
          (u) => power !== 0 && times(u),
          (u) => only && picture.following && newest(u, picture.property),
        ],
      },
    },
    [[], ...series.slice(1).map(() => [])] as uPlot.AlignedData,
    box,
  );

  function band(u: uPlot, [low, high]: [number, number]): void {
    inside(u, () => {
      const y1 = u.valToPos(high, "y", true);
      u.ctx.globalAlpha = 0.75;
      u.ctx.fillStyle = brush.colour("--band");
      u.ctx.fillRect(u.bbox.left, y1, u.bbox.width, u.valToPos(low, "y", true) - y1);
    });
  }

  function limits(u: uPlot, p: Property): void {
    const { left, top, width, height } = u.bbox;
    const px = brush.px;
    for (const [value, name] of [[p.high, labels().high], [p.low, labels().low]] as const) {
      if (value === undefined) continue;
      const y = u.valToPos(value, "y", true);
      if (y < top || y > top + height) continue;
      u.ctx.save();
      u.ctx.strokeStyle = u.ctx.fillStyle = brush.colour("--p2tx");
      u.ctx.lineWidth = 1.2 * px;
      u.ctx.setLineDash([5 * px, 3 * px]);
      u.ctx.beginPath();
      u.ctx.moveTo(left, y);
      u.ctx.lineTo(left + width, y);
      u.ctx.stroke();
      u.ctx.font = brush.font;
      u.ctx.textAlign = "left";
      u.ctx.textBaseline = "alphabetic";
      u.ctx.fillText(`${name} ${labels().number(value, 1)}`, left + 5 * px, y - 4 * px);
      u.ctx.restore();
    }
  }

  /** What all labels of the axis are times, above them. */
  function times(u: uPlot): void {
    u.ctx.save();
    u.ctx.font = brush.font;
    u.ctx.fillStyle = brush.colour("--mu");
    u.ctx.textAlign = "left";
    u.ctx.textBaseline = "top";
    u.ctx.fillText(timesTen(power), u.bbox.left + 5 * brush.px, u.bbox.top + 2 * brush.px);
    u.ctx.restore();
  }

  function newest(u: uPlot, p: Property | null): void {
    const drawn = picture.traces[0]?.now;
    const x = drawn?.x.at(-1);
    const value = drawn?.mean.at(-1);
    if (x === undefined || value === null || value === undefined || x < picture.from) return;
    const over = p && ((p.high !== undefined && value > p.high) || (p.low !== undefined && value < p.low));
    u.ctx.save();
    u.ctx.fillStyle = brush.colour(over ? `--p${p.priority}` : strokes[0]!.colour);
    u.ctx.strokeStyle = brush.colour("--card");
    u.ctx.lineWidth = 1.3 * brush.px;
    u.ctx.beginPath();
    u.ctx.arc(u.valToPos(x, "x", true), u.valToPos(value, "y", true), 3.6 * brush.px, 0, 7);
    u.ctx.fill();
    u.ctx.stroke();
    u.ctx.restore();
  }

  return {
    paint(next) {
      picture = next;
      plot.setData(align(next.traces));
    },
    resize: (width, height) => plot.setSize({ width, height }),
    area: () => areaOf(plot),
    canvas: () => plot.ctx.canvas,
    end: () => plot.destroy(),
  };
}

/** All traces on one axis of time. What one trace has no value for is undefined, which breaks no line; its gaps are null. */
export function align(traces: readonly Trace[]): uPlot.AlignedData {
  const none: Drawn = { x: [], mean: [], min: [], max: [], wide: false };
  const tables: uPlot.AlignedData[] = [];
  const expand = 2; // a gap reaches to the values beside it, over the moments that only other pens have
  for (const { now, then } of traces) {
    // Without a width there is no band to fill, and filling is what costs.
    const empty = now.wide ? null : now.x.map(() => null);
    const t = then ?? none;
    tables.push([now.x, empty ?? now.max, empty ?? now.min], [t.x, t.mean], [now.x, now.mean]);
  }
  return tables.length > 0 ? uPlot.join(tables, tables.map((columns) => columns.map(() => expand))) : [[]];
}

/** The values without a neighbour to draw a line to: they are drawn as points, or nobody would see them. */
function lonely(u: uPlot, series: number): number[] | null {
  const y = u.data[series]!;
  const [from, to] = u.series[0]!.idxs ?? [0, -1];
  const out: number[] = [];
  let run = 0; // how many values since the last gap
  let last = -1;
  for (let k = from; k <= to + 1; k++) {
    const v = k > to ? null : y[k];
    if (v === undefined) continue;
    if (v === null) {
      if (run === 1) out.push(last);
      run = 0;
    } else {
      run++;
      last = k;
    }
  }
  return out.length > 0 ? out : null;
}

/** A colour of which only a part is seen. */
function faint(colour: string, alpha: number): string {
  const [, hex] = /^#([0-9a-f]{6})$/i.exec(colour) ?? [];
  return hex ? `#${hex}${Math.round(alpha * 255).toString(16).padStart(2, "0")}` : colour;
}
