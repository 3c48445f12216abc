// What an alarm is, apart from how it is shown. See docs/alarms.md.
import type { Alarm } from "../live";

export type { Alarm };
export type Priority = Alarm["priority"];
export const priorities = [1, 2, 3, 4] as const;
/** What can happen to one, in the order in which people think of it. */
export const steps = ["raised", "cleared", "acked", "shelved", "unshelved", "suppressed", "unsuppressed", "changed"] as const satisfies readonly Alarm["step"][];

/** Whether its cause is there. */
export function active(a: Alarm): boolean {
  return a.state === "active_unacked" || a.state === "active_acked";
}
/** Whether nobody has said that they look after it. */
export function unacked(a: Alarm): boolean {
  return a.state === "active_unacked" || a.state === "cleared_unacked";
}
/** Whether there is still something to do about it. */
export function stands(a: Alarm): boolean {
  return a.state !== "cleared_acked";
}
/** Whether it was put aside, or is to be expected. */
export function quiet(a: Alarm): boolean {
  return a.shelved !== undefined || a.suppressed === true;
}
/** Whether it is on the list of what wants a person. */
export function wanted(a: Alarm): boolean {
  return stands(a) && !quiet(a);
}

/** Whether it waits for somebody to acknowledge it. */
export function waits(a: Alarm): boolean {
  return unacked(a) && !quiet(a);
}
/** The most urgent one, of several the first. */
export function mostUrgent(list: readonly Alarm[]): Alarm | undefined {
  return list.reduce<Alarm | undefined>((a, b) => (a && a.priority <= b.priority ? a : b), undefined);
}

/** Unacknowledged ones first, then by priority, then the newest first. */
export function order(a: Alarm, b: Alarm): number {
  return Number(unacked(b)) - Number(unacked(a)) || a.priority - b.priority || raisedAt(b) - raisedAt(a) || (a.id < b.id ? -1 : 1);
}

/** Sorting ten thousand would read each time many times over. */
const raised = new WeakMap<Alarm, number>();

function raisedAt(a: Alarm): number {
  let at = raised.get(a);
  if (at === undefined) raised.set(a, (at = time(a.raised)));
  return at;
}

/** ms; 0 when there is none. */
export function time(ts: string | undefined): number {
  return (ts && Date.parse(ts)) || 0;
}

/** Whether `a` says less of the same alarm than `b` does. */
export function older(a: Alarm, b: Alarm): boolean {
  return a.seq !== undefined && b.seq !== undefined ? a.seq < b.seq : time(a.ts) < time(b.ts);
}

export interface Count {
  /** On the list, and of these not acknowledged. */
  all: number;
  unacked: number;
}
export interface Summary extends Count {
  of: Record<Priority, Count>;
  shelved: number;
  suppressed: number;
}

export function summarize(list: Iterable<Alarm>): Summary {
  const none = (): Count => ({ all: 0, unacked: 0 });
  const s: Summary = { ...none(), of: { 1: none(), 2: none(), 3: none(), 4: none() }, shelved: 0, suppressed: 0 };
  for (const a of list) {
    if (a.shelved) s.shelved++;
    else if (!stands(a)) continue;
    else if (a.suppressed) s.suppressed++;
    else {
      for (const count of [s, s.of[a.priority]]) {
        count.all++;
        if (unacked(a)) count.unacked++;
      }
    }
  }
  return s;
}

/** More than these were raised within so many ms: nobody can read them one by one. The server's summary says the same as flood. */
const floodRaises = 20;
const floodWithin = 10_000;

export function flooded(list: readonly Alarm[], now: number): boolean {
  let n = 0;
  for (const a of list) if (now - raisedAt(a) < floodWithin && ++n > floodRaises) return true;
  return false;
}

/** How a property, or a thing with all of it, is marked. */
export interface Mark {
  priority: Priority;
  unacked: boolean;
  /** How many, and of these not acknowledged. */
  n: number;
  waiting: number;
}

export function markOf(list: readonly Alarm[], counts: (a: Alarm) => boolean): Mark | undefined {
  let mark: Mark | undefined;
  for (const a of list) {
    if (quiet(a) || !counts(a)) continue;
    mark ??= { priority: a.priority, unacked: false, n: 0, waiting: 0 };
    if (a.priority < mark.priority) mark.priority = a.priority;
    mark.n++;
    if (unacked(a)) mark.waiting++;
    mark.unacked = mark.waiting > 0;
  }
  return mark;
}
