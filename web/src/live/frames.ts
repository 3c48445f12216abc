// What goes over /ws, as PROTOCOL.md and realtime.go define it. Members that a
// server adds later are ignored; frames of a type unknown here are, too.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What a frame says about one thing. Null instead of it: the thing is gone. */
export interface Change {
  /** When the newest reading in it was measured. */
  ts?: string;
  /** In a snapshot: all values. */
  state?: Record<string, Json>;
  /** In an update: a JSON Merge Patch of the values. */
  set?: Record<string, Json>;
  /** Whole lists, only present when they changed. In a snapshot absent means empty. */
  stale?: string[];
  quality?: Record<string, string>;
  /** What was written to properties and is not reported yet. */
  desired?: Record<string, Json>;
  online?: "online" | "offline" | "";
  removed?: boolean;
}

/** The states of a command; after the first two its outcome is known, and a done one may still be verified. */
export type Status = "accepted" | "sent" | "done" | "verified" | "rejected" | "failed" | "timeout" | "superseded" | "cancelled";

/** In which property the effect of a command is seen. */
export interface Feedback {
  property: string;
  want: Json;
  tolerance?: number;
  /** Seconds from the device's result. */
  within: number;
}

export interface Hello {
  type: "hello";
  v: number;
  epoch: string;
  seq: number;
  user?: string;
  /** Seconds of silence after which the server pings. */
  ping: number;
  limits?: { rate?: number; subscriptions?: number; frame?: number };
}
export interface Snapshot {
  type: "snapshot";
  /** Of the sub that it answers. */
  id?: string | number;
  sub: string;
  epoch: string;
  seq: number;
  matched: number;
  hidden: number;
  /** More pages of this snapshot follow. */
  more: boolean;
  left?: Parted;
  things: Record<string, Change | null>;
}
/** Of subscriptions by place, by their sub: the things that have come, or stand there no more. */
export type Parted = Record<string, string[]>;
export interface Update {
  type: "update";
  /** The seq of the frame before; a client that has less has missed something. */
  prev: number;
  seq: number;
  /** How many samples this frame stands for. */
  merged: number;
  joined?: Parted;
  left?: Parted;
  things: Record<string, Change | null>;
}
export interface EventFact {
  type: "event";
  seq: number;
  more?: boolean;
  thing: string;
  name: string;
  data?: Json;
  ts: string;
}
/** How an alarm stands after a step; GET /api/alarms has the same. Docs: alarms.md. */
export interface Alarm {
  /** Of its rule: the same each time. */
  id: string;
  thing: string;
  property?: string;
  /** Its name, of the rule event. */
  event?: string;
  rule: "highHigh" | "high" | "low" | "lowLow" | "rate" | "stale" | "offline" | "event" | "promql" | "predicted";
  /** The rule by the API, when it is one. */
  ruleId?: string;
  severity: "critical" | "high" | "medium" | "low";
  /** 1 is the most urgent. */
  priority: 1 | 2 | 3 | 4;
  state: "active_unacked" | "active_acked" | "cleared_unacked" | "cleared_acked";
  message: string;
  /** The rule, when the message is the server's own and not one that people wrote. */
  messageCode?: string;
  /** When it was raised. */
  value?: Json;
  limit?: number;
  unit?: string;
  /** Of the rule predicted: when the value is expected to reach the limit. */
  predicted?: { at: string; limit: number };
  raised: string;
  cleared?: string;
  /** Why it was cleared, when not because its cause went. */
  reason?: string;
  /** That reason for programs, and what it fills in. */
  reasonCode?: string;
  reasonArgs?: Record<string, Json>;
  /** How often it was raised since it was acknowledged. */
  count: number;
  acked?: { by: string; at: string; comment?: string };
  shelved?: { by: string; at: string; until: string; reason: string };
  /** By the condition of its rule. */
  suppressed?: boolean;
  /** Of the last step, and which that was. */
  ts: string;
  step: "raised" | "cleared" | "acked" | "shelved" | "unshelved" | "suppressed" | "unsuppressed" | "changed";
  /** Its place in the log. */
  seq?: number;
}
export interface AlarmFact extends Alarm {
  type: "alarm";
  seq: number;
  more?: boolean;
}
/** A step of a command: a fact, or the answer to our own cmd (then with its id). */
export interface CommandStep {
  type: "cmd";
  id?: string;
  seq?: number;
  more?: boolean;
  cmd: string;
  thing?: string;
  action?: string;
  input?: Json;
  status: Status;
  user?: string;
  via?: string;
  /** Absent means low. */
  risk?: "confirm" | "high";
  reason?: string;
  ts?: string;
  /** For this step, to people; for programs as a code and what the sentence fills in. Older facts have no codes. */
  evidence?: string;
  evidenceCode?: string;
  evidenceArgs?: Record<string, Json>;
  output?: Json;
  error?: string;
  errorCode?: string;
  errorReason?: string;
  errorArgs?: Record<string, Json>;
  feedback?: Feedback;
  /** Whether the feedback came to what was wanted; absent until that is decided. */
  reached?: boolean;
  reported?: Json;
  /** Who cancelled it. */
  by?: string;
  /** The newer command that took its place. */
  supersededBy?: string;
}
/** What was wrong, where, and what would be allowed. */
export interface Problem {
  code: string;
  message: string;
  at?: string;
  minimum?: number;
  maximum?: number;
  /** Which sentence the message is, and what it fills in, for who says it in another language. */
  reason?: string;
  args?: Readonly<Record<string, Json>>;
  /** What else is wrong with what was sent. */
  others?: readonly Problem[];
}
export interface ErrorFrame extends Problem {
  type: "error";
  id?: string | number;
}
export interface Resumed {
  type: "resumed";
  mode: "delta" | "snapshot";
  from?: number;
  seq: number;
  reason?: string;
  subs?: string[];
}
export interface Resync {
  type: "resync";
  /** How many facts cannot be replayed any more. */
  missed?: number;
  reason?: string;
}
/** How a replay goes: the answer to `replay`, and before the snapshots of a new moment. */
export interface Replaying {
  type: "replaying";
  id?: string | number;
  /** Where it is. */
  at: string;
  epoch: string;
  from: string;
  to?: string;
  speed: number;
  paused: boolean;
  /** The present, by the server's clock. */
  ts: string;
  subs: string[];
}
/** A replay has come to its end, and stands still there. */
export interface Replayed {
  type: "replayed";
  at: string;
  reason: "end" | "present" | "failed";
  message?: string;
}
/** What every frame of a replay says besides. */
export interface OfThePast {
  replay?: true;
  at?: string;
}
export interface Pong {
  type: "pong";
  id?: string | number;
  ts?: string;
}
export interface Ping {
  type: "ping";
  seq?: number;
  ts?: string;
}
/** Whether what devices say can be stored now; code, message and since only when it cannot. */
export interface StatusFrame {
  type: "status";
  storing: boolean;
  code?: string;
  message?: string;
  since?: string;
}
/** The answer to unsub, and to auth with who one is. */
export interface Ok {
  type: "ok";
  id?: string | number;
  user?: string;
}
export interface Bye {
  type: "bye";
  code: string;
  /** For people. */
  message?: string;
  /** Milliseconds. */
  reconnectIn?: number;
}

export type Fact = EventFact | AlarmFact | CommandStep;
export type Frame = Replaying | Replayed | Hello | Snapshot | Update | Fact | ErrorFrame | Resumed | Resync | Pong | Ping | StatusFrame | Bye | Ok;

/** What we send. */
export type ClientFrame =
  | { type: "sub"; id?: string; path: string; fields?: readonly string[]; rate?: number }
  | { type: "unsub"; sub?: string }
  | { type: "resume"; id?: string; epoch: string; seq: number; subs: { path: string; fields?: readonly string[]; rate?: number }[] }
  | { type: "auth"; id?: string; token: string }
  | { type: "cmd"; id: string; thing: string; action: string; input: Json; timeout?: number; key: string; confirm?: boolean; reason?: string }
  | { type: "replay"; id?: string; from?: number; to?: number; speed?: number; pause?: boolean }
  | { type: "live"; id?: string }
  | { type: "ping"; id?: string };

/** The frame in a message, or null when it is none; the connection then goes on without it. */
export function parseFrame(text: unknown): Frame | null {
  if (typeof text !== "string") return null;
  try {
    const frame: unknown = JSON.parse(text);
    if (typeof frame !== "object" || frame === null || !("type" in frame)) return null;
    return frame as Frame;
  } catch {
    return null;
  }
}
