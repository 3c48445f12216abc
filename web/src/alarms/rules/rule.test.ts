import { describe, expect, it, test } from "vitest";
import { authored, draftOf, fieldsOf, triable, urgency, type Rule } from "./rule";

describe("a form says what the rule says", () => {
  const rules: Rule[] = [
    { id: "warm", thing: "plant/line1/*", property: "temperature", high: 70, highHigh: 90, hysteresis: 2, onDelay: 5, priority: 3, message: "{value}", suppress: "running=false" },
    { id: "less", thing: "plant/pump", property: "flow", low: false, lowLow: 0, rate: { max: 1.5, over: 10 }, stale: true, deadband: 0.1, predict: 600, enabled: false },
    { id: "none", thing: "plant/pump", property: "flow", rate: false, stale: false },
    { id: "asks", title: "Slow", promql: "x < 3", for: 120, every: 15, offDelay: 5, thing: "plant/**" },
  ];
  it.each(rules.map((rule) => [rule.id, rule] as const))("%s", (_, rule) => {
    expect(draftOf(fieldsOf(rule))).toEqual(rule);
  });

  it("leaves out what the server adds, and what is not of its kind", () => {
    expect(authored({ id: "a", by: "ana", changed: "2026-11-26T08:00:00Z", status: { watches: 1, active: 0 } })).toEqual({ id: "a" });
    const fields = fieldsOf({ thing: "plant/pump", property: "flow", high: 7, hysteresis: 1, stale: true });
    fields.asks = true;
    fields.promql = " x > 1 ";
    fields.for = 30;
    expect(draftOf(fields)).toEqual({ thing: "plant/pump", property: "flow", promql: "x > 1", for: 30 });
    fields.asks = false;
    expect(draftOf(fields)).toEqual({ thing: "plant/pump", property: "flow", high: 7, hysteresis: 1, stale: true });
  });

  it("sends half a rate on, for the server to say what is missing", () => {
    const fields = fieldsOf({ thing: "plant/pump", property: "flow" });
    fields.rateMax = 2;
    expect(draftOf(fields).rate).toEqual({ max: 2 });
  });
});

test("a rule is tried as soon as it asks for something", () => {
  expect(triable({ thing: "plant/pump", property: "flow" })).toBe(false);
  expect(triable({ thing: "plant/pump", property: "flow", low: false })).toBe(true);
  expect(triable({ property: "flow", high: 1 })).toBe(false);
  expect(triable({ promql: "" })).toBe(false);
  expect(triable({ promql: "x > 1" })).toBe(true);
});

test("a rule without a priority is as urgent as its most urgent kind", () => {
  expect(urgency({ priority: 4, highHigh: 1 })).toBe(4);
  expect(urgency({ high: 1, highHigh: 2 })).toBe(1);
  expect(urgency({ high: 1, stale: true })).toBe(2);
  expect(urgency({ stale: true })).toBe(3);
  expect(urgency({ lowLow: false, stale: true })).toBe(3);
  expect(urgency({ promql: "x" })).toBe(2);
});
