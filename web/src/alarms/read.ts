import { ApiError, getPage } from "../app/api";
import { older, stands, time, type Alarm } from "./alarm";

const page = 1000;
const tries = 5;

/** All that stand or are shelved now. A list that changes under the pages is read again. */
export async function readAll(): Promise<Alarm[]> {
  for (let n = 1; ; n++) {
    try {
      // Shelved ones are read as well by themselves: some of them stand no more.
      return [...(await pages(`/api/alarms?limit=${page}`)), ...(await pages(`/api/alarms?state=shelved&limit=${page}`))];
    } catch (err) {
      if (!(err instanceof ApiError) || err.status !== 409 || n === tries) throw err;
    }
  }
}

async function pages(path: string, most = Infinity): Promise<Alarm[]> {
  const all: Alarm[] = [];
  for (let next = path, n = 0; next && n < most; n++) {
    const got = await getPage<Alarm>(next);
    all.push(...got.list);
    next = got.next;
  }
  return all;
}

/** How far back, and in how many pages, is looked for what stood at a moment. */
const lookBack = 30 * 86_400_000;
const pagesBack = 5;

/**
 * Those that stood or were shelved at a moment of the past. One that has not
 * moved since stands as it stood then; of the others the last step before that
 * moment says it, as far back as is looked.
 */
export async function readAt(at: number): Promise<Alarm[]> {
  const [now, steps] = await Promise.all([
    readAll(),
    pages(`/api/alarms/history?from=${Math.round(at - lookBack)}&to=${Math.round(at)}&limit=${page}`, pagesBack),
  ]);
  const found = new Map<string, Alarm>();
  for (const step of steps) if (!found.has(step.id)) found.set(step.id, step); // the newest comes first
  for (const alarm of now) if (time(alarm.ts) <= at) found.set(alarm.id, alarm);
  return [...found.values()].filter((a) => stands(a) || a.shelved);
}

/** A replay has numbers of its own, so its steps are told apart by when they were. */
export function earlier(a: Alarm, b: Alarm): boolean {
  return older({ ...a, seq: undefined }, { ...b, seq: undefined });
}
