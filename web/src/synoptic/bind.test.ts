// @vitest-environment jsdom
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Reading } from "../model/reading";
import { undescribedProperty } from "../model/td";
import { bind, thingsIn, type Source } from "./bind";
import text from "./line.svg?raw";
import { harmless } from "./load";

const readings = new Map<string, Partial<Reading>>();
const source: Source = {
  read: (thing, property) => ({
    thing, property: undescribedProperty(property, 0), value: undefined, ts: 0, stale: false, quality: "", beyond: 0, ...readings.get(`${thing}#${property}`),
  }),
  title: (thing) => `title of ${thing}`,
  tag: (thing) => thing.toUpperCase(),
  text: (r) => (r.value === undefined ? "–" : String(r.value)),
  unit: () => "bar",
  age: () => "14 s",
};

function drawing(inside: string): SVGElement {
  const svg = new DOMParser().parseFromString(`<svg xmlns="http://www.w3.org/2000/svg">${inside}</svg>`, "image/svg+xml").documentElement;
  return document.importNode(svg, true) as unknown as SVGElement;
}
const classes = (e: Element | null) => e?.getAttribute("class")?.split(" ").sort().join(" ");

beforeEach(() => readings.clear());

describe("a drawing", () => {
  it("shows a value box with tag, value, unit, age of the old and sign of the abnormal", () => {
    const svg = drawing('<g data-bind="pump#pressure" data-width="80"/>');
    const live = bind(svg, source, () => {});
    const box = svg.querySelector("g")!;
    live.paint("");
    expect(box.textContent).toBe("title of pump–");
    expect(classes(box)).toBe("stale tv");

    readings.set("pump#pressure", { value: 3.4 });
    live.paint("");
    expect(box.textContent).toBe("title of pump3.4bar");
    expect(classes(box)).toBe("tv");
    expect(box.querySelector(".pri")!.hasAttribute("hidden")).toBe(true);

    readings.set("pump#pressure", { value: 9, beyond: 2, stale: true });
    live.paint("");
    expect(classes(box)).toBe("a2 stale tv");
    expect(box.querySelector(".age")!.textContent).toBe("14 s");
    expect(box.querySelector(".pri")!.textContent).toBe("2");

    readings.set("pump#pressure", { value: 3, quality: "bad" });
    live.paint("");
    expect(classes(box)).toBe("a4 tv");
  });

  it("fills a level from below", () => {
    const svg = drawing('<rect data-bind="tank#level" data-as="level" y="10" height="200"/>');
    const live = bind(svg, source, () => {});
    const rect = svg.querySelector("rect")!;
    for (const [value, y, height] of [[25, "160.0", "50.0"], [0, "210.0", "0.0"], [250, "10.0", "200.0"], ["?", "210.0", "0.0"]] as const) {
      readings.set("tank#level", { value, property: { ...undescribedProperty("level", 0), minimum: 0, maximum: 100 } });
      live.paint("");
      expect([rect.getAttribute("y"), rect.getAttribute("height")]).toEqual([y, height]);
    }
  });

  it("tells running, stopped and not known apart", () => {
    const svg = drawing('<rect class="eq" data-bind="m#running" data-as="running"/>');
    const live = bind(svg, source, () => {});
    const seen = ([undefined, true, false] as const).map((value) => {
      readings.set("m#running", { value });
      live.paint("");
      return classes(svg.querySelector("rect"));
    });
    expect(seen).toEqual(["eq unknown", "eq", "eq stop"]);
    readings.set("m#running", { value: false, stale: true });
    live.paint("");
    expect(classes(svg.querySelector("rect"))).toBe("eq unknown");
  });

  it("selects by pointer and by key, and says what is selected", () => {
    const svg = drawing('<g data-thing="pump"/><g data-thing="tank"/>');
    const select = vi.fn();
    const live = bind(svg, source, select);
    live.paint("tank");
    const [pump, tank] = [...svg.querySelectorAll("g")];
    expect([pump!.getAttribute("aria-pressed"), tank!.getAttribute("aria-pressed")]).toEqual(["false", "true"]);
    expect([pump!.getAttribute("role"), pump!.getAttribute("tabindex")]).toEqual(["button", "0"]);
    pump!.dispatchEvent(new MouseEvent("click"));
    tank!.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
    tank!.dispatchEvent(new KeyboardEvent("keydown", { key: "Tab" }));
    expect(select.mock.calls).toEqual([["pump"], ["tank"]]);
  });

  it("writes only what changed", async () => {
    const svg = drawing('<g data-thing="pump"><g data-bind="pump#pressure"/><text data-title="pump"/><text data-bind="pump#pressure"/></g>');
    readings.set("pump#pressure", { value: 3.4 });
    const live = bind(svg, source, () => {});
    live.paint("pump");
    const seen: MutationRecord[] = [];
    const observer = new MutationObserver((m) => seen.push(...m));
    observer.observe(svg, { childList: true, characterData: true, subtree: true });
    live.paint("pump");
    await Promise.resolve();
    expect(seen).toEqual([]);
    observer.disconnect();
  });
});

describe("the line's own drawing", () => {
  const svg = drawing(text.replace(/^<svg[^>]*>|<\/svg>\s*$/g, ""));

  it("names all equipment of the demo line that has a place on it", () => {
    const names = "tank pump valve depalletiser rinser filler capper inspection labeller packer conveyor-1 conveyor-2 conveyor-3 air".split(" ");
    expect([...thingsIn(svg)].sort()).toEqual(names.map((n) => `plant/line1/${n}`).sort());
  });

  it("holds nothing that a strict policy forbids", () => {
    expect(text).not.toMatch(/style=|<style|<script|\son\w+=|href=/);
  });
});

describe("a drawing from anywhere", () => {
  it("is stripped of what could run, load or style", () => {
    const svg = drawing(
      '<script>x</script><style>*{}</style><foreignObject/><image href="http://evil/x"/><a href="javascript:x"><rect/></a><rect onclick="x" style="fill:red" class="eq"/><use href="#a"/>',
    );
    expect(harmless(svg).innerHTML.replace(/ xmlns="[^"]*"/g, "")).toBe('<rect class="eq"></rect>');
  });
});
