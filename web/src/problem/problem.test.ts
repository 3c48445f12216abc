import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ApiError } from "../app/api";
import { locale } from "../i18n";
import { sentenceOf, translated, sayWhy } from "./problem";
import { sentences } from "./vi";

const root = join(import.meta.dirname, "../../..");
const places = (s: string) => [...new Set([...s.matchAll(/\{\w+\}/g)].map(String))].sort();

/** Every sentence of the server's source that has a reason, by that. */
function ofServer(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const room of ["realtime", "server"]) {
    for (const file of readdirSync(join(root, room), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".go") || file.endsWith("_test.go")) continue;
      const source = readFileSync(join(root, room, file), "utf8");
      for (const [, reason, quoted, raw] of source.matchAll(/\b(?:[wW]rong|bad)\(\s*"(\w+)",\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`)/g)) {
        found.set(reason!, [...(found.get(reason!) ?? []), quoted ?? raw ?? ""]);
      }
      for (const [, reason] of source.matchAll(/(?:Error|Message): .*\bReason: "(\w+)"/g)) if (!found.has(reason!)) found.set(reason!, []);
    }
  }
  return found;
}
const server = ofServer();

afterEach(() => {
  locale.lang = "en";
});

describe("the sentences of the server", () => {
  it("are found in its source", () => expect(server.size).toBeGreaterThan(150));
  it("have one of ours each, and we have no other", () => expect(Object.keys(sentences).sort()).toEqual([...server.keys()].sort()));
  it.each([...server].filter(([reason]) => reason !== "promql" && reason !== "secret"))("fill the same places in %s", (reason, texts) => {
    for (const text of texts) expect(places(sentences[reason] ?? "")).toEqual(places(text));
  });
});

describe("a problem", () => {
  const above = { message: "speed 999.5 is above the maximum 100", reason: "above", args: { name: "speed", got: 999.5, limit: 100 } };
  const vi = (p: Parameters<typeof sentenceOf>[0]) => ((locale.lang = "vi"), sentenceOf(p));

  it("is in the language of the reader", () => {
    expect(sentenceOf(above)).toBe("speed 999.5 is above the maximum 100");
    expect(vi(above)).toBe("speed 999,5 cao hơn mức tối đa 100");
  });
  it("is in English when its reason is not known here, or it has none", () => {
    expect(vi({ message: "the moon is full", reason: "moon" })).toBe("the moon is full");
    expect(vi({ message: "the moon is full", reason: "constructor" })).toBe("the moon is full");
    expect(vi({ message: "the moon is full" })).toBe("the moon is full");
    expect(translated({ message: "the moon is full" })).toBeUndefined();
  });
  it("says in that language what is behind it, and how many more there are", () => {
    expect(vi({ message: "…", reason: "model_wrong", args: { model: "pump", why: { code: "invalid", ...above } } })).toBe("model pump có lỗi: speed 999,5 cao hơn mức tối đa 100");
    expect(vi({ ...above, args: { ...above.args, more: 2 } })).toBe("speed 999,5 cao hơn mức tối đa 100 (và 2 lỗi nữa)");
  });
  it("has the server's own words in that language, and names as they are", () => {
    expect(vi({ message: "…", reason: "type", args: { name: "the input", got: "a string", want: "a number" } })).toBe("đầu vào là chuỗi, cần số");
    expect(vi({ message: "…", reason: "fixed", args: { what: "lab/pump", source: "the file pump.json" } })).toBe("lab/pump do tệp pump.json mô tả, chỉ sửa được ở đó");
    expect(vi({ message: "…", reason: "missing", args: { name: "reason" } })).toBe("thiếu reason");
  });
  it("shows a place that the server did not fill", () => expect(vi({ message: "…", reason: "rule_size" })).toBe("quy tắc dài nhất {max} byte"));
  it("is found in what was thrown", () => {
    locale.lang = "vi";
    expect(sayWhy(new ApiError(422, above))).toBe("speed 999,5 cao hơn mức tối đa 100");
    expect(sayWhy(new ApiError(502, {}))).toBe("HTTP 502");
    expect(sayWhy(new Error("aborted"))).toBe("aborted");
    expect(sayWhy("odd")).toBe("odd");
  });
});
