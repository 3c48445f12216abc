import { expect, test } from "vitest";
import type { RunEvent } from "./events";
import { type Turn, apply as applyAt, isRunning, newTurn, refuse, stop } from "./turn";

const apply = (t: Turn, id: number, e: RunEvent) => applyAt(t, id, e, 5000);
const delta = (text: string): RunEvent => ({ type: "delta", text });
const done = (finish: "stop" | "cancelled" = "stop"): RunEvent => ({ type: "done", finish, usage: null, ttft: 5, total: 9 });

test("an event that came before is not taken twice", () => {
  const t = newTurn(1, "q");
  apply(t, 1, { type: "start", run: "r", conversation: "c", model: "m" });
  apply(t, 2, delta("a"));
  apply(t, 3, delta("b"));
  apply(t, 2, delta("a"));
  apply(t, 3, delta("b"));
  apply(t, 4, done());
  expect(t).toMatchObject({ text: "ab", last: 4, phase: "done", run: "r", ttft: 5, total: 9 });
});

test("after Stop nothing is shown any more, however late it comes", () => {
  const t = newTurn(1, "q");
  apply(t, 1, delta("a"));
  stop(t);
  expect(isRunning(t)).toBe(false);
  apply(t, 2, delta("b"));
  apply(t, 3, done());
  expect(t).toMatchObject({ text: "a", last: 3, phase: "stopped", finish: "cancelled", total: 9 });
});

test("a tool's end replaces its start and keeps its arguments", () => {
  const t = newTurn(1, "q");
  const call = { type: "tool" as const, call: "1", ms: 0, summary: "" };
  apply(t, 1, { ...call, name: "read_state", args: { thing: "a" }, state: "running" });
  apply(t, 2, { ...call, name: "", args: undefined, state: "ok", ms: 3 });
  expect(t.tools).toHaveLength(1);
  expect(t.tools[0]).toMatchObject({ name: "read_state", args: { thing: "a" }, state: "ok", ms: 3 });
});

test("a failed run leaves no tool running", () => {
  const t = newTurn(1, "q");
  apply(t, 1, { type: "tool", call: "1", name: "read_state", args: {}, state: "running", ms: 0, summary: "" });
  apply(t, 2, { type: "failed", code: "upstream_cut", message: "m", retryable: true, retryAfter: 2 });
  expect(t.tools[0]!.state).toBe("error");
  expect(t.failure).toMatchObject({ code: "upstream_cut", retryable: true, retryAt: 7000 });
});

test("a refusal says when to try again, and when not to at all", () => {
  const many = newTurn(1, "q");
  refuse(many, { code: "", message: "Too Many Requests", status: 429, retryAfter: 12 }, 1000);
  expect(many.failure).toEqual({ code: "too_many", message: "Too Many Requests", retryable: true, retryAt: 13000 });
  const runs = newTurn(3, "q");
  refuse(runs, { code: "too_many_runs", message: "", status: 429 }, 0);
  expect(runs.failure).toMatchObject({ code: "too_many_runs", retryable: true });
  const long = newTurn(2, "q");
  refuse(long, { code: "malformed", message: "too long", status: 400 }, 0);
  expect(long.failure).toMatchObject({ retryable: false });
});

test("a source belongs to the call before it", () => {
  const t = newTurn(1, "q");
  const call = { type: "tool" as const, name: "read_state", args: {}, ms: 0, summary: "" };
  const cite = { type: "citation" as const, kind: "state" as const, title: "CV-02", ref: "plant/cv2", quote: "speed 60 %", at: "" };
  apply(t, 1, { ...call, call: "a", state: "ok" });
  apply(t, 2, { ...cite, n: 1 });
  apply(t, 3, { ...call, call: "b", state: "ok" });
  apply(t, 4, { ...cite, n: 2 });
  apply(t, 5, { ...call, call: "c", state: "error" });
  expect(t.citations.map((c) => c.call)).toEqual(["a", "b"]);
});
