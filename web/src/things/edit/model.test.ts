import { expect, it } from "vitest";
import { instanceOf, type Use } from "./model";

const use: Use = {
  model: "pump", optional: ["/events/dry", "/properties/a~1b"], things: [], hidden: 0, models: [],
  placeholders: [
    { name: "N", at: ["/title"], type: "string" },
    { name: "MAX", at: ["/properties/flow/maximum"], type: "number" },
    { name: "UNIT", at: ["/properties/flow/unit"], type: "string", default: "l/h" },
    { name: "RO", at: ["/properties/flow/readOnly"], type: "boolean" },
  ],
};

it("makes a description of what was filled in, with numbers as numbers", () => {
  expect(instanceOf("plant/p7", use, { N: "7", MAX: "14,5", UNIT: "", RO: true }, { "/events/dry": true })).toEqual({
    id: "plant/p7", "echotwin:model": "pump", "echotwin:values": { N: "7", MAX: 14.5, RO: true }, events: { dry: null },
  });
  expect(instanceOf("a", use, { MAX: "fast" }, { "/properties/a~1b": true })).toEqual({
    id: "a", "echotwin:model": "pump", "echotwin:values": { MAX: "fast", RO: false }, properties: { "a/b": null },
  });
});
