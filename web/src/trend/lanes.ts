// Trends of states on a canvas: one lane a pen, a bar for as long as a state
// held, with its name in it where there is room. The same axis of time as numbers.
import uPlot from "uplot";
import type { Stretch } from "./buckets";
import type { Chart, Stroke } from "./chart";
import { areaOf, axes, Brush, inside, leftAxis, padding, present, type Labels } from "./plot";

export interface Lane {
  stretches: Stretch[];
  /** The earlier period, already moved to where it is compared. */
  then: Stretch[];
  /** What a value of the states is called. */
  name(value: number): string;
  /** How many different values there are: "off" is drawn emptier than "on". */
  values: number;
}

export interface LanesPicture {
  /** Seconds. */
  from: number;
  to: number;
  following: boolean;
  lanes: Lane[];
}

export type Lanes = Omit<Chart, "paint"> & { paint(picture: LanesPicture): void };

export function lanes(box: HTMLElement, strokes: readonly Stroke[], labels: () => Labels): Lanes {
  let picture: LanesPicture = { from: 0, to: 1, following: false, lanes: [] };
  const brush = new Brush(box);
  const { time } = axes(brush, labels, () => picture.following);
  const plot = new uPlot(
    {
      width: Math.max(60, box.clientWidth),
      height: Math.max(40, box.clientHeight),
      padding,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: () => [picture.from, picture.to] }, y: { range: () => [0, 1] } },
      axes: [time, { show: true, size: leftAxis, splits: () => [], grid: { show: false }, ticks: { show: false } }],
      series: [{}, { show: false }],
      hooks: { draw: [(u) => inside(u, () => picture.lanes.forEach((lane, i) => draw(u, lane, i))), (u) => picture.following && present(u, brush, labels().now)] },
    },
    [[], []],
    box,
  );

  function draw(u: uPlot, lane: Lane, i: number): void {
    const height = u.bbox.height / strokes.length;
    const top = u.bbox.top + i * height;
    const gap = 3 * brush.px;
    const thin = lane.then.length > 0 ? Math.round(height * 0.26) : 0;
    const colour = brush.colour(strokes[i]!.colour);
    bars(u, lane, lane.stretches, top + gap, height - 2 * gap - thin, colour, true);
    if (thin > 0) bars(u, lane, lane.then, top + height - gap - thin + brush.px, thin - brush.px, colour, false);
  }

  function bars(u: uPlot, lane: Lane, all: Stretch[], top: number, height: number, colour: string, named: boolean): void {
    const c = u.ctx;
    c.font = brush.font;
    c.textBaseline = "middle";
    c.textAlign = "left";
    for (const s of all) {
      const x1 = Math.max(u.bbox.left, u.valToPos(s.from / 1000, "x", true));
      const x2 = Math.min(u.bbox.left + u.bbox.width, u.valToPos(s.to / 1000, "x", true));
      if (x2 <= x1) continue;
      const width = Math.max(brush.px, x2 - x1);
      c.globalAlpha = (named ? 1 : 0.6) * shade(s.value, lane.values);
      c.fillStyle = colour;
      c.fillRect(x1, top, width, height);
      c.globalAlpha = named ? 0.9 : 0.5;
      c.fillRect(x1, top + height - 1.5 * brush.px, width, 1.5 * brush.px);
      if (s.mixed) hatch(c, x1, top, width, height);
      c.globalAlpha = 1;
      const text = s.mixed ? "" : lane.name(s.value);
      if (!named || c.measureText(text).width + 12 * brush.px > width) continue;
      c.fillStyle = brush.colour("--tx");
      c.fillText(text, x1 + 6 * brush.px, top + height / 2);
    }
  }

  /** It changed more often than can be drawn apart. */
  function hatch(c: CanvasRenderingContext2D, x: number, y: number, width: number, height: number): void {
    c.save();
    c.beginPath();
    c.rect(x, y, width, height);
    c.clip();
    c.globalAlpha = 0.55;
    c.strokeStyle = brush.colour("--tx");
    c.lineWidth = brush.px;
    c.beginPath();
    const apart = 6 * brush.px;
    for (let k = Math.floor((x - height) / apart) * apart; k < x + width; k += apart) {
      c.moveTo(k, y + height);
      c.lineTo(k + height, y);
    }
    c.stroke();
    c.restore();
  }

  return {
    paint(next) {
      picture = next;
      plot.setData([[next.from, next.to], [null, null]]);
    },
    resize: (width, height) => plot.setSize({ width, height }),
    area: () => areaOf(plot),
    canvas: () => plot.ctx.canvas,
    end: () => plot.destroy(),
  };
}

/** How full a state's bar is: the first nearly empty, the others apart from each other, never so full that its name cannot be read. */
function shade(value: number, values: number): number {
  return 0.07 + (0.38 * Math.max(0, value)) / Math.max(1, values - 1);
}
