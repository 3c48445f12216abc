import { beforeEach, describe, expect, it, vi } from "vitest";
import type { CommandStep } from "../live";
import { askedAt, Audit, fits, moving, queryOf, type Filter } from "./audit.svelte";
import { en } from "./en";
import { vi as vietnamese } from "./vi";

const all: Filter = { since: 0, state: "any", user: "", path: "", to: null };
const now = 1_790_000_000_000;

/** An id that was made then. */
function id(ms: number, n = 0): string {
  let text = "";
  for (let i = 0, rest = ms; i < 10; i++, rest = Math.floor(rest / 32)) text = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[rest % 32]! + text;
  return text + String(n).padStart(16, "0");
}
const step = (cmd: string, more: Partial<CommandStep> = {}): CommandStep => ({ type: "cmd", cmd, thing: "plant/a", action: "go", status: "done", user: "ana", ...more });
const answer = (rows: CommandStep[], next = "") => vi.fn(async () => new Response(JSON.stringify(rows), { headers: next ? { Link: `<${next}>; rel="next"` } : {} }));

beforeEach(() => vi.unstubAllGlobals());

describe("the audit", () => {
  it("knows from its id when a command was asked for", () => {
    expect(askedAt(id(now))).toBe(now);
    expect(askedAt("01J")).toBeNaN();
    expect(askedAt("u".repeat(26))).toBeNaN();
  });

  it("asks for what was chosen", () => {
    expect(String(queryOf(all, now))).toBe("");
    expect(String(queryOf({ since: 1000, state: "problems", user: "ana", path: "plant/**", to: null }, now))).toBe(
      `path=plant%2F**&user=ana&status=rejected%2Cfailed%2Ctimeout%2Cunreached&from=${now - 1000}`,
    );
    expect(String(queryOf({ ...all, since: 1000, to: now }, now + 9))).toBe(`from=${now - 1000}&to=${now}`);
  });

  it("takes in what comes when it fits", () => {
    const missed = step(id(now), { reached: false, feedback: { property: "x", want: 1, within: 1 } });
    expect([all, { ...all, user: "ana" }, { ...all, path: "plant/*" }, { ...all, state: "problems" as const }].map((f) => fits(missed, f, now))).toEqual([true, true, true, true]);
    const wrong: Partial<Filter>[] = [{ user: "bo" }, { path: "office/*" }, { since: 1 }, { to: now }, { state: "open" }];
    for (const f of wrong) expect(fits(missed, { ...all, ...f }, now + 5), JSON.stringify(f)).toBe(false);
    expect(moving(step("a"))).toBe(false);
    expect(moving(step("a", { feedback: { property: "x", want: 1, within: 1 } }))).toBe(true);
  });

  it("puts the steps of a command into its row, and new commands above", async () => {
    vi.stubGlobal("fetch", answer([step(id(now, 2)), step(id(now, 1), { status: "sent" })], "/api/commands?after=x"));
    const audit = new Audit(all);
    await audit.load();
    audit.step(step(id(now, 1), { status: "failed" }));
    audit.step(step(id(now, 3), { status: "accepted" }));
    audit.step({ type: "cmd", cmd: "x", status: "sent" }); // of nothing that can be shown
    expect(audit.rows.map((r) => [r.cmd.at(-1), r.status])).toEqual([["3", "accepted"], ["2", "done"], ["1", "failed"]]);
    const more = answer([step(id(now, 1)), step(id(now, 0))]);
    vi.stubGlobal("fetch", more);
    const went = audit.loadMore();
    audit.step(step(id(now, 4)));
    await went;
    expect(more.mock.calls[0]?.at(0)).toBe("/api/commands?after=x");
    expect(audit.rows.map((r) => r.cmd.at(-1))).toEqual(["4", "3", "2", "1", "0"]);
    expect(audit.more).toBe("");
  });

  it("says why it could not be read, and keeps what it had", async () => {
    vi.stubGlobal("fetch", answer([step(id(now))]));
    const audit = new Audit(all);
    await audit.load();
    vi.stubGlobal("fetch", vi.fn(async () => new Response(JSON.stringify({ error: "status is none of these" }), { status: 422 })));
    await audit.load();
    expect([audit.problem, audit.rows.length, audit.loading]).toEqual(["status is none of these", 1, false]);
  });
});

it("has both languages", () => {
  expect(Object.keys(vietnamese)).toEqual(Object.keys(en));
});
