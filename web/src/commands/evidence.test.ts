import { afterEach, describe, expect, it } from "vitest";
import { locale } from "../i18n";
import { evidenceText, type Step } from "./evidence";

const step = (status: Step["status"], evidence?: string): Step => ({ status, ts: "2026-11-26T08:00:00Z", ...(evidence === undefined ? {} : { evidence }) });
const command = { feedback: { property: "speed", want: 40, tolerance: 1, within: 3 }, reported: 39.5, supersededBy: "01M8", by: "ana" };

// The texts are those of the server: the tests of realtime/twin hold it to them.
const steps: [Step, string][] = [
  [step("accepted", "the input is valid by the description"), "dữ liệu gửi hợp lệ theo mô tả thiết bị"],
  [step("accepted", "the input is valid by the description; these hold: guard=closed and speed<5"), "dữ liệu gửi hợp lệ theo mô tả thiết bị; các điều kiện đúng: guard=closed and speed<5"],
  [step("sent", "PUBACK"), "thiết bị xác nhận đã nhận (PUBACK)"],
  [step("done", 'result {"ok":true}'), 'thiết bị trả lời {"ok":true}'],
  [step("timeout", 'result {"ok":true}'), 'thiết bị trả lời {"ok":true}'],
  [step("verified", "speed 39.5 was reported"), "thiết bị báo speed 39,5 %"],
  [step("done", "speed 39.5 was the last report within 3 s"), "lần báo cuối trong 3 s là speed 39,5 %"],
  [step("done", "speed was never reported"), "thiết bị chưa từng báo speed"],
  [step("superseded", "01M8 of bo took its place"), "01M8 thay thế lệnh này"],
  [step("superseded", "nothing was sent"), "chưa gửi gì"],
  [step("cancelled", "ana cancelled it (ui)"), "ana đã huỷ"],
  [step("timeout"), ""],
];

describe("the evidence of a step", () => {
  const was = locale.lang;
  afterEach(() => (locale.lang = was));

  it("is said in the reader's language", () => {
    locale.lang = "vi";
    for (const [one, want] of steps) expect(evidenceText(one, command, "%"), JSON.stringify(one)).toEqual({ text: want, lang: "vi" });
    locale.lang = "en";
    expect(evidenceText(steps[5]![0], command, "%")).toEqual({ text: "speed 39.5 % was reported", lang: "en" });
  });

  it("is the server's own text where it is not known, and says so to readers of screens", () => {
    locale.lang = "vi";
    for (const one of [step("sent", "something new"), step("verified", "x")]) expect(evidenceText(one, {}), JSON.stringify(one)).toEqual({ text: one.evidence, lang: "en" });
  });
});
