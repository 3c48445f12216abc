import { afterEach, expect, test } from "vitest";
import { locale } from "../i18n";
import type { Alarm } from "./alarm";
import { reasonText, sentence, what } from "./text";

const was = locale.lang;
afterEach(() => (locale.lang = was));

const alarm = (more: Partial<Alarm>): Alarm => ({
  id: "a", thing: "plant/pump", property: "speed", rule: "high", severity: "high", priority: 2, state: "cleared_acked", message: "speed 95 is above 90",
  value: 95, limit: 90, raised: "2026-11-26T08:00:00Z", count: 1, ts: "2026-11-26T08:00:00Z", step: "cleared", seq: 1, ...more,
});

test("why an alarm cleared is said by its code, and in the server's words where there is none", () => {
  locale.lang = "vi";
  expect(reasonText(alarm({ reason: "its rule was removed", reasonCode: "rule_removed" }))).toBe("quy tắc của nó đã bị xóa");
  expect(reasonText(alarm({ reason: "its limit is 97.5 now", reasonCode: "limit_changed", reasonArgs: { limit: 97.5 } }))).toBe("ngưỡng của nó giờ là 97,5");
  expect(reasonText(alarm({ reason: "its rule was removed" }))).toBe("its rule was removed");
  expect(reasonText(alarm({ reason: "a newer reason", reasonCode: "newer" }))).toBe("a newer reason");
  expect(reasonText(alarm({}))).toBe("");
});

test("a message that people wrote stays theirs; the server's own is said in the reader's language", () => {
  locale.lang = "vi";
  expect(what(alarm({ ruleId: "r", message: "Mở van, then it is above all" }))).toBe("Mở van, then it is above all");
  expect(sentence(alarm({ ruleId: "r", message: "Mở van" }))).toBe("");
  expect(what(alarm({ ruleId: "r", messageCode: "high" }))).not.toContain("above");
  expect(sentence(alarm({ ruleId: "r", messageCode: "high" }))).not.toBe("");
});
