import { describe, expect, it } from "vitest";
import { differences, nearest, placeOf } from "./json";

const text = `{
  "id": "a\\"b", "list": [1, {"x/y": true}],
  "properties": {"speed": {"type": "nummer"}}
}`;

describe("a place in a text", () => {
  it("is found by its pointer", () => {
    const at = (pointer: string) => {
      const p = placeOf(text, pointer);
      return p && text.slice(p.from, p.to);
    };
    expect(at("/properties/speed/type")).toBe('"nummer"');
    expect(at("/list/1/x~1y")).toBe("true");
    expect(at("/list/0")).toBe("1");
    expect(at("/id")).toBe('"a\\"b"');
    expect(at("")).toBe(text);
    expect(at("/none")).toBeNull();
    expect(at("/list/7")).toBeNull();
  });
  it("is the nearest when there is none, and nothing hangs on what is no JSON", () => {
    const near = nearest(text, "/properties/speed/unit");
    expect(text.slice(near.from, near.to)).toBe('{"type": "nummer"}');
    expect(nearest(text, "/none")).toEqual({ from: 0, to: 0 });
    for (let i = 0; i < text.length; i++) nearest(text.slice(0, i) + "}]" + text.slice(i + 1), "/properties/speed/type");
  });
});

describe("differences", () => {
  it("are told by their places", () => {
    expect(differences({ a: 1, b: { c: [1], d: 2 } }, { a: 1, b: { c: [2], d: 2 }, "e/f": 0 })).toEqual(["/b/c", "/e~1f"]);
    expect(differences({ a: 1 }, { a: 1 })).toEqual([]);
    expect(differences([1], [2])).toEqual(["/"]);
  });
});
