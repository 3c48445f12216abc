// A flood is read by thing: which one has how many, and how urgent.
import { priorities, unacked, type Alarm, type Priority } from "./alarm";

export interface Group {
  thing: string;
  alarms: Alarm[];
  unacked: number;
  /** How many of each priority, the most urgent first; those with none are left out. */
  counts: { priority: Priority; n: number }[];
}

/** So many on the list, and they are grouped unless somebody says otherwise. */
export const groupFrom = 40;

/** In the order of their most urgent alarm, when the list is in order. */
export function groupsOf(list: readonly Alarm[]): Group[] {
  const all = new Map<string, Alarm[]>();
  for (const a of list) {
    const of = all.get(a.thing);
    if (of) of.push(a);
    else all.set(a.thing, [a]);
  }
  return [...all].map(([thing, alarms]) => ({
    thing,
    alarms,
    unacked: alarms.filter(unacked).length,
    counts: priorities.map((priority) => ({ priority, n: alarms.filter((a) => a.priority === priority).length })).filter((c) => c.n > 0),
  }));
}

/** What is chosen to be shown of the alarms. */
export interface Filter {
  /** A pattern; "" for every thing. */
  thing: string;
  /** None: all. */
  priorities: readonly Priority[];
}

export function prioritiesOf(text: string | null): Priority[] {
  return priorities.filter((p) => (text ?? "").split(",").includes(String(p)));
}
