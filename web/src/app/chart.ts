// A live trend on a canvas: uPlot draws axes and line, hooks draw the normal
// band, the limits and the newest point in the colours of the theme.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Points } from "../model/series";
import type { Property } from "../model/td";
import { decimalsOf, firstAfter, timeSplits, yRange } from "./scale";

export interface Labels {
  number(value: number, decimals: number): string;
  /** A moment on a time axis with steps of so many seconds. */
  clock(at: number, step: number): string;
  now: string;
  high: string;
  low: string;
}

export interface Chart {
  paint(points: Points, property: Property, now: number, seconds: number): void;
  resize(width: number, height: number): void;
  end(): void;
}

const font = '10.5px "Inter", sans-serif';

/** Draws into box. `labels` is asked at each paint, so it follows the language; colours follow the theme. */
export function chart(box: HTMLElement, labels: () => Labels): Chart {
  let property: Property | undefined;
  let span = 300;
  const css = (name: string) => getComputedStyle(box).getPropertyValue(name).trim();
  const px = () => devicePixelRatio;
  const scaled = () => font.replace("10.5", String(10.5 * px()));

  const axis = { font, stroke: () => css("--mu"), ticks: { show: false } };
  const plot = new uPlot(
    {
      width: Math.max(60, box.clientWidth),
      height: Math.max(60, box.clientHeight),
      padding: [8, 14, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: (u) => [(u.data[0].at(-1) ?? 0) - span, u.data[0].at(-1) ?? 0] }, y: { range: (_u, low, high) => yRange(property, low, high) } },
      axes: [
        { ...axis, grid: { show: false }, size: 20, gap: 4, splits: (_u, _i, low, high) => timeSplits(low, high), values: (u, s) => s.map((v) => (v === u.scales.x!.max ? "" : labels().clock(v, (s[1] ?? 0) - (s[0] ?? 0)))) },
        { ...axis, grid: { stroke: () => css("--line"), width: 1 }, size: 44, gap: 6, space: 24, values: (_u, splits, _axis, _space, step) => splits.map((v) => labels().number(v, decimalsOf(step))) },
      ],
      series: [{}, { stroke: () => css("--trace"), width: 1.5, points: { show: false }, spanGaps: false }],
      hooks: { drawClear: [(u) => property?.band && band(u, property.band, css("--band"))], draw: [present, (u) => property && limits(u, property), (u) => property && newest(u, property)] },
    },
    [[], []],
    box,
  );

  /** The right end of the time axis; uPlot would centre its label there, half outside. */
  function present(u: uPlot): void {
    u.ctx.save();
    u.ctx.font = scaled();
    u.ctx.fillStyle = css("--mu");
    u.ctx.textAlign = "right";
    u.ctx.textBaseline = "top";
    u.ctx.fillText(labels().now, u.bbox.left + u.bbox.width + 8 * px(), u.bbox.top + u.bbox.height + 4 * px());
    u.ctx.restore();
  }

  function band(u: uPlot, [low, high]: [number, number], colour: string): void {
    const { left, top, width, height } = u.bbox;
    const y1 = Math.max(top, u.valToPos(high, "y", true));
    const y2 = Math.min(top + height, u.valToPos(low, "y", true));
    if (!(y2 > y1)) return;
    u.ctx.save();
    u.ctx.globalAlpha = 0.75;
    u.ctx.fillStyle = colour;
    u.ctx.fillRect(left, y1, width, y2 - y1);
    u.ctx.restore();
  }

  function limits(u: uPlot, p: Property): void {
    const { left, top, width, height } = u.bbox;
    for (const [value, name] of [[p.high, labels().high], [p.low, labels().low]] as const) {
      if (value === undefined) continue;
      const y = u.valToPos(value, "y", true);
      if (y < top || y > top + height) continue;
      u.ctx.save();
      u.ctx.strokeStyle = u.ctx.fillStyle = css("--p2tx");
      u.ctx.lineWidth = 1.2 * px();
      u.ctx.setLineDash([5 * px(), 3 * px()]);
      u.ctx.beginPath();
      u.ctx.moveTo(left, y);
      u.ctx.lineTo(left + width, y);
      u.ctx.stroke();
      u.ctx.font = scaled();
      u.ctx.textAlign = "left";
      u.ctx.textBaseline = "alphabetic";
      u.ctx.fillText(`${name} ${labels().number(value, 1)}`, left + 5 * px(), y - 4 * px());
      u.ctx.restore();
    }
  }

  function newest(u: uPlot, p: Property): void {
    const x = u.data[0].at(-1);
    const value = u.data[1]!.at(-1) ?? u.data[1]!.at(-2);
    if (x === undefined || value === null || value === undefined) return;
    const over = (p.high !== undefined && value > p.high) || (p.low !== undefined && value < p.low);
    u.ctx.save();
    u.ctx.fillStyle = over ? css(`--p${p.priority}`) : css("--trace");
    u.ctx.strokeStyle = css("--card");
    u.ctx.lineWidth = 1.3 * px();
    u.ctx.beginPath();
    u.ctx.arc(u.valToPos(x, "x", true), u.valToPos(value, "y", true), 3.6 * px(), 0, 7);
    u.ctx.fill();
    u.ctx.stroke();
    u.ctx.restore();
  }

  return {
    paint(points, of, now, seconds) {
      property = of;
      // A young chart grows up to its range, instead of being mostly empty.
      span = Math.min(seconds, Math.max(30, now - (points.x[0] ?? now)));
      const first = firstAfter(points.x, now - span);
      // The last place in time is now, so that the axis runs on while nothing comes.
      plot.setData([[...points.x.slice(first), now], [...points.y.slice(first), null]]);
    },
    resize: (width, height) => plot.setSize({ width, height }),
    end: () => plot.destroy(),
  };
}
