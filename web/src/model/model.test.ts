import { describe, expect, it, vi } from "vitest";
import type { Snapshot } from "../live";
import { Store } from "../live";
import { Catalog } from "./catalog";
import { priorityOf, readingOf } from "./reading";
import { Series, slope } from "./series";
import { readDescription } from "./td";
import { dataText } from "./text";

const td = {
  id: "urn:echotwin:plant/cv-2",
  title: "Transfer conveyor",
  titles: { en: "Transfer conveyor", vi: "Băng tải chuyển" },
  "echotwin:tag": "CV-02",
  properties: {
    temperature: { title: "Bearing temperature", type: "number", unit: "°C", minimum: 20, maximum: 100, "echotwin:high": 75, "echotwin:low": 5, "echotwin:priority": 2, "echotwin:band": [35, 70], "echotwin:decimals": 1 },
    mode: { type: "string" },
  },
  actions: {
    setSpeed: { title: "SPEED", "echotwin:feedback": "speed", input: { type: "object", properties: { speed: { type: "number", unit: "percent", minimum: 20, maximum: 100 } } } },
    home: { title: "HOME" },
  },
  events: { jam: { titles: { en: "Jam", vi: "Kẹt" }, data: { type: "object", properties: { current: { title: "Current", titles: { vi: "Dòng điện" }, unit: "A", "echotwin:decimals": 1 }, side: {} } } }, count: { data: { type: "integer", unit: "bph" } } },
};

describe("a thing description", () => {
  it("is read for what the screen needs", () => {
    const d = readDescription(td)!;
    expect([d.id, d.tag, d.titles.vi, d.undescribed]).toEqual(["plant/cv-2", "CV-02", "Băng tải chuyển", false]);
    expect(d.properties.get("temperature")).toMatchObject({ unit: "°C", high: 75, low: 5, priority: 2, band: [35, 70], decimals: 1, minimum: 20, maximum: 100 });
    expect(d.properties.get("mode")?.titles).toEqual({ en: "mode", vi: "mode" });
    expect([...d.actions.keys()]).toEqual(["setSpeed", "home"]);
    expect(d.actions.get("setSpeed")).toMatchObject({ ranged: { name: "speed", minimum: 20, maximum: 100, step: 1 }, unit: "%", feedback: "speed", risk: "low", interlocks: [] });
    expect(d.actions.get("home")).toMatchObject({ inputs: [], ranged: null });
    const guarded = readDescription({ id: "a", actions: { go: { "echotwin:feedback": { property: "x", tolerance: 1 }, "echotwin:risk": "high", "echotwin:interlocks": [{ when: "x<1", message: "Slow" }, 7], input: { properties: { y: { minimum: 0, maximum: 1 } } } } } })!;
    expect(guarded.actions.get("go")).toMatchObject({ feedback: "x", risk: "high", interlocks: [{ en: "Slow", vi: "Slow" }, { en: "", vi: "" }] });
    expect(d.events.get("jam")?.vi).toBe("Kẹt");
    const jam = d.events.get("jam");
    expect(dataText(jam, { current: 7.25, side: "left", at: { x: 1 } }, "vi")).toBe('Dòng điện 7.3 A, side left, at (x 1)');
    expect(dataText(jam, { current: 7, side: "left" }, "en", 1)).toBe("Current 7.0 A");
    expect(dataText(d.events.get("count"), 12, "en")).toBe("12 bph");
    expect(dataText(undefined, 12, "en")).toBe("12");
    expect(dataText(undefined, { who: "Ẩn", at: { x: 1.5, y: [2, 3] }, none: null, list: [1, { a: true }], empty: {} }, "en")).toBe("who Ẩn, at (x 1.5, y (2, 3)), none –, list (1, (a Yes)), empty (–)");
    expect(dataText(jam, null, "en")).toBe("");
  });

  it.each([null, 7, [], {}, { id: 3 }, { id: "" }])("%j is none", (wrong) => expect(readDescription(wrong)).toBeNull());

  it("with wrong members is read without them", () => {
    const d = readDescription({ id: "a", properties: { x: { minimum: "0", maximum: NaN, "echotwin:band": [1], "echotwin:priority": 9, "echotwin:decimals": 99 }, y: null }, actions: 5, titles: { en: 5 } })!;
    expect(d.properties.get("x")).toMatchObject({ minimum: undefined, maximum: undefined, band: undefined, priority: 3, decimals: 6 });
    expect(d.properties.has("y")).toBe(true);
    expect(d.titles.en).toBe("a");
  });
});

describe("a reading", () => {
  const store = new Store();
  const d = readDescription(td)!;
  const show = (value: unknown, marks: object = {}) => {
    store.snapshot({ type: "snapshot", sub: "s", epoch: "e", seq: 1, matched: 1, hidden: 0, more: false, things: { "plant/cv-2": { state: { temperature: value }, ...marks } } } as unknown as Snapshot);
    return readingOf(store, d, "plant/cv-2", "temperature");
  };

  it.each([
    [75, 0, undefined],
    [75.1, 2, 75],
    [4.9, 2, 5],
    ["hot", 0, undefined],
  ])("of %s is beyond a limit with priority %d", (value, priority, limit) => {
    expect(show(value)).toMatchObject({ beyond: priority });
    expect(show(value).limit).toBe(limit);
  });

  it("that cannot be believed has the sign of a fault, unless a limit says more", () => {
    expect(priorityOf(show(50, { quality: { temperature: "out_of_range" } }))).toBe(4);
    expect(priorityOf(show(90, { quality: { temperature: "out_of_range" } }))).toBe(2);
    expect(show(50, { stale: ["temperature"] }).stale).toBe(true);
  });

  it("of something nobody described has its own name", () => {
    expect(readingOf(store, undefined, "lab/esp32", "led")).toMatchObject({ value: undefined, property: { name: "led", titles: { en: "led", vi: "led" } } });
  });
});

describe("the catalog", () => {
  it("asks for an unknown thing once in a while, not at 10 Hz, and lives without an answer", async () => {
    vi.useFakeTimers();
    const get = vi.fn(async () => Promise.reject(new Error("404")));
    const catalog = new Catalog(get);
    for (let i = 0; i < 100; i++) await catalog.want("lab/esp32", "x");
    expect(get).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(31_000);
    await catalog.want("lab/esp32", "x");
    expect(get).toHaveBeenCalledTimes(2);
    vi.useRealTimers();
  });

  it("reads the list once more however often it is asked to meanwhile, asks for no thing beside it, and what was dropped stays so", async () => {
    const answers: ((page: unknown) => void)[] = [];
    const get = vi.fn((_: string) => new Promise((resolve) => answers.push(resolve)));
    const catalog = new Catalog(get);
    const first = catalog.load();
    const later = [catalog.load(), catalog.load(), catalog.renew(["plant/cv-2"])];
    await catalog.want("lab/esp32", "x");
    catalog.drop("plant/cv-2");
    expect(get.mock.calls).toEqual([["/api/things?limit=1000"]]);
    answers[0]!([td]);
    await first;
    expect(catalog.descriptions.size, "the page is older than the deletion").toBe(0);
    await vi.waitFor(() => expect(get).toHaveBeenCalledTimes(2));
    answers[1]!([td]);
    await Promise.all(later);
    expect(get).toHaveBeenCalledTimes(2);
    expect([...catalog.descriptions.keys()]).toEqual(["plant/cv-2"]);
  });

  it("asks again when a described thing sends a property that is not in its description", async () => {
    const get = vi.fn(async () => td);
    const catalog = new Catalog(get);
    await catalog.want("plant/cv-2", "temperature");
    await catalog.want("plant/cv-2", "temperature");
    expect(get).toHaveBeenCalledTimes(1);
    expect(catalog.descriptions.get("plant/cv-2")?.tag).toBe("CV-02");
  });
});

describe("a series", () => {
  it("keeps what was asked for, as long as it should, and breaks at gaps once", () => {
    const s = new Series(["a#x"], 60, 1000);
    s.add("b#y", 0, 1, 0, 1);
    for (let i = 0; i < 3000; i++) s.add("a#x", i, i, i, i + 1);
    s.gap(3000);
    s.gap(3001);
    const p = s.get("a#x")!;
    expect(s.get("b#y")).toBeUndefined();
    expect(p.x.length).toBeLessThanOrEqual(60 + 256 + 1);
    expect([p.y.length, p.prev.length, p.seq.length]).toEqual([p.x.length, p.x.length, p.x.length]);
    expect(p.x[0]).toBeLessThanOrEqual(2999 - 60);
    expect(p.y.filter((v) => v === null)).toHaveLength(1);
  });

  it("is bounded by count whatever the rate", () => {
    const s = new Series(["k"], 1e9, 500);
    for (let i = 0; i < 5000; i++) s.add("k", i / 1000, i, i, i + 1);
    expect(s.get("k")!.x.length).toBe(500);
    expect(s.get("k")!.y.at(-1)).toBe(4999);
    s.begin(10);
    s.add("k", 5, 5000, 5000, 5001);
    expect(s.get("k")!.since).toBe(4501); // what was let go is missing
  });

  it("is kept as long as anybody wants it, and no longer", () => {
    const s = new Series([]);
    const first = s.keep("k", 7);
    const second = s.keep("k", 9);
    first();
    first();
    s.add("k", 1, 1, 9, 10);
    expect(s.get("k")!.y).toEqual([1]);
    second();
    expect(s.get("k")).toBeUndefined();
  });

  it("says from which place of the log nothing is missing", () => {
    const s = new Series(["k"]);
    expect(s.get("k")!.since).toBe(Infinity);
    s.begin(100);
    s.keep("later", 120);
    expect([s.get("k")!.since, s.get("later")!.since]).toEqual([100, 120]);
    s.gap(5);
    s.keep("in between", Infinity);
    expect([s.get("k")!.since, s.get("in between")!.since]).toEqual([Infinity, Infinity]);
    s.begin(200);
    expect([s.get("k")!.since, s.get("later")!.since, s.get("in between")!.since]).toEqual([200, 200, 200]);
  });

  it("tells its slope per minute, and says nothing across a gap or of too little", () => {
    const s = new Series(["k"]);
    for (let i = 0; i <= 60; i++) s.add("k", 1000 + i, 20 + i * 0.5, i, i + 1);
    expect(slope(s.get("k")!)).toBeCloseTo(30, 6);
    s.gap(1061);
    s.add("k", 1062, 50, 62, 63);
    expect(slope(s.get("k")!)).toBeNaN();
    expect(slope(new Series(["none"]).get("none")!)).toBeNaN();
  });
});
