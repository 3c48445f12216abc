import { describe, expect, it } from "vitest";
import { locale } from "../i18n";
import type { Json } from "../live";
import { inputValue, onStep, readAction, typedValue, valuesOf, wholeInput, type Input } from "./action";
import { inputText } from "./text";

const batch = readAction("batch", {
  title: "Batch",
  input: {
    type: "object",
    required: ["recipe", "litres"],
    properties: {
      recipe: { title: "Recipe", type: "string", enum: ["cola", "lemon"] },
      litres: { titles: { en: "Amount", vi: "Lượng" }, type: "integer", unit: "litre", minimum: 1, maximum: 500 },
      rinse: { type: "boolean", default: true },
      note: { type: "string", maxLength: 20 },
      steps: { type: "array" },
    },
  },
});

describe("an action's inputs", () => {
  it("are read from its schema", () => {
    expect(batch.inputs.map((i) => [i.name, i.kind, i.required])).toEqual([
      ["recipe", "choice", true],
      ["litres", "integer", true],
      ["rinse", "boolean", false],
      ["note", "text", false],
      ["steps", "json", false],
    ]);
    expect(batch.ranged).toBeNull();
    expect(typedValue(batch.inputs[2]!, batch.inputs[2]!.initial)).toBe("true");
  });

  it("may be one bare value, one free number, or none", () => {
    expect(readAction("a", { input: { type: "number", minimum: 0, maximum: 5 } })).toMatchObject({ ranged: { name: "", minimum: 0, maximum: 5 } });
    expect(readAction("a", { input: { properties: { x: { type: "number" } } } })).toMatchObject({ ranged: null, inputs: [{ name: "x", kind: "number", required: true }] });
    expect(readAction("a", {}).inputs).toEqual([]);
    expect(readAction("a", { input: 5 }).inputs).toEqual([]);
  });

  const only = (schema: object): Input => readAction("a", { input: schema }).inputs[0]!;
  it.each<[object, string, Json | undefined]>([
    [{ type: "integer", minimum: 1, maximum: 9 }, "3", 3],
    [{ type: "integer", minimum: 1, maximum: 9 }, "3.5", undefined],
    [{ type: "integer", minimum: 1, maximum: 9 }, "10", undefined],
    [{ type: "number" }, " 1e3 ", 1000],
    [{ type: "number" }, "1,5", undefined],
    [{ type: "number" }, "", undefined],
    [{ type: "boolean" }, "false", false],
    [{ type: "boolean" }, "", undefined],
    [{ enum: [1, "1"] }, "1", 1],
    [{ enum: [1, "1"] }, '"1"', "1"],
    [{ enum: [1, "1"] }, "2", undefined],
    [{ type: "string" }, " go ", " go "],
    [{ type: "string" }, "  ", undefined],
    [{ type: "string", maxLength: 3 }, "bơm", "bơm"],
    [{ type: "string", maxLength: 3 }, "bơm 2", undefined],
    [{ type: "array" }, "[1, 2]", [1, 2]],
    [{ type: "array" }, "[1, 2", undefined],
  ])("%j typed as %j means %j", (schema, typed, want) => expect(inputValue(only(schema), typed)).toEqual(want));

  it("of numbers have a comma where people write one, and only there", () => {
    locale.lang = "vi";
    expect(inputValue(only({ type: "number", maximum: 9 }), "1,5")).toBe(1.5);
    expect(inputValue(only({ type: "number" }), "1.5")).toBe(1.5);
    expect(inputValue(only({ type: "number" }), "1,000,5")).toBeUndefined();
    locale.lang = "en";
  });

  // From 0 to 1 the slider of a valve knew only shut and open, and 0.25 was reviewed as 0.3.
  it.each([
    [{ type: "number", minimum: 20, maximum: 100 }, 1, 59.6, 60],
    [{ type: "number", minimum: 0, maximum: 1 }, 0.01, 0.253, 0.25],
    [{ type: "number", minimum: 0, maximum: 10 }, 0.1, 0.349, 0.3],
    [{ type: "number", minimum: 0, maximum: 1e-6 }, 1e-8, 2.49e-7, 2.5e-7],
    [{ type: "integer", minimum: 1, maximum: 5 }, 1, 2.4, 2],
    [{ type: "number", minimum: 0, maximum: 1, multipleOf: 0.5 }, 0.5, 0.4, 0.5],
  ])("on a scale %j go by %d", (schema, step, from, to) => {
    const { ranged } = readAction("a", { input: schema });
    expect(ranged?.step).toBe(step);
    expect(onStep(ranged!, from)).toBe(to);
  });

  it("come together as the device gets them, and are read again", () => {
    const values = new Map<string, Json>([["recipe", "cola"], ["litres", 12]]);
    expect(wholeInput(batch, values)).toEqual({ recipe: "cola", litres: 12 });
    expect(inputText(batch, { recipe: "cola", litres: 12 }, "vi")).toMatch(/^Recipe cola, Lượng 12/);
    expect(inputText(undefined, { a: 1.25 }, "en")).toBe("1.25");
    const bare = readAction("a", { input: { type: "number", unit: "%" } });
    expect(wholeInput(bare, new Map([["", 5]]))).toBe(5);
    expect(inputText(bare, 5, "en")).toBe("5 %");
    expect(wholeInput(readAction("a", {}), new Map())).toBeNull();
    expect(valuesOf(batch, null)).toEqual([]);
  });
});
