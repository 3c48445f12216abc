// The list of commands: a part of the audit, as the server has it, and what comes while one looks.
import type { CommandStep, Status } from "../live";
import { effect, type Effect } from "../app/commands.svelte";
import { Paged } from "../app/paged.svelte";
import { matches } from "../live/pattern";

/** What is chosen to be shown. */
export interface Filter {
  /** How far back, ms; 0 is everything that is kept. */
  since: number;
  state: State;
  user: string;
  path: string;
  /** Only what was asked for before, ms; null is the present. */
  to: number | null;
}

export const states = ["any", "open", "problems", "done"] as const;
export type State = (typeof states)[number];

const ofState: Record<State, readonly (Status | "unreached")[]> = {
  any: [],
  open: ["accepted", "sent"],
  problems: ["rejected", "failed", "timeout", "unreached"],
  done: ["done", "verified"],
};

const page = 100;
/** Beyond so many rows the oldest ones go when new ones come. */
const most = 2000;

/** A command as a row has it: what its last step says. */
export type Row = CommandStep & { thing: string; action: string };

export function effectOf(row: CommandStep): Effect {
  return effect({ stage: row.status, feedback: row.feedback, reached: row.reached, by: row.by ?? "", supersededBy: row.supersededBy ?? "" });
}

/** Whether more is to come of it. */
export function moving(row: CommandStep): boolean {
  return row.status === "accepted" || row.status === "sent" || effectOf(row) === "watched";
}

const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** When a command was asked for, ms: its id is a ULID. NaN when it is none. */
export function askedAt(cmd: string): number {
  if (cmd.length !== 26) return NaN;
  let ms = 0;
  for (const digit of cmd.slice(0, 10)) {
    const n = digits.indexOf(digit);
    if (n < 0) return NaN;
    ms = ms * 32 + n;
  }
  return ms;
}

/** The query of a filter. */
export function queryOf(f: Filter, now = Date.now()): URLSearchParams {
  const query = new URLSearchParams();
  if (f.path) query.set("path", f.path);
  if (f.user) query.set("user", f.user);
  if (f.state !== "any") query.set("status", ofState[f.state].join(","));
  if (f.since > 0) query.set("from", String((f.to ?? now) - f.since));
  if (f.to !== null) query.set("to", String(f.to));
  return query;
}

/** Whether a command belongs into a list with this filter. */
export function fits(row: CommandStep, f: Filter, now = Date.now()): boolean {
  const at = askedAt(row.cmd);
  if (f.to !== null || (f.since > 0 && at < now - f.since)) return false; // the past gets nothing new
  if (f.user && row.user !== f.user) return false;
  if (f.path && !matches(f.path, row.thing ?? "")) return false;
  if (f.state === "any") return true;
  return ofState[f.state].includes(row.status) || (f.state === "problems" && effectOf(row) === "missed");
}

export class Audit extends Paged<Row> {
  #filter: Filter;

  constructor(filter: Filter) {
    super();
    this.#filter = filter;
  }

  /** Reads the list anew, for this filter from now on. */
  async load(filter: Filter = this.#filter): Promise<void> {
    this.#filter = filter;
    await this.read(`/api/commands?${queryOf(filter)}&limit=${page}`, (list) => list);
  }

  async loadMore(): Promise<void> {
    if (!this.more) return;
    await this.read(this.more, (list) => {
      const known = new Set(this.rows.map((r) => r.cmd));
      return [...this.rows, ...list.filter((r) => !known.has(r.cmd))];
    });
  }

  /** A step of some command, as a fact. */
  step(step: CommandStep): void {
    if (!step.thing || !step.action) return;
    const row = step as Row;
    const at = this.rows.findIndex((r) => r.cmd === row.cmd);
    if (at >= 0) this.rows = this.rows.with(at, row);
    else if (fits(row, this.#filter)) this.rows = [row, ...this.rows].sort((a, b) => (a.cmd < b.cmd ? 1 : -1)).slice(0, most);
  }
}
