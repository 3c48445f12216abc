// The board and its loader, with the server's answers in the test's hands and fake time.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Points } from "../model/series";
import { Series } from "../model/series";
import type { Property } from "../model/td";
import { Archive } from "./archive";
import { Board, type Source } from "./board.svelte";
import type { Bucket } from "./buckets";
import { press } from "./keys";
import { penKey, type Pen } from "./pen";

const pump: Pen = { thing: "plant/pump", property: "speed" };
const mode: Pen = { thing: "plant/pump", property: "mode" };
const start = Date.UTC(2026, 10, 26, 8);
const minute = 60_000;
const settled = 200;

const b = (ts: number, value: number, count = 1): Bucket => ({ ts, min: value, max: value, mean: value, last: value, count });

/** What the server is asked, and what it says. */
class Asked {
  urls: URL[] = [];
  signals: AbortSignal[] = [];
  seq = 100;
  epoch = "k3f9";
  series: object = { type: "number", unit: "%", buckets: [b(start - 2000, 1), b(start - 1000, 2)] };
  reply: ((url: URL) => Response | Promise<Response>) | null = null;

  fetch = async (path: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const url = new URL(String(path), "http://host");
    this.urls.push(url);
    this.signals.push(init!.signal!);
    if (this.reply) return this.reply(url);
    const q = url.searchParams;
    const [from, to] = [Number(q.get("from")), Number(q.get("to"))];
    return Response.json({ thing: q.get("thing"), from, to, step: (to - from) / Number(q.get("buckets")), epoch: this.epoch, seq: this.seq, series: [{ property: q.get("property"), ...this.series }] });
  };
}

function setUp(now = () => Date.now(), live = true) {
  const asked = new Asked();
  const series = new Series([]);
  series.begin(100);
  const property = (pen: Pen): Property => ({ name: pen.property, titles: { en: "", vi: "" }, tag: "", type: pen === mode ? "string" : "number", unit: "", priority: 3, period: 1 });
  const source: Source = {
    clock: { live, now },
    tail: (pen): Points | undefined => series.get(penKey(pen)),
    keep: (pen) => series.keep(penKey(pen), 100),
    epoch: () => "k3f9",
    property,
  };
  const board = new Board(source, new Archive(asked.fetch));
  board.setPens([pump]);
  /** A frame brings a reading, as the screen records it. */
  const reading = (pen: Pen, ts: number, value: number | string, seq: number) => series.add(penKey(pen), ts / 1000, value, seq - 1, seq);
  return { asked, series, board, reading };
}

const values = (board: Board, pen = pump) => board.sheet(pen).buckets.map((x) => x.last);

beforeEach(() => void vi.useFakeTimers({ now: start }));
afterEach(() => void vi.useRealTimers());

describe("a board", () => {
  it("shows history joined with the live tail", async () => {
    const { asked, board, reading } = setUp();
    reading(pump, start - 1500, 99, 95); // history has it already
    board.refresh();
    await vi.advanceTimersByTimeAsync(0);
    expect(asked.urls).toHaveLength(1);
    reading(pump, start + 1000, 3, 105);
    board.refresh();
    expect(values(board)).toEqual([1, 2, 3]);
    expect(board.status(board.sheet(pump))).toMatchObject({ shown: true, trouble: null });
  });

  it("shows the live tail before history has answered, and says that it is loading", async () => {
    const { asked, board, reading } = setUp();
    asked.reply = () => new Promise(() => undefined);
    board.refresh();
    expect(board.status(board.sheet(pump))).toMatchObject({ shown: false, loading: true });
    reading(pump, start, 3, 105);
    board.refresh();
    expect(values(board)).toEqual([3]);
  });

  it("asks again until history has reached the place from which the tail is whole", async () => {
    const { asked, board, series } = setUp();
    series.begin(140); // the connection was lost and is back
    asked.seq = 120;
    board.refresh();
    await vi.advanceTimersByTimeAsync(400);
    expect(asked.urls.length).toBe(2);
    asked.seq = 141;
    await vi.advanceTimersByTimeAsync(5000);
    const enough = asked.urls.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked.urls.length).toBe(enough);
  });

  it("fills from history what was missed while the connection was lost", async () => {
    const { asked, board, series, reading } = setUp();
    board.refresh();
    await vi.advanceTimersByTimeAsync(0);
    reading(pump, start, 3, 110);
    series.gap(start / 1000);
    board.refresh();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked.urls).toHaveLength(1); // nothing to ask while it is lost
    asked.series = { type: "number", unit: "%", buckets: [1, 2, 3, 4, 5, 6].map((v, i) => b(start - 2000 + i * 1000, v)) };
    asked.seq = 160;
    series.begin(150);
    reading(pump, start + 4000, 7, 165);
    board.refresh();
    await vi.advanceTimersByTimeAsync(settled);
    expect(asked.urls).toHaveLength(2);
    expect(values(board)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it("loses nothing of a long range when the tail lets go of its oldest readings", async () => {
    // The tail is eleven minutes long; what it had let go of was in no answer.
    const { asked, board, reading } = setUp();
    const all: Bucket[] = [];
    asked.reply = (url) => {
      const [from, to] = ["from", "to"].map((n) => Number(url.searchParams.get(n))) as [number, number];
      return Response.json({ thing: "plant/pump", from, to, step: (to - from) / Number(url.searchParams.get("buckets")), epoch: "k3f9", seq: 100 + all.reduce((n, x) => n + x.count, 0), series: [{ property: "speed", type: "number", buckets: all }] });
    };
    board.follow(24 * 60 * minute);
    for (let i = 1; i <= 3600; i++) {
      await vi.advanceTimersByTimeAsync(1000);
      reading(pump, start + i * 1000, i, 100 + i);
      const ts = Math.floor((start + i * 1000) / 300_000) * 300_000;
      const last = all.at(-1);
      if (last?.ts === ts) all[all.length - 1] = { ...last, max: i, last: i, count: last.count + 1 };
      else all.push(b(ts, i));
      if (i % 10 === 0) board.refresh();
    }
    await vi.advanceTimersByTimeAsync(settled);
    board.refresh();
    expect(board.sheet(pump).buckets.reduce((n, x) => n + x.count, 0)).toBe(3600);
    expect(asked.urls.length).toBeLessThanOrEqual(8);
  });

  it("does not compare places of two logs", async () => {
    const { asked, board, reading } = setUp();
    asked.epoch = "other";
    asked.seq = 9999;
    board.refresh();
    await vi.advanceTimersByTimeAsync(0);
    reading(pump, start - 1000 + 100, 50, 105); // in the last bucket: unknown whether it has it
    reading(pump, start + 4000, 3, 106);
    board.refresh();
    expect(values(board)).toEqual([1, 2, 3]);
  });

  it("asks once the range has come to rest, and takes back what nobody wants any more", async () => {
    const { asked, board } = setUp();
    board.refresh();
    await vi.advanceTimersByTimeAsync(0);
    asked.reply = () => new Promise(() => undefined);
    for (let i = 0; i < 40; i++) {
      board.panBy(-5 * minute);
      board.refresh();
      await vi.advanceTimersByTimeAsync(20);
    }
    expect(asked.urls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(settled);
    expect(asked.urls).toHaveLength(2);
    board.follow(60 * minute);
    board.refresh();
    expect(asked.signals[1]!.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(settled);
    expect(asked.urls).toHaveLength(3);
  });

  it("asks nothing again while time passes or somebody pans inside what is there", async () => {
    const { asked, board } = setUp();
    board.follow(10 * minute);
    board.refresh();
    await vi.advanceTimersByTimeAsync(0);
    for (let i = 0; i < 60; i++) {
      await vi.advanceTimersByTimeAsync(1000);
      board.refresh();
    }
    board.panBy(-1000);
    board.refresh();
    await vi.advanceTimersByTimeAsync(settled);
    expect(asked.urls.length).toBeLessThanOrEqual(2);
  });

  it("answers a range that was there before from memory", async () => {
    const { asked, board } = setUp();
    const first = { from: start - 1000 * minute, to: start - 900 * minute };
    for (const span of [first, { from: start - 2000 * minute, to: start - 1900 * minute }, first]) {
      board.show(span);
      board.refresh();
      await vi.advanceTimersByTimeAsync(settled);
    }
    expect(asked.urls).toHaveLength(2);
  });

  it("says why there is nothing, tries again by itself, and when asked", async () => {
    const { asked, board } = setUp();
    asked.reply = () => new Response(JSON.stringify({ error: "history is opening" }), { status: 503, headers: { "Retry-After": "7" } });
    board.refresh();
    await vi.advanceTimersByTimeAsync(0);
    expect(board.status(board.sheet(pump))).toMatchObject({ shown: false, trouble: { status: 503, message: "history is opening" } });
    board.refresh();
    await vi.advanceTimersByTimeAsync(6000);
    expect(asked.urls).toHaveLength(1);
    board.retry();
    expect(asked.urls).toHaveLength(2);
    asked.reply = null;
    await vi.advanceTimersByTimeAsync(8000);
    board.refresh();
    expect(board.status(board.sheet(pump))).toMatchObject({ shown: true, trouble: null });
  });

  it("does not repeat a request that is wrong, but looks for what may still come", async () => {
    for (const [code, most, least] of [[400, 1, 1], [404, 20, 3]] as const) {
      const { asked, board } = setUp();
      asked.reply = () => new Response(JSON.stringify({ error: "no" }), { status: code });
      board.refresh();
      await vi.advanceTimersByTimeAsync(60_000);
      expect(asked.urls.length).toBeLessThanOrEqual(most);
      expect(asked.urls.length).toBeGreaterThanOrEqual(least);
      board.end();
    }
  });

  it("says that a range is empty only when history has said so", async () => {
    const { asked, board } = setUp();
    asked.series = { type: "number", unit: "%", buckets: [] };
    board.refresh();
    expect(board.status(board.sheet(pump))).toMatchObject({ shown: false, loading: true });
    await vi.advanceTimersByTimeAsync(0);
    expect(board.status(board.sheet(pump))).toEqual({ shown: false, loading: false, trouble: null });
  });

  it("compares with the same length earlier, and moves it here", async () => {
    const { asked, board } = setUp();
    board.follow(10 * minute);
    board.compare = "previous";
    board.refresh();
    await vi.advanceTimersByTimeAsync(0);
    expect(asked.urls).toHaveLength(2);
    const [from, to] = ["from", "to"].map((n) => Number(asked.urls[1]!.searchParams.get(n))) as [number, number];
    expect(from).toBeLessThanOrEqual(start - 20 * minute);
    expect(to).toBeGreaterThanOrEqual(start - 10 * minute);
    board.refresh();
    const { then } = board.lineOf(board.sheet(pump));
    expect(then!.x[0]! * 1000).toBeGreaterThan(start + 9 * minute); // what was at the end is moved by ten minutes
    expect(board.reading(board.sheet(pump), start + 10 * minute - 1500).then?.last).toBe(1);
  });

  it("numbers the names of states as history does, and new ones after them", async () => {
    const { asked, board, reading } = setUp();
    asked.series = { type: "string", unit: "", names: ["auto", "hand"], buckets: [b(start - 1000, 1)] };
    board.setPens([mode]);
    board.refresh();
    await vi.advanceTimersByTimeAsync(0);
    reading(mode, start, "auto", 105);
    reading(mode, start + 2000, "service", 106);
    board.refresh();
    const sheet = board.sheet(mode);
    expect(sheet.state).toBe(true);
    expect(sheet.buckets.map((x) => sheet.names[x.last])).toEqual(["hand", "auto", "service"]);
  });

  it("keeps the tail of its pens and guests, and of no others", () => {
    const { board, series } = setUp();
    expect(series.get(penKey(pump))).toBeDefined();
    const gone = board.also(mode);
    const again = board.also(pump);
    expect(series.get(penKey(mode))).toBeDefined();
    gone();
    again();
    expect([series.get(penKey(mode)), series.get(penKey(pump)) !== undefined]).toEqual([undefined, true]);
    board.end();
    expect(series.get(penKey(pump))).toBeUndefined();
  });
});

describe("a board under a clock of the past", () => {
  it("ends at that moment, whatever the live tail says", async () => {
    let now = start - 1500;
    const { asked, board, reading } = setUp(() => now, false);
    reading(pump, start, 99, 105);
    board.refresh();
    await vi.advanceTimersByTimeAsync(0);
    board.refresh();
    expect(board.current().to).toBe(now);
    expect(values(board)).toEqual([1]);
    now += 1000;
    board.refresh();
    expect(values(board)).toEqual([1, 2]);
    expect(asked.urls).toHaveLength(1);
  });
});

describe("keys", () => {
  const key = (board: Board, key: string, shiftKey = false) => press(board, { key, shiftKey, ctrlKey: false, metaKey: false, altKey: false });
  it("move the cursor, zoom around it, pan and reset", () => {
    const { board } = setUp();
    board.follow(10 * minute);
    expect(key(board, "ArrowLeft")).toBe(true);
    expect(board.cursor).toBeLessThan(start);
    key(board, "Home");
    expect(board.cursor).toBe(start - 10 * minute);
    key(board, "+");
    expect(board.span).toEqual({ from: start - 10 * minute, to: start - 5 * minute });
    key(board, "ArrowLeft", true);
    expect(board.span!.from).toBe(start - 11.25 * minute);
    key(board, "-");
    expect(board.length).toBe(10 * minute);
    key(board, "0");
    expect(board.following).toBe(true);
    expect([key(board, "Escape"), board.cursor, key(board, "Escape"), key(board, "x")]).toEqual([true, null, false, false]);
    expect(press(board, { key: "0", shiftKey: false, ctrlKey: true, metaKey: false, altKey: false })).toBe(false);
  });
  it("pan back into the present follows it again", () => {
    const { board } = setUp();
    board.follow(10 * minute);
    key(board, "ArrowLeft", true);
    expect(board.following).toBe(false);
    key(board, "ArrowRight", true);
    expect(board.following).toBe(true);
  });
});
