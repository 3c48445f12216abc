import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Thing } from "../live";
import { readDescription, type Description } from "../model/td";
import { penKey, penOf } from "../trend/pen";
import { en } from "./en";
import { most, strokeOf } from "./pens";
import { bare, search } from "./search";
import { vi } from "./vi";

describe("a pen in a URL", () => {
  it.each([
    ["plant/line1/cv-2", "temperature"],
    ["lab", "on/off"],
    ["a/b", "50 % & more"],
  ])("%s %s comes back", (thing, property) => expect(penOf(penKey({ thing, property }))).toEqual({ thing, property }));
  it.each(["", "plant/cv-2", "plant/cv-2/properties/", "/properties/x", "pl ant/properties/x", "a/b/c/d/e/f/g/h/i/properties/x"])("%j is none", (text) => expect(penOf(text)).toBeNull());
});

describe("the words of the page", () => {
  it("have the same keys and places in both languages", () => {
    const places = (s: string) => [...s.matchAll(/\{\w+\}/g)].map(String).sort();
    expect(Object.keys(vi).sort()).toEqual(Object.keys(en).sort());
    for (const key of Object.keys(en) as (keyof typeof en)[]) expect(places(vi[key]), key).toEqual(places(en[key]));
  });
});

describe("the search for signals", () => {
  const td = readDescription({ id: "urn:echotwin:plant/cv-2", titles: { en: "Transfer conveyor", vi: "Băng tải chuyển" }, "echotwin:tag": "CV-02", properties: { temperature: { type: "number", titles: { en: "Bearing temperature", vi: "Nhiệt độ ổ trục" }, "echotwin:tag": "TT-202" }, speed: { type: "number" }, config: { type: "object" } } })!;
  const descriptions = new Map<string, Description>([[td.id, td]]);
  const things = new Map<string, Thing>([["lab/esp32", { id: "lab/esp32", values: new Map([["led", { value: true, ts: 0 }], ["list", { value: [1], ts: 0 }]]), stale: new Set(), quality: new Map(), desired: new Map(), online: "" }]]);
  const found = (words: string) => search(words, descriptions, things, 10).found.flatMap((f) => f.pens.map((p) => `${f.thing} ${p.pen.property}`));

  it("without words has everything that can be drawn", () => expect(found("")).toEqual(["lab/esp32 led", "plant/cv-2 temperature", "plant/cv-2 speed"]));
  it.each(["tt-202", "Bearing", "nhiet do", "NHIỆT ĐỘ", "cv-02 temp", "chuyen truc", "plant temperature"])("%s finds the bearing", (words) => expect(found(words)).toEqual(["plant/cv-2 temperature"]));
  it.each(["nothing", "cv-02 led"])("%s finds nothing", (words) => expect(found(words)).toEqual([]));
  it("says how many more there are", () => expect(search("", descriptions, things, 1)).toMatchObject({ found: { length: 1 }, more: 2 }));
  it("knows that đ is a d", () => expect(bare("Độ rung Đ")).toBe("do rung d"));
});

describe("the pens", () => {
  const css = readFileSync(new URL("pens.css", import.meta.url), "utf8");
  const tokens = readFileSync(new URL("../theme/tokens.css", import.meta.url), "utf8");
  const themes = [0, 1].map((i) => ({
    pens: [...css.split("[data-theme")[i]!.matchAll(/--pen\d: (#\w{6})/g)].map((m) => rgb(m[1]!)),
    card: rgb(/--card: (#\w{6})/.exec(tokens.split("[data-theme")[i]!)![1]!),
  }));

  it.each([0, 1])("of theme %d stand out from the card (3 to 1)", (i) => {
    expect(themes[i]!.pens).toHaveLength(most);
    for (const pen of themes[i]!.pens) expect(contrast(pen, themes[i]!.card)).toBeGreaterThanOrEqual(3);
  });

  it.each([0, 1])("of theme %d can be told apart, by who sees no red or no green too", (i) => {
    const { pens } = themes[i]!;
    for (const eyes of [full, noRed, noGreen]) {
      pens.forEach((a, k) => pens.slice(0, k).forEach((b) => expect(distance(seen(a, eyes), seen(b, eyes))).toBeGreaterThan(0.09)));
    }
  });

  it("are dashed where there are many", () => {
    expect(new Set(Array.from({ length: most }, (_, i) => JSON.stringify(strokeOf(i)))).size).toBe(most);
    expect(strokeOf(7).dash).not.toEqual([]);
  });
});

type Triple = [number, number, number];
type Matrix = [Triple, Triple, Triple];

// Machado, Oliveira and Fernandes 2009, severity 1; distances in OKLab (Ottosson 2020).
const full: Matrix = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
const noRed: Matrix = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]];
const noGreen: Matrix = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]];
const toCones: Matrix = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]];
const toLab: Matrix = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]];

function rgb(hex: string): Triple {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255) as Triple;
}
function linear(c: Triple): Triple {
  return c.map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)) as Triple;
}
function times(m: Matrix, v: Triple): Triple {
  return m.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]) as Triple;
}
function contrast(a: Triple, b: Triple): number {
  const [x, y] = [a, b].map((c) => times([[0.2126, 0.7152, 0.0722], [0, 0, 0], [0, 0, 0]], linear(c))[0]).sort((p, q) => q - p) as [number, number];
  return (x + 0.05) / (y + 0.05);
}
function seen(c: Triple, eyes: Matrix): Triple {
  const light = times(eyes, linear(c)).map((x) => Math.min(1, Math.max(0, x))) as Triple;
  return times(toLab, times(toCones, light).map((x) => Math.cbrt(Math.max(0, x))) as Triple);
}
function distance(a: Triple, b: Triple): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}
