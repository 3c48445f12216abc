import type { Points } from "../model/series";
import type { Property } from "../model/td";
import type { Unsubscribe } from "../live";
import type { Answer, HistorySeries } from "./answer";
import type { Archive } from "./archive";
import { at, join, line, silence, statistics, stretches, type Bucket, type Drawn, type Live, type Statistics, type Stretch } from "./buckets";
import type { Clock } from "./clock";
import { Loader, type Trouble, type Want } from "./loader";
import { isState, numberOf, penKey, type Pen } from "./pen";
import { earlier, notAfter, orderly, shift, stepFor, windowFor, zoom, type Compare, type Span } from "./range";

/** What a board needs of the screen around it. */
export interface Source {
  clock: Clock;
  /** The live tail of a pen; undefined when nobody keeps it. */
  tail(pen: Pen): Points | undefined;
  keep(pen: Pen): Unsubscribe;
  /** Where the live tail is in which log; an empty epoch when it is nowhere. */
  epoch(): string;
  property(pen: Pen): Property;
}

/** One pen as it is now: what to draw, and what to say about a moment. */
export interface Sheet {
  pen: Pen;
  property: Property;
  state: boolean;
  names: string[];
  step: number;
  buckets: Bucket[];
  silent: number;
  /** Until here it is known what there was, ms. */
  until: number;
  then: { buckets: Bucket[]; step: number; names: string[]; silent: number; until: number } | null;
}

/** What all charts of one board show. A new object at every paint. */
export interface Frame {
  span: Span;
  now: number;
  following: boolean;
  /** How much earlier the compared period is, 0 for none. */
  earlier: number;
}

/** Whether a pen has anything in the range that is shown, and why nothing or not all. */
export interface Status {
  shown: boolean;
  loading: boolean;
  trouble: Trouble | null;
}

/**
 * Several trends over the same time: the range, the period it is compared
 * with, the cursor, and for each pen history joined with the live tail.
 */
export class Board {
  /** The range that following shows, and that a reset returns to, ms. */
  home = $state(600_000);
  /** What somebody zoomed or panned to; null follows the present. */
  span = $state.raw<Span | null>(null);
  compare = $state<Compare>("");
  /** The moment under the pointer or the keyboard's cursor, ms. */
  cursor = $state<number | null>(null);
  pens = $state.raw<readonly Pen[]>([]);
  /** Pens that are drawn somewhere else over the same time. */
  guests = $state.raw<readonly Pen[]>([]);
  frame = $state.raw<Frame>({ span: { from: 0, to: 1 }, now: 0, following: true, earlier: 0 });
  /** Rises when an answer or a trouble came. */
  version = $state(0);

  #source: Source;
  #loader: Loader;
  #kept = new Map<string, Unsubscribe>();
  #buckets = 300;

  constructor(source: Source, archive: Archive) {
    this.#source = source;
    this.#loader = new Loader(archive, () => this.version++);
  }

  /** Whether its present is the real one. */
  get live(): boolean {
    return this.#source.clock.live;
  }
  get following(): boolean {
    return this.span === null;
  }
  get length(): number {
    return this.span ? this.span.to - this.span.from : this.home;
  }

  setPens(pens: readonly Pen[]): void {
    this.pens = pens;
    this.#keep();
  }

  /** Draws one more pen until the function that it returns is called. */
  also(pen: Pen): Unsubscribe {
    const guest = { ...pen };
    this.guests = [...this.guests, guest];
    this.#keep();
    return () => {
      this.guests = this.guests.filter((g) => g !== guest);
      this.#keep();
    };
  }

  #all(): Map<string, Pen> {
    return new Map([...this.pens, ...this.guests].map((pen) => [penKey(pen), pen]));
  }

  #keep(): void {
    const all = this.#all();
    for (const [key, pen] of all) if (!this.#kept.has(key)) this.#kept.set(key, this.#source.keep(pen));
    for (const [key, release] of this.#kept) {
      if (all.has(key)) continue;
      release();
      this.#kept.delete(key);
    }
  }

  /** How many points a chart has room for. */
  setWidth(pixels: number): void {
    // In few sizes, so that the same questions are asked again.
    this.#buckets = pixels > 900 ? 1000 : pixels > 450 ? 500 : 300;
  }

  follow(length = this.home): void {
    this.home = length;
    this.span = null;
  }
  show(span: Span): void {
    this.span = notAfter(orderly(span.from, span.to), this.#source.clock.now());
  }
  reset(): void {
    this.span = null;
  }
  zoomBy(factor: number, moment: number): void {
    this.show(zoom(this.current(), factor, moment));
  }
  panBy(ms: number): void {
    const now = this.#source.clock.now();
    const next = notAfter(shift(this.current(), ms), now);
    // Back at the present at the usual length is following it again.
    if (ms > 0 && next.to >= now && Math.abs(next.to - next.from - this.home) < 1) this.reset();
    else this.span = next;
  }

  /** What is shown now. */
  current(): Span {
    const now = this.#source.clock.now();
    return this.span ?? { from: now - this.home, to: now };
  }

  /** Moves everything on to the present moment, and asks for what is missing of it. */
  refresh(): void {
    const now = this.#source.clock.now();
    const span = this.current();
    const by = earlier(this.compare, span);
    this.frame = { span, now, following: this.span === null, earlier: by };
    this.#loader.want([...this.#wants(span, now, false), ...(by > 0 ? this.#wants(shift(span, -by), now, true) : [])]);
  }

  retry(): void {
    this.#loader.retry();
  }

  end(): void {
    this.guests = [];
    this.setPens([]);
    this.#loader.end();
  }

  /** The step that is asked for now. */
  get step(): number {
    return stepFor(this.length, this.#buckets);
  }

  #wants(span: Span, now: number, then: boolean): Want[] {
    const { step } = this;
    const window = windowFor(span, step);
    const inPast = past(window.to, now);
    return [...this.#all().values()].map((pen) => ({
      slot: slotOf(pen, then),
      ask: { thing: pen.thing, properties: [pen.property], step, ...window },
      reach: inPast ? null : this.#reach(pen),
    }));
  }

  #reach(pen: Pen): Want["reach"] {
    const epoch = this.#source.epoch();
    const seq = this.#source.tail(pen)?.since ?? Infinity;
    return this.#source.clock.live && epoch && Number.isFinite(seq) ? { epoch, seq } : null;
  }

  sheet(pen: Pen): Sheet {
    const property = this.#source.property(pen);
    const period = property.period && property.period * 1000;
    const answer = this.#loader.answer(slotOf(pen, false));
    const series = seriesOf(answer, pen);
    const names = series?.names.slice() ?? [];
    const step = answer?.step ?? this.step;
    const buckets = this.#joined(pen, answer, series, step, names);
    const before = this.frame.earlier > 0 ? this.#loader.answer(slotOf(pen, true)) : null;
    const earlier = seriesOf(before, pen);
    return {
      pen,
      property,
      state: isState(series?.type ?? property.type),
      names,
      step,
      buckets,
      silent: silence(buckets, step, period),
      until: this.#until(answer),
      then: before && earlier ? { buckets: earlier.buckets, step: before.step, names: earlier.names, silent: silence(earlier.buckets, before.step, period), until: this.#until(before) } : null,
    };
  }

  #until(answer: Answer | null): number {
    const now = this.#source.clock.now();
    return answer && past(answer.to, now) ? answer.to : now;
  }

  #joined(pen: Pen, answer: Answer | null, series: HistorySeries | null, step: number, names: string[]): Bucket[] {
    const history = series?.buckets ?? [];
    const { clock } = this.#source;
    const now = clock.now();
    if (!clock.live) return history.filter((b) => b.ts < now);
    if (answer && past(answer.to, now)) return history;
    // Places in another log say nothing about this one: then only what is later in time can follow.
    const same = answer !== null && answer.epoch === this.#source.epoch();
    const end = same || !answer ? -Infinity : (history.at(-1)?.ts ?? -Infinity) + step;
    return join(history, step, same ? answer.seq : -1, live(this.#source.tail(pen), Math.max(end, answer?.from ?? -Infinity), names));
  }

  status({ pen, buckets, step }: Sheet): Status {
    const slot = slotOf(pen, false);
    const { span } = this.frame;
    return {
      shown: buckets.some((b) => b.ts + step > span.from && b.ts < span.to),
      loading: this.#loader.loading(slot) || (this.#kept.has(penKey(pen)) && !this.#loader.answer(slot)),
      trouble: this.#loader.trouble(slot),
    };
  }

  /** Whether anything is on its way. */
  get loading(): boolean {
    return this.pens.some((p) => this.#loader.loading(slotOf(p, false)) || this.#loader.loading(slotOf(p, true)));
  }

  lineOf({ buckets, step, silent, until, then }: Sheet): { now: Drawn; then: Drawn | null } {
    return {
      now: line(buckets, step, silent, until),
      then: then && line(then.buckets, then.step, then.silent, then.until, this.frame.earlier),
    };
  }

  stretchesOf({ buckets, step, silent, until, then }: Sheet): { now: Stretch[]; then: Stretch[] } {
    return {
      now: stretches(buckets, step, silent, until),
      then: then ? stretches(then.buckets, then.step, then.silent, then.until, this.frame.earlier) : [],
    };
  }

  /** What a pen had at a moment, and what the earlier period has there. */
  reading(sheet: Sheet, moment: number): { now: Bucket | null; then: Bucket | null } {
    const { then } = sheet;
    return {
      now: moment > this.frame.now ? null : at(sheet.buckets, sheet.step, sheet.silent, moment),
      then: then ? at(then.buckets, then.step, then.silent, moment - this.frame.earlier) : null,
    };
  }

  statistics(sheet: Sheet): { now: Statistics | null; then: Statistics | null } {
    const { span, earlier } = this.frame;
    const { then } = sheet;
    return {
      now: statistics(sheet.buckets, sheet.step, span.from, span.to),
      then: then ? statistics(then.buckets, then.step, span.from - earlier, span.to - earlier) : null,
    };
  }
}

/** Nothing that ends there can still be on its way through the log. */
const past = (end: number, now: number): boolean => end < now - 60_000;

const slotOf = (pen: Pen, then: boolean): string => (then ? `then ${penKey(pen)}` : penKey(pen));

function seriesOf(answer: Answer | null, pen: Pen): HistorySeries | null {
  return answer?.series.find((s) => s.property === pen.property) ?? null;
}

function* live(points: Points | undefined, from: number, names: string[]): Generator<Live> {
  if (!points) return;
  for (let i = 0; i < points.x.length; i++) {
    const value = numberOf(points.y[i], names);
    const ts = points.x[i]! * 1000;
    if (Number.isFinite(value) && ts >= from) yield { ts, value, prev: points.prev[i]!, seq: points.seq[i]! };
  }
}
