/**
 * What a run of the assistant says, as the server sends it (the table is in
 * DESIGN: The assistant). Nothing from the wire is believed before readEvent
 * has looked at it.
 */

/** Something the answer rests on, or that a tool looked at. */
export interface Citation {
  n: number;
  kind: "manual" | "state" | "history" | "alarm";
  title: string;
  /** Where to look. Of a state: the thing's path. */
  ref: string;
  /** What was read there; of a state, its values parted by " · ". */
  quote: string;
  at: string;
}

/** One call of a tool. It comes twice: running, then how it ended. */
export interface ToolCall {
  call: string;
  name: string;
  args: unknown;
  state: "running" | "ok" | "error";
  ms: number;
  /** A line of the server's, in English. */
  summary: string;
}

/** Tokens. Estimated says that the model's server did not tell and ours counted. */
export interface Usage {
  input: number;
  output: number;
  estimated: boolean;
}

export type RunEvent =
  | { type: "start"; run: string; conversation: string; model: string }
  | { type: "status"; status: "queued" | "thinking" | "retrying" }
  | { type: "delta"; text: string }
  | ({ type: "tool" } & ToolCall)
  | ({ type: "citation" } & Citation)
  | { type: "done"; finish: Finish; usage: Usage | null; ttft: number; total: number }
  | { type: "failed"; code: string; message: string; retryable: boolean; retryAfter: number };

export type Finish = "stop" | "length" | "cancelled" | "tool_limit";

/** Whether nothing comes after it. */
export function isEnd(e: RunEvent): boolean {
  return e.type === "done" || e.type === "failed";
}

/** The event in `data`, or nothing when it is none that we know. */
export function readEvent(data: string): RunEvent | undefined {
  let o: unknown;
  try {
    o = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (!isObject(o)) return undefined;
  switch (o.type) {
    case "start":
      return { type: "start", run: text(o.run), conversation: text(o.conversation), model: text(o.model) };
    case "status":
      return { type: "status", status: oneOf(o.status, ["queued", "thinking", "retrying"], "thinking") };
    case "delta":
      return { type: "delta", text: text(o.text) };
    case "tool":
      return {
        type: "tool",
        call: text(o.call),
        name: text(o.name),
        args: o.args,
        state: oneOf(o.state, ["running", "ok", "error"], "running"),
        ms: number(o.ms),
        summary: text(o.summary),
      };
    case "citation":
      return {
        type: "citation",
        n: number(o.n),
        kind: oneOf(o.kind, ["manual", "state", "history", "alarm"], "state"),
        title: text(o.title),
        ref: text(o.ref),
        quote: text(o.quote),
        at: text(o.at),
      };
    case "done":
      return {
        type: "done",
        finish: oneOf(o.finish, ["stop", "length", "cancelled", "tool_limit"], "stop"),
        usage: readUsage(o.usage),
        ttft: number(o.ttft_ms),
        total: number(o.total_ms),
      };
    case "failed":
      return {
        type: "failed",
        code: text(o.code),
        message: text(o.message),
        retryable: o.retryable === true,
        retryAfter: number(o.retry_after),
      };
  }
  return undefined;
}

function readUsage(u: unknown): Usage | null {
  if (!isObject(u)) return null;
  return { input: number(u.input), output: number(u.output), estimated: u.estimated === true };
}

type Fields = Record<string, unknown>;

function isObject(v: unknown): v is Fields {
  return typeof v === "object" && v !== null && !Array.isArray(v);
}
function text(v: unknown): string {
  return typeof v === "string" ? v : "";
}
function number(v: unknown): number {
  return typeof v === "number" && Number.isFinite(v) ? v : 0;
}
function oneOf<const T extends string>(v: unknown, all: readonly T[], otherwise: T): T {
  return all.find((w) => w === v) ?? otherwise;
}
