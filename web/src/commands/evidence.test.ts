import { afterEach, describe, expect, it } from "vitest";
import { locale } from "../i18n";
import type { Json } from "../live";
import { errorText, evidenceText, type Step } from "./evidence";

const step = (evidenceCode?: string, evidenceArgs?: Record<string, Json>): Step => ({ status: "done", ts: "2026-11-26T08:00:00Z", evidence: "English", evidenceCode, evidenceArgs });

// The codes are those of the server: the tests of realtime/twin hold it to them.
const steps: [Step, string][] = [
  [step("valid"), "dữ liệu gửi hợp lệ theo mô tả thiết bị"],
  [step("valid", { conditions: "guard=closed and speed<5" }), "dữ liệu gửi hợp lệ theo mô tả thiết bị; các điều kiện đúng: guard=closed and speed<5"],
  [step("puback"), "thiết bị xác nhận đã nhận (PUBACK)"],
  [step("result", { answer: '{"ok":true}' }), 'thiết bị trả lời {"ok":true}'],
  [step("reported", { property: "speed", value: 39.5 }), "thiết bị báo speed 39,5 %"],
  [step("reported", { property: "image" }), "thiết bị báo image …"],
  [step("last_reported", { property: "speed", value: 39.5, within: 3 }), "lần báo cuối trong 3 s là speed 39,5 %"],
  [step("never_reported", { property: "speed" }), "thiết bị chưa từng báo speed"],
  [step("replaced", { cmd: "01M8", by: "bo" }), "01M8 thay thế lệnh này"],
  [step("unsent"), "chưa gửi gì"],
  [step("cancelled", { by: "ana", via: "ui" }), "ana đã huỷ"],
];

describe("the evidence of a step", () => {
  const was = locale.lang;
  afterEach(() => (locale.lang = was));

  it("is said in the reader's language", () => {
    locale.lang = "vi";
    for (const [one, want] of steps) expect(evidenceText(one, "%"), JSON.stringify(one)).toEqual({ text: want, lang: "vi" });
    locale.lang = "en";
    expect(evidenceText(steps[4]![0], "%")).toEqual({ text: "speed 39.5 % was reported", lang: "en" });
  });

  it("is the server's own text where there is no code, or one that is not known, and says so to readers of screens", () => {
    locale.lang = "vi";
    for (const one of [step(), step("something_new")]) expect(evidenceText(one)).toEqual({ text: "English", lang: "en" });
    expect(evidenceText({ status: "timeout", ts: "2026-11-26T08:00:00Z" }).text).toBe("");
  });
});

describe("what went wrong with a command", () => {
  const was = locale.lang;
  afterEach(() => (locale.lang = was));

  it("is said in the reader's language, and in the device's where that wrote it", () => {
    locale.lang = "vi";
    const said = (errorCode: string, errorArgs?: Record<string, Json>) => errorText({ error: "English", errorCode, errorArgs });
    expect(said("no_result")).toEqual({ text: "thiết bị đã nhận lệnh nhưng không trả lời kịp: không rõ lệnh có chạy hay không", lang: "vi" });
    expect(said("cancelled", { by: "ana", was: "sent" }).text).toBe("ana đã huỷ: thiết bị đã nhận và có thể vẫn chạy");
    expect(said("replaced", { cmd: "01M8", by: "bo", was: "accepted" }).text).toBe("01M8 thay thế lệnh này: không rõ thiết bị đã nhận hay chưa");
    expect(said("late_result", { failed: "jam" }).text).toBe("trả lời đến muộn: không thành, jam");
    expect(said("late_result").text).toBe("trả lời đến muộn: đã xong");
    expect(said("device")).toEqual({ text: "English", lang: "en" });
    expect(errorText({ error: "English", errorCode: "out_of_range", errorReason: "above", errorArgs: { name: "speed", got: 999, limit: 100 } })).toEqual({ text: "speed 999 cao hơn mức tối đa 100", lang: "vi" });
    expect(errorText({})).toEqual({ text: "", lang: "en" });
  });
});
