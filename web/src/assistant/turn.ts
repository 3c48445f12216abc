/**
 * A turn is one question and what came of it. Turns are plain data, changed
 * only by the functions here, so that they can be kept in the tab's storage
 * and taken up again after a reload, at exactly the event where it fell.
 */

import type { Citation, Finish, RunEvent, ToolCall, Usage } from "./events";
import type { Refusal } from "./stream";

/** Where a turn stands. The last three are its ends. */
export type Phase = "sending" | "queued" | "thinking" | "retrying" | "answering" | "done" | "stopped" | "failed";

export interface Failure {
  code: string;
  /** The server's words, which may be shown. Often empty; the code then says it. */
  message: string;
  retryable: boolean;
  /** How often the assistant had asked for data. */
  times?: number;
  /** Not before this moment (ms since 1970), when the server said when. */
  retryAt?: number;
}

/** A citation and the call of the tool that brought it. */
export interface Source extends Citation {
  call: string;
}

export interface Turn {
  key: number;
  question: string;
  /** "" until the server gave it one. */
  run: string;
  /** The id of the newest event that is in this turn. */
  last: number;
  phase: Phase;
  text: string;
  model: string;
  tools: ToolCall[];
  citations: Source[];
  finish: Finish | "";
  usage: Usage | null;
  ttft: number;
  total: number;
  failure: Failure | null;
}

export function newTurn(key: number, question: string): Turn {
  return {
    key,
    question,
    run: "",
    last: 0,
    phase: "sending",
    text: "",
    model: "",
    tools: [],
    citations: [],
    finish: "",
    usage: null,
    ttft: 0,
    total: 0,
    failure: null,
  };
}

/** Whether the run behind the turn may still be going on. */
export function isRunning(t: Turn): boolean {
  return t.phase !== "done" && t.phase !== "stopped" && t.phase !== "failed";
}

/** Puts the event with that id into the turn. One that it has already is ignored. Now is in ms since 1970. */
export function apply(t: Turn, id: number, e: RunEvent, now: number): void {
  if (id <= t.last) return;
  t.last = id;
  // Somebody pressed Stop: what was on its way is not shown any more. How it ended still counts.
  const shown = t.phase !== "stopped";
  switch (e.type) {
    case "start":
      t.run = e.run;
      t.model = e.model;
      break;
    case "status":
      if (shown) t.phase = e.status;
      break;
    case "delta":
      if (!shown) break;
      t.phase = "answering";
      t.text += e.text;
      break;
    case "tool":
      if (shown) putTool(t, e);
      break;
    case "citation":
      // A call's sources follow its end.
      if (shown) t.citations.push({ ...e, call: t.tools.findLast((c) => c.state === "ok")?.call ?? "" });
      break;
    case "done":
      t.usage = e.usage;
      t.ttft = e.ttft;
      t.total = e.total;
      t.finish = shown ? e.finish : "cancelled";
      t.phase = shown && e.finish !== "cancelled" ? "done" : "stopped";
      break;
    case "failed":
      if (shown) fail(t, { code: e.code, message: e.message, retryable: e.retryable, times: t.tools.length }, e.retryAfter, now);
      break;
  }
}

function putTool(t: Turn, e: ToolCall): void {
  const at = t.tools.findIndex((x) => x.call === e.call);
  if (at < 0) t.tools.push(e);
  // The end of a call may leave out what its start said.
  else t.tools[at] = { ...e, name: e.name || t.tools[at]!.name, args: e.args ?? t.tools[at]!.args };
}

/** Ends the turn at once, as far as the reader is concerned. */
export function stop(t: Turn): void {
  if (!isRunning(t)) return;
  t.phase = "stopped";
  t.finish = "cancelled";
}

/** Ends the turn because the server took no question or the answer could not be brought home. */
export function refuse(t: Turn, r: Refusal, now: number): void {
  const code = r.code || (r.status === 429 ? "too_many" : `http_${r.status}`);
  // Asking the same again gets the same answer.
  const useless = r.status === 400 || r.status === 403 || r.status === 413 || r.status === 422 || code === "missing_key";
  const f: Failure = { code, message: r.message, retryable: !useless };
  fail(t, f, r.retryAfter ?? 0, now);
}

function fail(t: Turn, f: Failure, retryAfter: number, now: number): void {
  if (retryAfter > 0) f.retryAt = now + retryAfter * 1000;
  t.phase = "failed";
  t.failure = f;
  for (const tool of t.tools) if (tool.state === "running") tool.state = "error";
}
