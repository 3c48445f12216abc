import { describe, expect, it } from "vitest";
import { number } from "../i18n";
import { unitText } from "./text";
import { asWritten } from "./units";

describe("units are shown as people write them", () => {
  it.each([
    ["Cel", "°C"],
    ["ucum:Cel", "°C"],
    ["http://qudt.org/vocab/unit/DEG_C", "°C"],
    ["https://qudt.org/vocab/unit/KiloW-HR", "kWh"],
    ["unit:M-PER-SEC", "m/s"],
    ["qudt:BAR", "bar"],
    ["kW.h", "kWh"],
    ["m3/h", "m³/h"],
    ["mm.s-1", "mm/s"],
    ["bar", "bar"],
    ["N·m", "N·m"],
    ["percent", "%"],
    ["M", "M"], // of no vocabulary: as it came
    ["unit:NO-SUCH", "NO-SUCH"],
    ["toString", "toString"],
    ["", ""],
  ])("%j", (said, want) => expect(asWritten(said)).toBe(want));
  it("in the words and decimals of the reader", () => {
    expect([unitText(asWritten("PER-MIN"), "vi"), unitText(asWritten("unit:HR"), "vi"), unitText("bottles", "vi"), unitText("°C", "vi")]).toEqual(["/phút", "giờ", "chai", "°C"]);
    expect([number(41.5, 1, "vi"), number(41.5, 1, "en")]).toEqual(["41,5", "41.5"]);
  });
});
