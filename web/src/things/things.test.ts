import { describe, expect, it } from "vitest";
import type { Thing } from "../live";
import { readDescription, type Description } from "../model/td";
import { en } from "./en";
import { fold, passes, said } from "./filter";
import { healthOf } from "./health";
import { inOrder } from "./order";
import { sparkPath } from "./spark";
import { relatives, treeOf } from "./tree";
import { vi } from "./vi";

const td = (id: string, more: object = {}) => readDescription({ id: `urn:echotwin:${id}`, title: id, ...more })!;
const book = (...all: Description[]) => new Map(all.map((d) => [d.id, d]));
const link = (rel: string, href: string) => ({ rel, href });

it("has the same words in both languages", () => {
  expect(Object.keys(vi).sort()).toEqual(Object.keys(en).sort());
  const places = (s: string) => [...s.matchAll(/\{\w+\}/g)].map(String).sort();
  for (const [key, text] of Object.entries(en)) expect(places(vi[key as keyof typeof en]), key).toEqual(places(text));
});

describe("the tree", () => {
  const lines = (rows: ReturnType<typeof treeOf>) => rows.map((r) => "  ".repeat(r.depth) + r.id + (r.thing ? "" : " -") + ` ${r.below}`);

  it("is made of the paths where nobody says otherwise", () => {
    const ids = ["plant/line1/pump", "plant/line1/tank", "lab/press"];
    expect(lines(treeOf(ids, book(), new Set()))).toEqual(["lab - 1", "  lab/press 0", "plant - 2", "  plant/line1 - 2", "    plant/line1/pump 0", "    plant/line1/tank 0"]);
  });
  it("follows links of either side, to a thing in several places too", () => {
    const all = book(td("area", { links: [link("contains", "urn:echotwin:m1")] }), td("m1"), td("x/m2", { links: [link("partOf", "http://h/api/things/area")] }), td("line", { links: [link("echotwin:contains", "m1")] }));
    expect(lines(treeOf([...all.keys()], all, new Set()))).toEqual(["area 2", "  m1 0", "  x/m2 0", "line 1", "  m1 0"]);
  });
  it("shows the ancestors of what was found, and not what is closed", () => {
    expect(lines(treeOf(["a/b/c"], book(td("a/b/c"), td("a/b/d")), new Set()))).toEqual(["a - 1", "  a/b - 1", "    a/b/c 0"]);
    expect(lines(treeOf(["a/b/c"], book(), new Set([">a"])))).toEqual(["a - 1"]);
  });
  it("counts what was found, and goes by number", () => {
    const all = book(td("l/line10"), td("l/line9"), td("l/line9/m10"), td("l/line9/m9"));
    expect(lines(treeOf([...all.keys()], all, new Set()))).toEqual(["l - 4", "  l/line9 2", "    l/line9/m9 0", "    l/line9/m10 0", "  l/line10 0"]);
    expect(lines(treeOf(["l/line9/m9"], all, new Set()))).toEqual(["l - 1", "  l/line9 1", "    l/line9/m9 0"]);
  });
  it("ends where links go in a circle", () => {
    const all = book(td("a", { links: [link("contains", "b")] }), td("b", { links: [link("contains", "a")] }));
    expect(lines(treeOf(["a", "b"], all, new Set()))).toEqual(["a 1", "  b 0"]);
  });
  it("knows the relatives of a thing", () => {
    const all = book(td("line", { links: [link("contains", "pump"), link("contains", "tank")] }), td("tank", { links: [link("feeds", "pump")] }), td("pump"));
    expect(relatives("pump", all)).toEqual({ partOf: ["line"], contains: [], feeds: [], fedBy: ["tank"] });
    expect(relatives("line", all)).toEqual({ partOf: [], contains: ["pump", "tank"], feeds: [], fedBy: [] });
  });
});

function thing(id: string, values: Record<string, number>, more: Partial<Thing> = {}): Thing {
  return { id, values: new Map(Object.entries(values).map(([n, value]) => [n, { value, ts: 1000 }])), stale: new Set(), quality: new Map(), desired: new Map(), online: "", ...more } as Thing;
}

describe("the filter", () => {
  const d = td("plant/cv-2", { titles: { en: "Conveyor", vi: "Băng tải" }, "@type": ["Conveyor", "saref:Device"], properties: { temperature: { type: "number", "echotwin:high": 75, "echotwin:priority": 2 } } });

  it.each([
    ["", true],
    ["bang TAI", true],
    ["cv-2 saref", true],
    ["pump", false],
  ])("%j", (q, want) => expect(said("plant/cv-2", d, q)).toBe(want));
  it("folds đ", () => expect(fold("Đường Ống")).toBe("duong ong"));
  it.each([
    ["good", thing("x", { temperature: 60 }), false],
    ["beyond", thing("x", { temperature: 80 }), true],
    ["stale", thing("x", { temperature: 60 }, { stale: new Set(["temperature"]) }), true],
    ["offline", thing("x", { temperature: 60 }, { online: "offline", stale: new Set(["temperature"]) }), true],
    ["bad", thing("x", { temperature: 60 }, { quality: new Map([["temperature", "bad"]]) }), true],
    ["silent", thing("x", {}), true],
  ] as const)("%s is abnormal: %#", (word, of, abnormal) => {
    expect(healthOf(of, d).word).toBe(word);
    expect(passes({ q: "", state: "abnormal", type: "" }, "x", of, d)).toBe(abnormal);
    expect(passes({ q: "", state: "offline", type: "Conveyor" }, "x", of, d)).toBe(word === "offline");
    expect(passes({ q: "", state: "all", type: "Pump" }, "x", of, d)).toBe(false);
  });
});

describe("the small picture of the last minutes", () => {
  const heights = (path: string) => [...path.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map((m) => Number(m[1]));

  it("fills its box with what moves, and keeps a steady value's last digit small", () => {
    expect(heights(sparkPath([0, 1, 2], [7, 8, 7], 100, 24))).toEqual([22.5, 1.5, 22.5]);
    expect(heights(sparkPath([0, 1, 2], [7, 8, 7], 100, 24, 10))).toEqual([13.1, 10.9, 13.1]);
    expect(heights(sparkPath([0, 1, 2], [20, 80, 20], 100, 24, 10))).toEqual([22.5, 1.5, 22.5]);
    expect(heights(sparkPath([0, 1], [5, 5], 100, 24))).toEqual([12, 12]);
    expect(heights(sparkPath([0, 1], [5, 5], 100, 24, 10))).toEqual([12, 12]);
  });
});

describe("the values in a row", () => {
  it("stand in one order whatever came first: limits, numbers, what nobody described, on and off", () => {
    const d = readDescription({ id: "urn:echotwin:a", properties: { a: { type: "boolean" }, b: { type: "number" }, c: { type: "number", "echotwin:alarms": { high: 5 } }, e: { type: "number" } } })!;
    for (const names of [["a", "b", "c", "e", "x"], ["x", "e", "c", "b", "a"]]) expect(inOrder(names, d)).toEqual(["c", "b", "e", "x", "a"]);
    expect(inOrder(["y", "x"], undefined)).toEqual(["x", "y"]);
  });
});
