import { expect, test } from "vitest";
import { draftOf, titleOf, whyOf } from "./channel";

const form = (said: Record<string, string | string[]>) => {
  const f = new FormData();
  for (const [name, values] of Object.entries(said)) for (const v of [values].flat()) f.append(name, v);
  return f;
};

test("a form becomes what the API takes", () => {
  const both = { name: "Night", priority: "2", perMinute: "5", locale: "vi", steps: ["raised", "acked"], things: " plant/** , lab/x" };
  expect(draftOf(form({ ...both, kind: "webhook", url: " https://example.com ", enabled: "on", newSecret: "on" }))).toEqual({
    kind: "webhook", name: "Night", url: "https://example.com", things: ["plant/**", "lab/x"], priority: 2, perMinute: 5, locale: "vi", steps: ["raised", "acked"], enabled: true, secret: "new",
  });
  expect(draftOf(form({ ...both, kind: "email", addresses: "ana@example.com; bob@example.com", things: "" }))).toEqual({
    kind: "email", name: "Night", addresses: ["ana@example.com", "bob@example.com"], priority: 2, perMinute: 5, locale: "vi", steps: ["raised", "acked"], enabled: false,
  });
});

test("a channel is called by its name, or by where it leads", () => {
  expect(titleOf({ name: "Night", url: "https://example.com" })).toBe("Night");
  expect(titleOf({ name: "", url: "https://example.com" })).toBe("https://example.com");
  expect(titleOf({ name: "", addresses: ["a@b.c", "d@e.f"] })).toBe("a@b.c, d@e.f");
});

test("a refused mailbox is a reason", () => {
  const d = { id: "x", kind: "alarm", status: "failed", created: "", attempts: 1, count: 1 } as const;
  expect(whyOf({ ...d, mailboxes: { "a@b.c": "550 no", "d@e.f": "" } })).toBe("a@b.c: 550 no");
  expect(whyOf({ ...d, error: "500" })).toBe("500");
});
