// What numbers and states have in common on a canvas: the axis of time, fonts,
// colours of the theme, and where the plotting area lies.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { timeLabels, timeTicks } from "./scale";

/** The texts of a chart. They are asked for at each paint, so they follow the language. */
export interface Labels {
  number(value: number, decimals: number): string;
  /** A moment, ms, on an axis of time: `step` ms from label to label, at midnight the day instead of 00:00. */
  clock(at: number, step: number): string;
  now: string;
  high: string;
  low: string;
}

/** Where the plotting area lies in its box, in CSS pixels. */
export interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Whole pixels: uPlot multiplies the last digits before "px" by the screen's resolution, and 10.5px would become 10.10px. */
const size = 11;
export const font = `${size}px "Inter", sans-serif`;

export class Brush {
  constructor(readonly box: HTMLElement) {}

  /** A colour of the theme by the name of its property, or the colour itself. */
  colour(name: string): string {
    return name.startsWith("--") ? getComputedStyle(this.box).getPropertyValue(name).trim() : name;
  }
  get px(): number {
    return devicePixelRatio;
  }
  get font(): string {
    return font.replace(String(size), String(size * this.px));
  }
}

export function axes(brush: Brush, labels: () => Labels, following: () => boolean) {
  const base = { font, stroke: () => brush.colour("--mu"), ticks: { show: false } };
  const time: uPlot.Axis = {
    ...base,
    grid: { show: false },
    size: 20,
    gap: 4,
    splits: (u, _i, low, high) => timeTicks(low * 1000, high * 1000, Math.max(2, Math.floor(u.bbox.width / brush.px / 66))).map((t) => t / 1000),
    values: (u, splits) => {
      // uPlot centres labels, so one too near an end would be cut, or covered by "now".
      const { min, max } = u.scales.x as { min: number; max: number };
      const texts = timeLabels(splits.map((s) => s * 1000), labels().clock);
      const room = (max - min) / Math.max(1, u.bbox.width / brush.px);
      return splits.map((s, i) => (s - min < room * 4 || max - s < room * (following() ? 46 : 16) ? "" : texts[i]!));
    },
  };
  return { base, time };
}

/** The right end of an axis of time that follows the present; uPlot would centre the label there, half outside. */
export function present(u: uPlot, brush: Brush, text: string): void {
  u.ctx.save();
  u.ctx.font = brush.font;
  u.ctx.fillStyle = brush.colour("--mu");
  u.ctx.textAlign = "right";
  u.ctx.textBaseline = "top";
  u.ctx.fillText(text, u.bbox.left + u.bbox.width + 8 * brush.px, u.bbox.top + u.bbox.height + 4 * brush.px);
  u.ctx.restore();
}

export function areaOf(u: uPlot): Area {
  const px = devicePixelRatio;
  return { left: u.bbox.left / px, top: u.bbox.top / px, width: u.bbox.width / px, height: u.bbox.height / px };
}

/** Clips what `draw` draws to the plotting area. */
export function inside(u: uPlot, draw: () => void): void {
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  u.ctx.clip();
  draw();
  u.ctx.restore();
}

/** The left axis' width: charts above each other share their axis of time. */
export const leftAxis = 44;
export const padding: uPlot.Padding = [8, 14, 0, 0];
